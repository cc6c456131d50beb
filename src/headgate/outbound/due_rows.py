"""Finding the deliveries of one destination that are due, in the order they go.

By importance, then by time. Those that have an order key go one after the other in it:
only the first of a key is found, and none while that one is leased or waits.

No statement reads a backlog: each finds what it asks for in an index. It says the
index's condition in the same words, as SQLite asks for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from headgate.outbound.models import Delivery

__all__ = [
    "DELIVERY",
    "DueRow",
    "batch_members",
    "drop_late",
    "due",
    "heads",
    "keyed_after",
    "late",
]

DELIVERY = Delivery._meta.db_table  # noqa: SLF001 - Django's public _meta
MAX_KEYS = 1000  # of a destination, looked at in one go
MAX_LATE = 1000  # deliveries dropped, or told in one digest
# Due deliveries among which those without a key are looked for: where some have keys,
# few or none are without.
MAX_LOOKED = 2000


class DueRow(NamedTuple):
    """What the ledger reads of a delivery. Ids are hexadecimal digits."""

    id: str
    event: str
    room_id: int | None
    seq: int | None
    payload: str | None
    order_key: str
    importance: int
    due_at: float
    lease: str
    batch: str | None
    attempts: int
    created_at: float
    is_digest: bool

    @property
    def was_tried(self) -> int:
        """How often, with the try that a lease which ran out may have been."""
        return self.attempts + (self.lease != "")


_COLUMNS = ", ".join(DueRow._fields)
_DUE = "destination_id = %s AND state = 'due' AND due_at <= %s"
_OF_USE = " AND (expires_at IS NULL OR expires_at > %s OR batch IS NOT NULL)"
_IMPORTANCES = (0, 1, 2)
_LATE = f"{_DUE} AND expires_at <= %s AND expires_at IS NOT NULL AND batch IS NULL"


def due(
    connection: Any,
    destination: int,
    now: float,
    limit: int,
    *,
    keep_late: bool,
    unkeyed: bool = False,
    untried: bool = False,
) -> list[DueRow]:
    """Return what is due, as if there were no order keys.

    Args:
        connection: Django's.
        destination: Whose.
        now: The time.
        limit: How many at most.
        keep_late: Whether those go all the same that are of no use any more.
        unkeyed: Only those without an order key, among the first that are due.
        untried: Only those without one that were not tried yet.
    """
    where = _DUE
    values: list[Any] = [destination, now]
    if not keep_late:
        where += _OF_USE
        values.append(now)
    if untried:
        where += " AND order_key = '' AND attempts = 0 AND lease = ''"
    found: list[DueRow] = []
    for importance in _IMPORTANCES:
        # One look into the index each: what is not due is not read, however much it is.
        if len(found) < limit:
            some = f"WHERE {where} AND importance = {importance} ORDER BY due_at LIMIT"
            most = limit - len(found)
            if unkeyed:
                found += _unkeyed_rows(connection, some, [*values, MAX_LOOKED, most])
            else:
                found += _rows(connection, f"{some} %s", [*values, most])
    return found


def _unkeyed_rows(connection: Any, some: str, values: Sequence[Any]) -> list[DueRow]:
    first = f"(SELECT {_COLUMNS} FROM {DELIVERY} {some} %s) AS first"  # noqa: S608
    where = "WHERE order_key = '' ORDER BY due_at LIMIT %s"
    return _rows(connection, where, values, of=first)


_KEY = (
    f"SELECT order_key FROM {DELIVERY} {{index}} WHERE destination_id = %s "  # noqa: S608
    "AND state = 'due' AND NOT (order_key = '') AND order_key > {after} "
    "ORDER BY order_key LIMIT 1"
)
_FIRST_OF_KEY = (
    f"SELECT id FROM {DELIVERY} {{index}} WHERE destination_id = %s "  # noqa: S608
    "AND state = 'due' AND NOT (order_key = '') AND order_key = each_key "
    "ORDER BY seq, id LIMIT 1"
)


def _skip_scan(index: str) -> str:
    """Return SQL with one look into the index for each key, however many it holds."""
    first = _KEY.format(index=index, after="%s")
    following = _KEY.format(index=index, after="each_key")
    of_key = _FIRST_OF_KEY.format(index=index)
    return (
        "WITH RECURSIVE keys (each_key) AS ("  # noqa: S608 - of the texts above
        f"SELECT ({first}) UNION ALL "
        f"SELECT ({following}) FROM keys WHERE each_key IS NOT NULL"
        f") SELECT each_key, ({of_key}) FROM keys "
        "WHERE each_key IS NOT NULL LIMIT %s"
    )


# SQLite without ANALYZE takes another index, and reads all that is due for each key.
_HEADS = {
    "postgresql": _skip_scan(""),
    "sqlite": _skip_scan("INDEXED BY headgate_delivery_order"),
}


_KEYS_ON_THEIR_WAY = (
    f"SELECT order_key FROM {DELIVERY} WHERE destination_id = %s "  # noqa: S608
    "AND state = 'due' AND NOT (lease = '') AND due_at > %s"
)


def heads(
    connection: Any,
    destination: int,
    now: float,
    limit: int,
    *,
    keep_late: bool,
    after: str = "",
) -> tuple[list[DueRow], str]:
    """Return the first of each order key that is due, and the key to go on after.

    None of a key of which one is on its way: it may be a later one, where the first was
    replayed.

    That is "" where all keys were looked at.
    """
    values = [destination, after, destination, destination, MAX_KEYS]
    with connection.cursor() as cursor:
        cursor.execute(_HEADS[connection.vendor], values)
        found = cursor.fetchall()
        cursor.execute(_KEYS_ON_THEIR_WAY, [destination, now])
        on_their_way = {row[0] for row in cursor.fetchall()}
    if not found:
        return [], ""
    # Nothing but the ids may choose the index: they are of this destination.
    where, more = "state = 'due' AND due_at <= %s", [now]
    if not keep_late:
        where += _OF_USE
        more.append(now)
    ids = [head for key, head in found if key not in on_their_way]
    chosen: list[Any] | str = ids
    among = "id = ANY(%s)"
    if connection.vendor != "postgresql":
        among, chosen = "id IN (SELECT value FROM json_each(%s))", json.dumps(ids)
    order = "ORDER BY importance, due_at LIMIT %s"
    rows = _rows(
        connection, f"WHERE {among} AND {where} {order}", [chosen, *more, limit]
    )
    return rows, found[-1][0] if len(found) == MAX_KEYS else ""


def keyed_after(
    connection: Any, destination: int, key: str, limit: int
) -> list[DueRow]:
    """Return all that a key holds, the first of it first, whether due or not."""
    where = (
        "WHERE destination_id = %s AND state = 'due' AND NOT (order_key = '') "
        "AND order_key = %s ORDER BY seq, id LIMIT %s"
    )
    return _rows(connection, where, [destination, key, limit])


def batch_members(connection: Any, batch: str) -> list[DueRow]:
    """Return all that go together, as the first time."""
    key = UUID(batch) if connection.vendor == "postgresql" else batch
    where = "WHERE batch = %s AND batch IS NOT NULL AND state = 'due' ORDER BY seq, id"
    return _rows(connection, where, [key])


def late(connection: Any, destination: int, now: float) -> list[DueRow]:
    """Return what is due and of no use any more, and goes together with nothing."""
    where = f"WHERE {_LATE} LIMIT %s"
    return _rows(connection, where, [destination, now, now, MAX_LATE])


def drop_late(connection: Any, destination: int, now: float) -> int:
    """Drop what `late` would return; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {DELIVERY} SET state = 'dropped', lease = '', "  # noqa: S608
            f"finished_at = %s WHERE id IN (SELECT id FROM {DELIVERY} "
            f"WHERE {_LATE} LIMIT %s)",
            [now, destination, now, now, MAX_LATE],
        )
        return int(cursor.rowcount)


def _rows(
    connection: Any, where: str, values: Sequence[Any], of: str = DELIVERY
) -> list[DueRow]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_COLUMNS} FROM {of} {where}", values)  # noqa: S608
        found = [DueRow(*row) for row in cursor.fetchall()]
    if connection.vendor != "postgresql":
        return found
    return [
        row._replace(id=row.id.hex, batch=row.batch and row.batch.hex)  # type: ignore[attr-defined]  # UUIDs there
        for row in found
    ]
