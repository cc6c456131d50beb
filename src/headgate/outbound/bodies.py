"""What a call's body says, in the shape of Standard Webhooks: type, timestamp, data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from headgate.chat.rows import timestamp
from headgate.outbound.calls import Call, Told
from headgate.protocol.codec import encode

__all__ = ["body_of", "type_of"]

# Events of the log by the names that receivers know; notices keep their own.
_TYPES = {
    "message": "room.message",
    "edited": "room.edited",
    "deleted": "room.deleted",
    "membership": "room.membership",
}


def body_of(call: Call) -> bytes:
    """Return the JSON of a call; the same for each attempt, if nothing was deleted."""
    first = call.told[0]
    if call.digest:
        return _said("digest", call.told[-1].at, _digest(call.told))
    if call.collects:
        events = [{"id": told.id, **_entry(told)} for told in call.told]
        return _said("batch", call.told[-1].at, {"events": events})
    return encode(_entry(first))


def type_of(told: Told) -> str:
    """Return the type under which something is told."""
    return _TYPES.get(told.event, told.event)


def _said(kind: str, at: float, data: dict[str, Any]) -> bytes:
    return encode({"type": kind, "timestamp": _timestamp(at), "data": data})


def _entry(told: Told) -> dict[str, Any]:
    if told.push is None:
        data = told.payload or {}
    else:
        data = msgspec.to_builtins(told.push)
        del data["push"]  # the type says it
    return {"type": type_of(told), "timestamp": _timestamp(told.at), "data": data}


def _digest(told: tuple[Told, ...]) -> dict[str, Any]:
    """Return how many are told, and which of each room, by seq."""
    rooms: dict[str, dict[str, int]] = {}
    for push in (each.push for each in told):
        if push is None:
            continue
        room = rooms.setdefault(
            push.room, {"count": 0, "first_seq": push.seq, "last_seq": push.seq}
        )
        room["count"] += 1
        room["first_seq"] = min(room["first_seq"], push.seq)
        room["last_seq"] = max(room["last_seq"], push.seq)
    return {"count": len(told), "rooms": rooms}


def _timestamp(at: float) -> str:
    return timestamp(datetime.fromtimestamp(at, UTC))
