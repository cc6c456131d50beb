"""Django system checks: each mistake has an id and says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from headgate.chat.conf import mistakes

__all__ = ["check_database", "check_settings"]


@register()
def check_settings(**_: Any) -> list[CheckMessage]:
    """Check the `HEADGATE` dict: unknown keys and wrong types."""
    return [
        Error(what, hint=hint, id="headgate.E001")
        for what, hint in mistakes(getattr(settings, "HEADGATE", {}))
    ]


@register(Tags.database)
def check_database(
    databases: Sequence[str] | None = None,
    **_: Any,
) -> list[CheckMessage]:
    """Check that the database can keep the promises."""
    found: list[CheckMessage] = []
    for alias in databases or []:
        connection = connections[alias]
        if connection.vendor not in {"sqlite", "postgresql"}:
            found.append(
                Error(
                    f"Headgate does not know the database {connection.vendor!r}.",
                    hint="Use PostgreSQL, or SQLite.",
                    id="headgate.E002",
                ),
            )
        elif connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA synchronous")
                (synchronous,) = cursor.fetchone()
            if synchronous < _FULL:
                found.append(
                    checks.Warning(
                        "SQLite's synchronous setting is below FULL: a power failure "
                        "can lose messages that were acknowledged.",
                        hint="Take PRAGMA synchronous out of the init_command.",
                        id="headgate.W001",
                    ),
                )
    return found


_FULL = 2  # the value of PRAGMA synchronous that fsyncs each commit in WAL mode
