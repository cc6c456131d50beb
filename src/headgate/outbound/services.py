"""Destinations' rows while they are locked: read, decided on and written together.

Who leases calls of a destination, or notes what came of them, holds its row; so what
the gates say is exact across processes. All this is plain SQL: it runs for each batch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from typing import Any

from headgate.limits.rates import Rate
from headgate.outbound.calls import Target
from headgate.outbound.gates import Gates
from headgate.outbound.models import Destination
from headgate.outbound.value_rows import value_rows

__all__ = ["DESTINATION", "Service", "lock", "write"]

DESTINATION = Destination._meta.db_table  # noqa: SLF001 - Django's public _meta


@dataclass(slots=True)
class Service:
    """A destination whose row is locked, and what is to be added to its counts."""

    target: Target
    gates: Gates
    max_attempts: int
    batch_size: int
    batch_wait_seconds: float
    late: str
    calls: int = 0
    failures: int = 0
    delivered: int = 0
    service_seconds: float = 0.0
    waited_seconds: float = 0.0
    cost: int = 0


_READ = (
    *("id", "name", "kind", "url", "secrets", "handler", "room_id"),
    *("timeout_seconds", "max_attempts", "batch_size", "batch_wait_seconds", "late"),
)
_GATES = tuple(field.name for field in fields(Gates))
_COLUMNS = ", ".join((*_READ, *_GATES))
_LOCK_POSTGRESQL = (
    f"SELECT {_COLUMNS} FROM {DESTINATION} "  # noqa: S608
    "WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
)
# To write is to lock, also where a project's transactions begin deferred.
_LOCK_SQLITE = (
    f"UPDATE {DESTINATION} SET calls = calls "  # noqa: S608
    f"WHERE id IN (SELECT value FROM json_each(%s)) RETURNING {_COLUMNS}"
)


def lock(connection: Any, ids: Collection[int], *, wait: bool) -> dict[int, Service]:
    """Lock destinations until the transaction ends, and return them by id.

    Without `wait`, those that are held elsewhere are left out; SQLite has one lock for
    all, and waits for it as long as the connection's busy timeout.
    """
    if not ids:
        return {}
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            skip = "" if wait else " SKIP LOCKED"
            cursor.execute(_LOCK_POSTGRESQL + skip, [sorted(ids)])
        else:
            cursor.execute(_LOCK_SQLITE, [json.dumps(sorted(ids))])
        return {row[0]: _service(row) for row in cursor.fetchall()}


def _service(row: tuple[Any, ...]) -> Service:
    read = dict(zip(_READ, row, strict=False))
    gates = dict(zip(_GATES, row[len(_READ) :], strict=True))
    gates["enabled"], gates["paused"] = bool(gates["enabled"]), bool(gates["paused"])
    for name in ("rate", "cost_budget"):
        gates[name] = _rate(gates[name])
    stored = read["secrets"]
    secrets = json.loads(stored) if isinstance(stored, str) else stored
    target = Target(
        id=read["id"],
        name=read["name"],
        kind=read["kind"],
        url=read["url"],
        secrets=tuple(secrets),
        handler=read["handler"],
        timeout_seconds=read["timeout_seconds"],
        public_only=read["room_id"] is not None,
    )
    return Service(
        target,
        Gates(**gates),
        max_attempts=max(1, read["max_attempts"]),
        batch_size=max(1, read["batch_size"]),
        batch_wait_seconds=read["batch_wait_seconds"],
        late=read["late"],
    )


# What is no rate was refused where people write it; a row that was written past that
# must not stop the worker, nor be called as fast as can be.
_SLOWEST = Rate(1, 60.0, 1)


def _rate(text: str) -> Rate | None:
    if not text or text == "off":
        return None
    try:
        return Rate.parse(text)
    except ValueError:
        return _SLOWEST


_TYPES = {
    "enabled": "bool",
    "disabled_reason": "text",
    "not_before": "float8",
    "rate_tat": "float8",
    "cost_tat": "float8",
    "retry_tokens": "float8",
    "retry_at": "float8",
    "breaker_until": "float8",
    "breaker_opened": "int",
    "probe_until": "float8",
    "window_at": "float8",
    "window_calls": "int",
    "window_failures": "int",
    "failing_since": "float8",
}
_ADDED = {
    "calls": "bigint",
    "failures": "bigint",
    "delivered": "bigint",
    "service_seconds": "float8",
    "waited_seconds": "float8",
    "cost": "bigint",
}
_WRITTEN = (
    ("destination", "bigint"),
    *((f"new_{name}", kind) for name, kind in (_TYPES | _ADDED).items()),
)
_SET = ", ".join(
    [f"{name} = new_{name}" for name in _TYPES]
    + [f"{name} = {name} + new_{name}" for name in _ADDED]
)


def write(connection: Any, services: Iterable[Service]) -> None:
    """Write gates and counts of locked destinations."""
    rows = [
        (
            service.target.id,
            *(getattr(service.gates, name) for name in _TYPES),
            *(getattr(service, name) for name in _ADDED),
        )
        for service in services
    ]
    if not rows:
        return
    source, values = value_rows(connection, _WRITTEN, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {DESTINATION} SET {_SET} FROM {source} "  # noqa: S608
            "WHERE id = destination",
            values,
        )
