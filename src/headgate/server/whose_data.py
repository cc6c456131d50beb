"""Setting Django up for a command that works on what is there already.

On a stand-alone server's data, in a project that the environment names, or by
`manage.py`, which has done it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from headgate.server.exits import EXIT_DATA, EXIT_PROJECT, CannotStart
from headgate.server.options import DEFAULT_DATA, ServeOptions

__all__ = ["set_up_here", "set_up_rooms", "set_up_services"]

_SETTINGS = "DJANGO_SETTINGS_MODULE"


def set_up_here(options: argparse.Namespace, *, redis: str | None = None) -> bool:
    """Set Django up where there is a server's data or a project; return whether.

    Raises:
        CannotStart: What was named is not there, or cannot be used.
    """
    if options.project:
        return True
    data = options.data or DEFAULT_DATA
    known = (data / "secret_key").exists()
    if not known and (options.data is not None or options.database is not None):
        # A key that is made anew is not the server's, whatever database it uses.
        raise CannotStart(
            f"There is no server's data in {data}. Name the folder that the server "
            "was started with, as its --data. On another machine than the server's, "
            "copy its file secret_key into an empty folder, and name that one.",
            EXIT_DATA,
        )
    if known:
        from headgate.server.setup import set_up

        set_up(ServeOptions(data=data, database=options.database, redis=redis))
        return True
    if os.environ.get(_SETTINGS):
        _set_up_project(options.verb)
        return True
    return False


def set_up_rooms(options: argparse.Namespace, *, redis: str | None = None) -> None:
    """Set Django up as `set_up_here` does, where there must be something.

    Raises:
        CannotStart: There is neither data nor a project.
    """
    if not set_up_here(options, redis=redis):
        raise CannotStart(
            "There is no server's data and no project here. Name the data with --data, "
            f"or call this in a project as `python manage.py headgate {options.verb}`.",
            EXIT_DATA,
        )
    _check_project(options)


def set_up_services(options: argparse.Namespace, *, redis: str | None = None) -> None:
    """Set Django up as `set_up_rooms` does, and have the app of services there.

    Raises:
        CannotStart: There is neither data nor a project, or it calls no services.
    """
    set_up_rooms(options, redis=redis)
    from django.apps import apps

    if not apps.is_installed("headgate.outbound"):
        raise CannotStart(
            "'headgate.outbound' is not among the INSTALLED_APPS of this project. Add "
            "it there, and run `python manage.py migrate`.",
            EXIT_PROJECT,
        )


def _check_project(options: argparse.Namespace) -> None:
    """Have a project's tables there; a stand-alone server's are made by setting up."""
    if options.project or (options.data is None and options.database is None):
        from headgate.server.project import check_migrated

        check_migrated()


def _set_up_project(verb: str) -> None:
    """Set Django up by the settings that the environment names."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        import django

        django.setup()
    except Exception as exc:  # whatever a project's settings may raise
        raise CannotStart(
            f"The settings {os.environ[_SETTINGS]!r} of the environment variable "
            f"{_SETTINGS} cannot be used: {exc}. Call this in the project, as "
            f"`python manage.py headgate {verb}`, or unset the variable.",
            EXIT_PROJECT,
        ) from exc
