"""What a commit owes: one delivery to each destination that wants an event.

It is written in the transaction that writes the event, so both are there or neither.
Nothing here fails that transaction for what a destination is: whatever was read of it
a second ago, it is joined with its row as it is now.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct

from headgate.outbound.models import Delivery, Destination
from headgate.outbound.registry import known
from headgate.outbound.uuid7 import uuid7
from headgate.outbound.value_rows import value_rows
from headgate.outbound.wakes import wake_after
from headgate.outbound.wanting import Wanting
from headgate.protocol.codec import encode
from headgate.protocol.pushes import Edited, LogEvent, Message

__all__ = ["Owed", "insert", "owe_events"]

_DELIVERY = Delivery._meta.db_table  # noqa: SLF001 - Django's public _meta
_DESTINATION = Destination._meta.db_table  # noqa: SLF001 - Django's public _meta
_IMPORTANCE = {"high": 0, "low": 2}  # of a message that has a priority of its own
MAX_ROWS = 512  # in one statement


class Owed(Struct):
    """A delivery to be inserted; those of the log have a room and a seq."""

    destination: int
    event: str
    importance: int
    room_id: int | None = None
    seq: int | None = None
    payload: dict[str, Any] | None = None
    order_key: str = ""
    useful_seconds: float | None = None


def owe_events(
    connection: Any, written: Sequence[tuple[int, LogEvent]], *, ours: bool
) -> None:
    """Owe what a transaction has written to whoever wants it; see `chat.owing.Owe`.

    A growing message is told once, whole, when it has ended.
    """
    destinations = known(connection, keep=ours)
    if not destinations.wanting:
        return
    owed: list[Owed] = []
    for room_id, push in written:
        event, seq = str(push.__struct_config__.tag), push.seq
        if isinstance(push, Message) and push.open:
            continue  # it is told when it has ended to grow
        if isinstance(push, Edited) and push.state is not None:
            event, seq = "message", push.target
        owed += [
            _owed(each, room_id, event, seq, push)
            for each in destinations.who_wants(
                event, room_id, push.room, push.author.kind
            )
            if each.wants is None or each.wants(push)
        ]
    if owed:
        insert(connection, owed)


def _owed(to: Wanting, room_id: int, event: str, seq: int, push: LogEvent) -> Owed:
    importance, useful_seconds = to.importance, to.useful_seconds
    if isinstance(push, Message):
        importance = _IMPORTANCE.get(push.priority, importance)
        if push.expires_in_ms is not None:
            useful_seconds = push.expires_in_ms / 1000
    return Owed(
        to.id,
        event,
        importance,
        room_id,
        seq,
        order_key=str(room_id) if to.is_ordered else "",
        useful_seconds=useful_seconds,
    )


_COLUMNS = (
    ("delivery", "uuid"),
    ("destination", "bigint"),
    ("event", "text"),
    ("room", "bigint"),
    ("seq", "bigint"),
    ("payload", "text"),
    ("order_key", "text"),
    ("importance", "smallint"),
    ("expires_at", "float8"),
)
_INSERT = (
    f"INSERT INTO {_DELIVERY} (id, destination_id, event, room_id, seq, "  # noqa: S608
    "payload, order_key, state, importance, due_at, lease, expires_at, is_digest, "
    "attempts, last_error, created_at) "
    "SELECT delivery, there.id, event, room, seq, {payload}, order_key, 'due', "
    "importance, %s, '', expires_at, {no}, 0, '', %s "
    "FROM {rows} JOIN ({there}) AS there ON there.id = destination"
)
# The rows are locked, so that whoever deletes one waits for this transaction and its
# foreign keys; workers, who lock FOR NO KEY UPDATE, are in nobody's way.
_THERE_POSTGRESQL = (
    f"SELECT id FROM {_DESTINATION} "  # noqa: S608
    "WHERE enabled AND id = ANY(%s) FOR KEY SHARE"
)
_THERE_SQLITE = f"SELECT id FROM {_DESTINATION} WHERE enabled"  # noqa: S608


def insert(connection: Any, owed: Sequence[Owed]) -> list[UUID]:
    """Insert deliveries, and wake the workers when they are committed.

    Returns their ids; a destination that is gone or not enabled got none.
    """
    now = time.time()
    ids = [uuid7() for _ in owed]
    rows = [
        (
            delivery.hex,
            each.destination,
            each.event,
            each.room_id,
            each.seq,
            None if each.payload is None else encode(each.payload).decode(),
            each.order_key,
            each.importance,
            None if each.useful_seconds is None else now + each.useful_seconds,
        )
        for delivery, each in zip(ids, owed, strict=True)
    ]
    there: list[Any] = []
    if connection.vendor == "postgresql":
        words = {"payload": "payload::jsonb", "no": "false"}
        words["there"] = _THERE_POSTGRESQL
        there.append(sorted({each.destination for each in owed}))
    else:
        words = {"payload": "payload", "no": "0", "there": _THERE_SQLITE}
    sql = _INSERT.format(rows="{rows}", **words)
    with connection.cursor() as cursor:
        for begin in range(0, len(rows), MAX_ROWS):
            source, values = value_rows(
                connection, _COLUMNS, rows[begin : begin + MAX_ROWS]
            )
            cursor.execute(sql.format(rows=source), [now, now, *values, *there])
    wake_after(connection)
    return ids
