"""Rows between the database and the wire.

`EventRow` is an event's columns in the order in which they are written and read;
`as_push` is the one place that makes a push of it. `LockedRoom` is what a batch
learns of a room.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from headgate.chat.people import author
from headgate.protocol.pushes import (
    Author,
    Deleted,
    Edited,
    LogEvent,
    Membership,
    Message,
)

__all__ = ["COLUMNS", "EventRow", "LockedRoom", "as_push", "timestamp"]


class EventRow(Struct):
    """The columns of `models.Event` but for its id; C makes it, for each message."""

    room_id: int
    seq: int
    kind: str
    author_key: str
    author_name: str
    client_id: str | None
    digest: bytes | None
    text: str
    details: dict[str, Any] | None
    target: int | None
    at: datetime
    edited_seq: int | None = None
    deleted_seq: int | None = None


COLUMNS = EventRow.__struct_fields__


class LockedRoom(Struct, array_like=True):
    """A room whose row this transaction holds; `head` is what it was before.

    `guarded` says that somebody is or was banned or muted there, so that everybody
    who writes has to be looked up.
    """

    id: int
    slug: str
    kind: str
    head: int
    guarded: bool


@lru_cache(maxsize=64)  # the events of one transaction share their time
def timestamp(at: datetime) -> str:
    """Return a time as it stands on the wire: ISO 8601, UTC, milliseconds."""
    utc = at.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="milliseconds") + "Z"


def as_push(row: EventRow, room: str) -> LogEvent:
    """Return the push that tells an event in the room with this slug.

    What another version has written into the details, and this one does not know, is
    left out: everybody who reads the room comes by this row.
    """
    by = author(row.author_key, row.author_name)
    at = timestamp(row.at)
    if row.kind == "message":
        message = Message(
            room=room,
            seq=row.seq,
            client_id=row.client_id,
            author=by,
            text=row.text,
            at=at,
            edited=row.edited_seq,
            deleted=row.deleted_seq is not None,
        )
        if not row.details:  # as with most
            return message
        return replace(message, **_known(row.details, _OF_MESSAGES))
    details = row.details or {}
    if row.kind == "membership":
        return Membership(
            room=room,
            seq=row.seq,
            member=Author(**_known(details["member"], Author.__struct_fields__)),
            change=details["change"],
            role=details.get("role"),
            until=details.get("until"),
            author=by,
            at=at,
        )
    target = row.target or 0
    if row.kind == "deleted":
        return Deleted(room=room, seq=row.seq, target=target, author=by, at=at)
    return Edited(
        room=room,
        seq=row.seq,
        target=target,
        author=by,
        text=row.text,
        at=at,
        deleted=row.deleted_seq is not None,
        **_known(details, _OF_EDITS),
    )


# What the log keeps in the details; all else of these pushes has a column.
_OF_EDITS = ("format", "data", "state")
_OF_MESSAGES = (
    *_OF_EDITS,
    "kind",
    "reply_to",
    "priority",
    "expires_in_ms",
    "open",
)


def _known(details: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: details[name] for name in fields if name in details}
