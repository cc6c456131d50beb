"""Making ready what a server needs: data folder, secret key, Django, database.

Whatever is wrong raises `CannotStart` with what to do and the exit code.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command

from headgate.server.options import ServeOptions
from headgate.server.settings import build_settings

__all__ = [
    "EXIT_ADDRESS",
    "EXIT_DATA",
    "EXIT_DATABASE",
    "CannotStart",
    "make_demo_rooms",
    "set_up",
]

EXIT_ADDRESS = 3
EXIT_DATA = 4
EXIT_DATABASE = 5

DEMO_ROOMS = {"general": "General", "help": "Help", "random": "Random"}


class CannotStart(Exception):  # noqa: N818 - told to a person, not handled
    """Why the server cannot start, what to do, and with which code to exit."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def set_up(options: ServeOptions) -> None:
    """Make the data folder and the key, configure Django, migrate the database."""
    key = _secret_key(options.data)
    settings.configure(**build_settings(options, key))
    django.setup()
    _migrate()


def make_demo_rooms() -> None:
    """Make the demo rooms that are not there yet."""
    from headgate.chat.models import Room

    for slug, title in DEMO_ROOMS.items():
        Room.objects.get_or_create(slug=slug, defaults={"title": title})


def _secret_key(data: Path) -> str:
    """Return the key that signs sessions and guests, made at the first start."""
    path = data / "secret_key"
    try:
        data.mkdir(parents=True, exist_ok=True)
        try:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_text(encoding="ascii").strip()
        else:
            key = secrets.token_urlsafe(50)
            with os.fdopen(made, "w", encoding="ascii") as file:
                file.write(key + "\n")
        _check_writable(data)
    except (OSError, UnicodeDecodeError) as exc:
        raise CannotStart(
            f"Cannot write to the data folder {data}: {exc}. "
            "Give this user the right to write there, or name another with --data.",
            EXIT_DATA,
        ) from exc
    if not key:
        raise CannotStart(
            f"The secret key in {path} is empty. Put a backup of it back, or delete "
            "the file to get a new one: everybody then has to sign in again.",
            EXIT_DATA,
        )
    return key


def _check_writable(data: Path) -> None:
    probe = data / f".probe-{os.getpid()}"
    probe.touch()
    probe.unlink()


def _migrate() -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.db import DatabaseError, connection

    try:
        connection.ensure_connection()
        call_command("migrate", interactive=False, verbosity=0)
    except ImproperlyConfigured as exc:
        raise CannotStart(str(exc), EXIT_DATABASE) from exc
    except DatabaseError as exc:
        where = connection.settings_dict
        place = where["NAME"] if connection.vendor == "sqlite" else where["HOST"]
        raise CannotStart(
            f"Cannot use the database at {place}: {str(exc).strip()}. "
            "Check that it runs, and the address, name, user and password.",
            EXIT_DATABASE,
        ) from exc
    finally:
        connection.close()
