"""Django system checks: each mistake has an id and says what to do."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections, router

from headgate.chat.asgi_server import OLDEST, outdated
from headgate.chat.conf import mistakes
from headgate.chat.hooks import owed_handlers
from headgate.chat.models import Event

__all__ = [
    "check_database",
    "check_owed_handlers",
    "check_runserver",
    "check_servers",
    "check_settings",
    "check_time_zones",
    "check_transaction_mode",
]


@register()
def check_settings(**_: Any) -> list[CheckMessage]:
    """Check the `HEADGATE` dict: unknown keys and wrong types."""
    return [
        Error(what, hint=hint, id="headgate.E001")
        for what, hint in mistakes(getattr(settings, "HEADGATE", {}))
    ]


@register()
def check_owed_handlers(**_: Any) -> list[CheckMessage]:
    """Check that there is somebody who calls what is owed to the project's handlers."""
    owed = owed_handlers()
    if not owed or apps.is_installed("headgate.outbound"):
        return []
    what = f"Handlers have owed=True, but nobody calls them: {', '.join(owed)}."
    hint = "Add 'headgate.outbound' to INSTALLED_APPS, and migrate."
    return [Error(what, hint=hint, id="headgate.E013")]


@register()
def check_time_zones(**_: Any) -> list[CheckMessage]:
    """Check that the times of the database are times, whatever the clock says."""
    if settings.USE_TZ:
        return []
    what = (
        "USE_TZ is off: times are kept by a local clock, so mutes would end at another "
        "time, and messages that are sent again be told a wrong one."
    )
    hint = "Set USE_TZ = True; templates and forms still show TIME_ZONE."
    return [Error(what, hint=hint, id="headgate.E016")]


@register(Tags.database)
def check_database(
    databases: Sequence[str] | None = None,
    **_: Any,
) -> list[CheckMessage]:
    """Check that the chat's database can keep the promises.

    Another one of the project may be whatever it is.
    """
    using = router.db_for_write(Event)
    if using not in (databases or ()):
        return []
    connection = connections[using]
    if connection.vendor not in {"sqlite", "postgresql"}:
        what = f"Headgate does not know the database {connection.vendor!r}."
        hint = (
            "Use PostgreSQL, or SQLite: for all, or by DATABASE_ROUTERS for the apps "
            "headgate_chat and headgate_outbound."
        )
        return [Error(what, hint=hint, id="headgate.E002")]
    if connection.vendor == "sqlite" and _synchronous(connection) < _FULL:
        what = (
            "SQLite's synchronous setting is below FULL: a power failure can lose "
            "messages that were acknowledged."
        )
        hint = "Take PRAGMA synchronous out of the init_command."
        return [checks.Warning(what, hint=hint, id="headgate.W001")]
    return []


def _synchronous(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        (synchronous,) = cursor.fetchone()
    return int(synchronous)


_FULL = 2  # the value of PRAGMA synchronous that fsyncs each commit in WAL mode


@register()
def check_transaction_mode(**_: Any) -> list[CheckMessage]:
    """Check that a transaction on the chat's SQLite can write after it has read.

    Whoever sends in a transaction of their own has read before. The settings tell, so
    this needs no database, and runs with every command.
    """
    alias = router.db_for_write(Event)
    if alias not in connections:
        return []  # whoever asks for it is told that it is not there
    database = connections[alias]
    mode = database.settings_dict["OPTIONS"].get("transaction_mode") or _DEFERRED
    if database.vendor != "sqlite" or mode.upper() != _DEFERRED:
        return []
    what = (
        "A transaction on this SQLite that began by reading fails with "
        "`database is locked` where it writes while somebody else does."
    )
    hint = (
        f'Add "transaction_mode": "IMMEDIATE" to the "OPTIONS" of DATABASES["{alias}"].'
    )
    return [checks.Warning(what, hint=hint, id="headgate.W011")]


_DEFERRED = "DEFERRED"  # SQLite's own default: whether it will write shows later

# Id and fault of each server of which an older version will not do.
_FAULTS = {
    "daphne": (
        "headgate.W003",
        "takes messages of any size, and lets clients make up headers such as Origin",
    ),
    "uvicorn": (
        "headgate.W004",
        "keeps in memory what a slow client does not read, and can lose its last words",
    ),
}


@register()
def check_servers(**_: Any) -> list[CheckMessage]:
    """Check that no ASGI server is installed in a version that will not do."""
    found: list[CheckMessage] = []
    for name, installed in outdated().items():
        check_id, fault = _FAULTS[name]
        what = f"{name} {installed} is installed, which {fault}."
        hint = f"pip install '{name}>={OLDEST[name]}'"
        found.append(checks.Warning(what, hint=hint, id=check_id))
    return found


@register()
def check_runserver(**_: Any) -> list[CheckMessage]:
    """Check, when `runserver` starts, that it will answer WebSockets.

    Under no other command: a project may never use it.
    """
    if sys.argv[1:2] != ["runserver"] or not _runserver_is_wsgi():
        return []
    what = "This runserver is WSGI: it answers no WebSockets, so no chat will connect."
    hint = (
        "Run `manage.py headgate serve` in its place. Or put 'daphne' before "
        "'django.contrib.staticfiles' in INSTALLED_APPS and set ASGI_APPLICATION: "
        "runserver is Daphne's then."
    )
    return [checks.Warning(what, hint=hint, id="headgate.W002")]


def _runserver_is_wsgi() -> bool:
    """Return whether `runserver` serves as Django's own does, in whosever name.

    Daphne's serves in its own way; apps such as whitenoise's wrap the next one.
    """
    from django.core.management import get_commands, load_command_class
    from django.core.management.commands.runserver import Command as DjangoRunserver

    command: Any = load_command_class(get_commands()["runserver"], "runserver")
    own = type(command).inner_run is DjangoRunserver.inner_run
    return own or "--noasgi" in sys.argv
