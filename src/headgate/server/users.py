"""`headgate user`: make an account on the stand-alone server, or in a project."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from headgate.server.exits import EXIT_USAGE, CannotStart
from headgate.server.options import ServeOptions
from headgate.server.setup import set_up, telling_of_the_database

__all__ = ["make_user"]


def make_user(where: ServeOptions | None, name: str, *, staff: bool) -> int:
    """Make an account, asking for its password, and return the exit code.

    On the stand-alone server of `where`, the name is what the person signs in with,
    and shown to others. With None the settings of a project are in force: there it is
    the USERNAME_FIELD of the project's user model and shown to nobody.
    """
    try:
        if where is not None:
            set_up(where)
        with telling_of_the_database():
            return _make(name, staff=staff, shown=where is not None)
    except CannotStart as exc:
        print(f"headgate: {exc}", file=sys.stderr)
        return exc.code


def _make(name: str, *, staff: bool, shown: bool) -> int:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    users: Any = get_user_model()
    fields = {field.name for field in users._meta.get_fields()}  # noqa: SLF001 - public
    given: dict[str, Any] = {users.USERNAME_FIELD: name}
    if shown:
        given["first_name"] = name
    if staff:
        given |= {"is_staff": True, "is_superuser": True}
    if unknown := given.keys() - fields:
        missing = " and no ".join(sorted(unknown))
        label = users._meta.label  # noqa: SLF001 - public
        print(f"headgate: {label} has no {missing}.", file=sys.stderr)
        return EXIT_USAGE
    try:
        user = users(**given)
        user.full_clean(exclude=["password"])
        password = _ask() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        validate_password(password, user)
    except ValidationError as exc:
        print("headgate: " + _told(exc), file=sys.stderr)
        return EXIT_USAGE
    except EOFError:
        print("headgate: There was no password.", file=sys.stderr)
        return EXIT_USAGE
    user.set_password(password)
    user.save()
    print(f"{name} can sign in.")
    return 0


def _told(exc: Any) -> str:
    """Return what is wrong, with the field where it is not the name."""
    if not hasattr(exc, "error_dict"):
        return " ".join(exc.messages)
    return " ".join(
        f"{field}: {' '.join(messages)}" for field, messages in exc.message_dict.items()
    )


def _ask() -> str:
    """Return a password typed twice the same."""
    while True:
        first = getpass.getpass("Password: ")
        if first == getpass.getpass("The same again: "):
            return first
        print("These were not the same.")
