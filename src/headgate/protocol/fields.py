"""The types of single fields, with their limits.

A limit stands here once; the JSON Schema and the error texts are derived.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

__all__ = [
    "AUTHOR_ID_PATTERN",
    "AUTHOR_ID_RULE",
    "HEARTBEAT_SECONDS",
    "MAX_AUTHOR_ID",
    "MAX_CLIENT_ID",
    "MAX_COMMAND_BYTES",
    "MAX_DATA_BYTES",
    "MAX_DATA_DEPTH",
    "MAX_FRAME_BYTES",
    "MAX_GUEST_NAME",
    "MAX_INTEGER",
    "MAX_PAGE",
    "MAX_PENDING",
    "MAX_ROOMS",
    "PACE_PATTERN",
    "PACE_RULE",
    "ROOM_PATTERN",
    "ROOM_RULE",
    "RULES",
    "UNREAD_CAP",
    "ClientId",
    "CommandId",
    "Format",
    "GuestName",
    "Kind",
    "Pace",
    "PageSize",
    "Priority",
    "RoomSlug",
    "Seq",
    "State",
]

MAX_COMMAND_BYTES = 16 * 1024  # above: error too_large
MAX_FRAME_BYTES = 64 * 1024  # above: the connection is closed with 1009
MAX_CLIENT_ID = 64  # characters
MAX_INTEGER = 2**53 - 1  # beyond it JSON programs cannot agree (RFC 7493, section 2.2)
MAX_DATA_BYTES = 4 * 1024  # a message's `data`, as JSON
MAX_DATA_DEPTH = 16  # nesting of a message's `data`
MAX_GUEST_NAME = 40  # characters
MAX_PAGE = 200  # entries in one page of history
MAX_PENDING = 50  # client_ids asked about per room in hello
MAX_ROOMS = 100  # rooms that one connection may join
HEARTBEAT_SECONDS = 25.0  # between a client's pings; proxies cut idle ones at 30 to 60
UNREAD_CAP = 100  # unread counts stop here

# Python lets `$` match before a last newline; the look-ahead forbids it there too.
ROOM_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$(?!\n)"
ROOM_RULE = (
    "a room's name has 1 to 64 letters, digits, '_', '.' or '-' "
    "and begins with a letter or digit"
)
MAX_AUTHOR_ID = 64  # characters
AUTHOR_ID_PATTERN = r"^[a-z]:[^\x00-\x1f\x7f/]{1,62}$(?!\n)"
AUTHOR_ID_RULE = "the `id` of an author, as it came with what they wrote"
PACE_PATTERN = r"^[1-9][0-9]{0,5}/([1-9][0-9]{0,3})?(s|min|h)(:[1-9][0-9]{0,5})?$(?!\n)"
PACE_RULE = (
    "so many events in a period: a number, a slash and a period, and how many may come "
    "at once after a colon: `5/s`, `60/min:10`; periods are s, min and h"
)
_KIND_RULE = "`text`, or `x-` and 1 to 30 lower case letters, digits or '-'"

# What a pattern asks for, in words, by the fields that have it.
RULES = {
    "room": ROOM_RULE,
    "resume": ROOM_RULE,
    "pending": ROOM_RULE,
    "kind": _KIND_RULE,
    "pace": PACE_RULE,
}

RoomSlug = Annotated[
    str,
    Meta(
        pattern=ROOM_PATTERN,
        max_length=64,
        description=ROOM_RULE,
    ),
]
Seq = Annotated[
    int,
    Meta(ge=0, le=MAX_INTEGER, description="a place in a room's log; 0 is before all"),
]
CommandId = Annotated[
    int,
    Meta(
        ge=0, le=MAX_INTEGER, description="chosen by the client, repeated in the reply"
    ),
]
ClientId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_CLIENT_ID,
        description="the sender's own id of a message; the same id is the same message",
    ),
]
GuestName = Annotated[str, Meta(min_length=1, max_length=MAX_GUEST_NAME)]
Kind = Annotated[
    str,
    Meta(
        pattern=r"^(text|x-[a-z0-9-]{1,30})$(?!\n)",
        description=_KIND_RULE,
    ),
]
Pace = Annotated[
    str,
    Meta(
        pattern=PACE_PATTERN,
        max_length=24,
        description=PACE_RULE,
    ),
]
PageSize = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
Format = Literal["plain", "markdown"]
Priority = Literal["high", "normal", "low"]
# How a growing message has ended.
State = Literal["done", "cut", "cancelled"]
