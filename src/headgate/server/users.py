"""`headgate user`: make an account on the stand-alone server."""

from __future__ import annotations

import getpass
import sys

from headgate.server.options import ServeOptions
from headgate.server.setup import CannotStart, set_up

__all__ = ["make_user"]


def make_user(options: ServeOptions, name: str, *, staff: bool) -> int:
    """Make an account, asking for its password, and return the exit code.

    The name is shown to others, and is what the person signs in with.
    """
    try:
        set_up(options)
    except CannotStart as exc:
        print(f"headgate: {exc}", file=sys.stderr)
        return exc.code
    from django.contrib.auth import get_user_model
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    users = get_user_model()
    user = users(username=name, first_name=name, is_staff=staff, is_superuser=staff)
    try:
        user.full_clean(exclude=["password"])
        password = _ask() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        validate_password(password, user)
    except ValidationError as exc:
        print("headgate: " + " ".join(exc.messages), file=sys.stderr)
        return 2
    except EOFError:
        print("headgate: There was no password.", file=sys.stderr)
        return 2
    user.set_password(password)
    user.save()
    print(f"{name} can sign in.")
    return 0


def _ask() -> str:
    """Return a password typed twice the same."""
    while True:
        first = getpass.getpass("Password: ")
        if first == getpass.getpass("The same again: "):
            return first
        print("These were not the same.")
