"""Making ready what a server needs: data folder, secret key, Django, database.

Whatever is wrong raises `CannotStart` with what to do and the exit code.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

from headgate.limits.report_files import VARIABLE
from headgate.server.environment import misspelt_in
from headgate.server.exits import EXIT_DATA, EXIT_DATABASE, EXIT_USAGE, CannotStart
from headgate.server.options import ServeOptions
from headgate.server.served import note_served, served_settings
from headgate.server.settings import build_settings

__all__ = ["make_demo_rooms", "set_up", "telling_of_the_database"]

_MIGRATING = 0x6865_6164_6761_7465  # "headgate": names our lock among a server's
DEMO_ROOMS = {"general": "General", "help": "Help", "random": "Random"}


def set_up(
    options: ServeOptions, *, serving: bool = False, worker: bool = False
) -> None:
    """Make the data folder and the key, configure Django, migrate the database.

    With `serving` it is kept what the limits are; without, they are those of the server
    that was started here last. Whom its processes refuse, they report in the data
    folder, if in files at all. A `worker` finds all done, and looks whether it is: it
    may be of a newer version than its supervisor.
    """
    if not worker:
        _warn_of_misspelt_settings()
    _make_folder(options.data)
    os.environ.setdefault(VARIABLE, str(options.data.absolute() / "limits"))
    with _one_at_a_time(options.data):
        key = _secret_key(options.data)
        found = build_settings(options, key)
        if serving and not worker:
            _note_served(options.data, found["HEADGATE"])
        elif not serving:
            found["HEADGATE"] |= served_settings(options.data)
            if options.redis is not None:
                found["HEADGATE"]["REDIS"] = options.redis
        _check_packages(found)
        settings.configure(**found)
        django.setup()
        with telling_of_the_database():
            if not worker or _is_behind():
                _migrate()


def _warn_of_misspelt_settings() -> None:
    """Say on stderr which variables of the environment set nothing."""
    for variable, meant in misspelt_in(os.environ).items():
        print(
            f"headgate: the environment variable {variable} sets nothing. "
            f"Is {meant} meant?",
            file=sys.stderr,
        )


def make_demo_rooms() -> None:
    """Make the demo rooms that are not there yet."""
    from headgate.chat.models import Room

    with telling_of_the_database():
        for slug, title in DEMO_ROOMS.items():
            Room.objects.get_or_create(slug=slug, defaults={"title": title})


def _check_packages(found: dict[str, Any]) -> None:
    """Say which extra is missing, before something that needs it is imported."""
    on_postgresql = found["DATABASES"]["default"]["ENGINE"].endswith(".postgresql")
    if on_postgresql and not (find_spec("psycopg") or find_spec("psycopg2")):
        raise _needs_a_package("PostgreSQL", "postgres")
    over_redis = found["HEADGATE"].get("REDIS")
    if over_redis and not (find_spec("redis") and find_spec("hiredis")):
        raise _needs_a_package("Redis", "redis")


def _needs_a_package(name: str, extra: str) -> CannotStart:
    return CannotStart(
        f"{name} needs a package that is not installed: "
        f"pip install 'headgate[{extra}]'.",
        EXIT_USAGE,
    )


# --- the data folder ---


def _make_folder(data: Path) -> None:
    """Make the folder where it is missing, for this user alone: it holds secrets."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = data / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as exc:
        raise _unusable(data, exc) from exc


@contextlib.contextmanager
def _one_at_a_time(data: Path) -> Iterator[None]:
    """Keep servers that start at once on the same data out of each other's way."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    folder = os.open(data, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _secret_key(data: Path) -> str:
    """Return the key that signs sessions and guests, made at the first start."""
    path = data / "secret_key"
    try:
        try:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_text(encoding="ascii").strip()
        else:
            key = secrets.token_urlsafe(50)
            with os.fdopen(made, "w", encoding="ascii") as file:
                file.write(key + "\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise _unusable(path, exc) from exc
    if not key:
        raise CannotStart(
            f"The secret key in {path} is empty. Put a backup of it back, or delete "
            "the file to get a new one: everybody then has to sign in again.",
            EXIT_DATA,
        )
    return key


def _note_served(data: Path, chat: dict[str, Any]) -> None:
    try:
        note_served(data, chat)
    except OSError as exc:
        raise _unusable(data, exc) from exc


def _unusable(path: Path, exc: Exception) -> CannotStart:
    return CannotStart(
        f"Cannot use {path}: {exc}. The data folder must be one that this user may "
        "write to; name another with --data.",
        EXIT_DATA,
    )


# --- the database ---


_MISSING = {"42P01", "42703"}  # PostgreSQL's codes: no such table, no such column


@contextlib.contextmanager
def telling_of_the_database(alias: str = "default") -> Iterator[None]:
    """Raise what the database refuses as `CannotStart`, and close the connections.

    The code within may be a project's: what is none of the database's goes on as it is.
    """
    from django.core.exceptions import ImproperlyConfigured
    from django.db import DatabaseError, connections

    try:
        yield
    except ImproperlyConfigured as exc:
        if not _is_about_the_driver(exc):
            raise
        raise CannotStart(
            f"{_sentence(str(exc))} Install what PostgreSQL needs: "
            "pip install 'headgate[postgres]'.",
            EXIT_DATABASE,
        ) from exc
    except DatabaseError as exc:
        raise CannotStart(_refusal(exc, connections[alias]), EXIT_DATABASE) from exc
    finally:
        for each in connections.all(initialized_only=True):
            if not each.in_atomic_block:  # as in a project's tests
                each.close()


def _is_about_the_driver(exc: Exception) -> bool:
    """Return whether Django raised it where PostgreSQL's driver did not import."""
    return isinstance(exc.__context__, ImportError) and "psycopg" in str(exc)


def _refusal(exc: Exception, connection: Any) -> str:
    """Return what a database said, and what to do."""
    where = connection.settings_dict
    on_sqlite = connection.vendor == "sqlite"
    place = where["NAME"] if on_sqlite else where["HOST"] or "localhost"
    if _is_about_a_table(exc):
        said = str(exc).partition("\n")[0]  # PostgreSQL shows the statement below it
        return (
            f"The tables in the database at {place} are not up to date: "
            f"{_sentence(said)} In a project, run `python manage.py migrate`."
        )
    advice = "Check that it runs, and the address, name, user and password."
    if on_sqlite:
        advice = (
            "Check the file and its folder: it has to be a database of SQLite, this "
            "user has to be able to write to both, and nobody else may hold it."
        )
    return f"Cannot use the database at {place}: {_sentence(str(exc))} {advice}"


def _is_about_a_table(exc: Exception) -> bool:
    """Return whether a table or a column is missing."""
    cause = exc.__cause__  # psycopg's, or psycopg2's
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return code in _MISSING or str(exc).startswith(("no such table", "no such column"))


def _sentence(text: str) -> str:
    said = text.strip()
    return said if said.endswith((".", "?", "!")) else f"{said}."


def _is_behind() -> bool:
    """Return whether there are migrations that were not run."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _migrate() -> None:
    """Bring the tables up to date; on PostgreSQL one server at a time."""
    from django.db import connection

    connection.ensure_connection()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_MIGRATING])
    try:
        call_command("migrate", interactive=False, verbosity=0)
    finally:
        connection.close()  # which gives the lock back
