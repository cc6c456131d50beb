"""What a client may send.

One struct per command of `headgate.v1`, told apart by `cmd`, and `PlainSend` for
plain mode. Unknown fields are ignored, so that newer clients work with older
servers; the wire only grows.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from headgate.protocol.fields import (
    MAX_COMMAND_BYTES,
    MAX_INTEGER,
    MAX_PENDING,
    MAX_ROOMS,
    ClientId,
    CommandId,
    Format,
    GuestName,
    Kind,
    Pace,
    PageSize,
    Priority,
    RoomSlug,
    Seq,
    State,
)

__all__ = [
    "COMMANDS",
    "UNBUILT",
    "Append",
    "Cancel",
    "Command",
    "Delete",
    "Edit",
    "Hello",
    "History",
    "Join",
    "Leave",
    "Ping",
    "PlainSend",
    "Position",
    "Read",
    "Send",
    "Typing",
]


class Position(Struct, frozen=True, forbid_unknown_fields=True):
    """A place in a room's log, with the epoch in which it was true."""

    seq: Seq
    epoch: str | None = None


class Command(Struct, tag_field="cmd", kw_only=True):
    """What all commands share."""

    id: CommandId | None = None


class Hello(Command, tag="hello"):
    """Open the conversation: who I am, where I was, what I do not know.

    `guest` is the `guest` of an earlier welcome; `name` the name a guest wants.
    `resume` maps a room to the last seq seen there, alone or with its epoch.
    `pending` maps a room to client_ids that were sent but never answered.
    `pace` is what the client wants at most of each of these rooms.
    """

    ticket: Annotated[str, Meta(max_length=2048)] | None = None
    guest: Annotated[str, Meta(max_length=1024)] | None = None
    name: GuestName | None = None
    resume: Annotated[dict[RoomSlug, Seq | Position], Meta(max_length=MAX_ROOMS)] = {}
    pending: Annotated[
        dict[RoomSlug, Annotated[list[ClientId], Meta(max_length=MAX_PENDING)]],
        Meta(max_length=MAX_ROOMS),
    ] = {}
    agent: Annotated[str, Meta(max_length=100)] | None = None
    pace: Pace | None = None


class Join(Command, tag="join"):
    """Watch a room: from now, or with `after` from that seq on.

    With a `pace`, events that come faster are left out, and told as a `gap`.
    """

    room: RoomSlug
    after: Seq | None = None
    epoch: str | None = None
    pace: Pace | None = None


class Leave(Command, tag="leave"):
    """Stop watching a room."""

    room: RoomSlug


class Send(Command, tag="send"):
    """Write a message; one that is `open` begins to grow, by `append`."""

    room: RoomSlug
    text: str
    client_id: ClientId | None = None
    kind: Kind = "text"
    format: Format = "plain"
    data: dict[str, Any] | None = None
    reply_to: Annotated[int, Meta(ge=1, le=MAX_INTEGER)] | None = None
    priority: Priority = "normal"
    expires_in_ms: Annotated[int, Meta(ge=1, le=MAX_INTEGER)] | None = None
    open: bool = False


class Append(Command, tag="append"):
    """Add to the text of one's own growing message, from the offset `at` on.

    Offsets are counted in code points. What is there already is not added again. With
    a `state` the message has ended. An empty text says that its author is still there.
    """

    room: RoomSlug
    seq: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
    at: Annotated[int, Meta(ge=0, le=MAX_COMMAND_BYTES)]
    text: str
    state: State | None = None


class Cancel(Command, tag="cancel"):
    """End somebody's growing message with the text that it has."""

    room: RoomSlug
    seq: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]


class Edit(Command, tag="edit"):
    """Replace the text of the message with the seq `target`."""

    room: RoomSlug
    target: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
    text: str
    format: Format = "plain"
    data: dict[str, Any] | None = None


class Delete(Command, tag="delete"):
    """Delete the message with the seq `target`; its seq stays."""

    room: RoomSlug
    target: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]


class Typing(Command, tag="typing"):
    """Say that one is writing, or no longer."""

    room: RoomSlug
    typing: bool = True


class Read(Command, tag="read"):
    """Move one's read mark up to `seq`; it never moves back."""

    room: RoomSlug
    seq: Seq


class History(Command, tag="history"):
    """Ask for a page of messages as they are now, or of events as they happened.

    `messages` come newest page first (`before`) or onward (`after`), always in
    ascending order within the page. `events` are read onward from `after` up to
    and including `to`.
    """

    room: RoomSlug
    of: Literal["messages", "events"] = "messages"
    before: Seq | None = None
    after: Seq | None = None
    to: Seq | None = None
    limit: PageSize = 50


class Ping(Command, tag="ping"):
    """Ask for a sign of life."""


class PlainSend(Struct):
    """The one command of plain mode."""

    message: str
    client_id: ClientId | None = None


COMMANDS = (
    Hello,
    Join,
    Leave,
    Send,
    Append,
    Cancel,
    Edit,
    Delete,
    Typing,
    Read,
    History,
    Ping,
)

# Belong to the protocol and answer `unsupported` until they are built.
UNBUILT = frozenset({"react"})
