"""What the server sends: pushes, replies and errors of `headgate.v1`, and plain mode.

Field names, their order and what is left out when empty are part of the wire: the
golden files hold them to the byte.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from headgate.protocol.fields import Format, Priority, State

__all__ = [
    "EVENTS",
    "PUSHES",
    "REPLIES",
    "SIGNALS",
    "Author",
    "Deleted",
    "Done",
    "Edited",
    "Error",
    "EventsPage",
    "Failure",
    "Gap",
    "GoingAway",
    "Joined",
    "Limit",
    "LogEvent",
    "Membership",
    "Message",
    "MessagesPage",
    "Partial",
    "PlainFailure",
    "PlainGap",
    "PlainMessage",
    "PlainReset",
    "PlainSaved",
    "PlainSpan",
    "Presence",
    "ReadMark",
    "Reset",
    "RoomChanged",
    "RoomJoined",
    "Rooms",
    "Saved",
    "TypingSignal",
    "Welcome",
]


class Author(Struct, frozen=True, omit_defaults=True):
    """Who did it. `id` is stable and public; it is no user name and no secret."""

    id: str
    kind: Literal["user", "guest", "bot", "system", "deleted"]
    name: str
    avatar_url: str | None = None


class Error(Struct, kw_only=True, omit_defaults=True):
    """Why a command was refused.

    `field` names what to mend; `retry_after_ms`, positive and finite, says when the
    same command may succeed; `client_id` says which message it is about; `at` is where
    the text of a growing message ends.
    """

    code: str
    text: str
    field: str | None = None
    policy: str | None = None
    retry_after_ms: int | None = None
    remaining: int | None = None
    client_id: str | None = None
    at: int | None = None


# --- replies -------------------------------------------------------------------


class Failure(Struct, kw_only=True):
    """The command `reply` was refused; null where no command is to blame."""

    reply: int | None
    error: Error


class Done(Struct, kw_only=True, omit_defaults=True):
    """The command was carried out.

    `result` is what a project's own command answers; Headgate's have nothing to tell.
    """

    reply: int
    result: Any = None


class Saved(Struct, kw_only=True):
    """The event is saved, with this seq. The same again gives the first seq."""

    reply: int
    seq: int
    at: str


class RoomJoined(Struct, kw_only=True, omit_defaults=True):
    """A room as it stands, in `welcome.rooms`; a refused one has only `error`.

    `landed` maps the client_ids of `pending` that are saved to their seqs.
    `slow_mode_ms` is the time between two messages of one person, if there must be
    one. Whoever `moderates` may set that, delete messages, mute and ban; to whom it is
    `read_only` may not write. A mute is not told here.
    """

    head: int | None = None
    epoch: str | None = None
    title: str | None = None
    read: int | None = None
    unread: int | None = None
    slow_mode_ms: int | None = None
    moderates: bool = False
    read_only: bool = False
    landed: dict[str, int] = {}
    error: Error | None = None


class Joined(Struct, kw_only=True, omit_defaults=True):
    """The reply to `join`: the room as it stands."""

    reply: int
    room: str
    head: int
    epoch: str
    title: str | None = None
    read: int | None = None
    unread: int | None = None
    slow_mode_ms: int | None = None
    moderates: bool = False
    read_only: bool = False


class MessagesPage(Struct, kw_only=True):
    """Messages as they are at `head`, in ascending order."""

    reply: int
    room: str
    messages: list[Message]
    head: int
    epoch: str
    more: bool


class EventsPage(Struct, kw_only=True):
    """Events as they happened, in ascending order."""

    reply: int
    room: str
    events: list[Message | Edited | Deleted | Membership]
    head: int
    epoch: str
    more: bool


# --- durable pushes: the log ---------------------------------------------------


class Message(
    Struct, kw_only=True, omit_defaults=True, tag_field="push", tag="message"
):
    """A message. In a log read later, its text is what it is now.

    `edited` is the seq of the last edit; a deleted message has `deleted` and no text.
    One that is `open` still grows; `state` says how it ended where it was not `done`.
    """

    room: str
    seq: int
    client_id: str | None = None
    author: Author
    text: str
    at: str
    kind: str = "text"
    format: Format = "plain"
    data: dict[str, Any] | None = None
    reply_to: int | None = None
    priority: Priority = "normal"
    expires_in_ms: int | None = None
    edited: int | None = None
    deleted: bool = False
    open: bool = False
    state: Literal["cut", "cancelled"] | None = None


class Edited(Struct, kw_only=True, omit_defaults=True, tag_field="push", tag="edited"):
    """The message `target` has another text; with a `state` it has ended to grow."""

    room: str
    seq: int
    target: int
    author: Author
    text: str
    at: str
    format: Format = "plain"
    data: dict[str, Any] | None = None
    deleted: bool = False
    state: State | None = None


class Deleted(
    Struct, kw_only=True, omit_defaults=True, tag_field="push", tag="deleted"
):
    """The message `target` is gone."""

    room: str
    seq: int
    target: int
    author: Author
    at: str


class Membership(
    Struct,
    kw_only=True,
    omit_defaults=True,
    tag_field="push",
    tag="membership",
):
    """Somebody's standing in the room changed."""

    room: str
    seq: int
    member: Author
    change: Literal[
        "added", "removed", "role", "muted", "unmuted", "banned", "unbanned"
    ]
    role: str | None = None
    until: str | None = None
    author: Author
    at: str


# --- other pushes --------------------------------------------------------------


class Limit(Struct, kw_only=True, omit_defaults=True):
    """A policy as it is for somebody: `burst` at once, and `per_second` after that.

    `key` says what it counts by. `remaining` is what is left at this moment, and
    `retry_after_ms` when there is one again where nothing is. With a `room` it is for
    that room.
    """

    policy: str
    key: str
    burst: int
    per_second: float
    remaining: int | None = None
    retry_after_ms: int | None = None
    room: str | None = None


class Welcome(
    Struct, kw_only=True, omit_defaults=True, tag_field="push", tag="welcome"
):
    """The answer to `hello`. `guest`, presented again, makes the same guest."""

    user: Author
    guest: str | None = None
    ticket: str | None = None
    rooms: dict[str, RoomJoined]
    limits: list[Limit]
    heartbeat_ms: int
    max_message_bytes: int


class TypingSignal(Struct, kw_only=True, tag_field="push", tag="typing"):
    """Somebody writes, or no longer. Forget it after 6 s without another."""

    room: str
    author: Author
    typing: bool


class ReadMark(Struct, kw_only=True, tag_field="push", tag="read"):
    """Somebody has read up to `seq`."""

    room: str
    author: Author
    seq: int


class Partial(Struct, kw_only=True, tag_field="push", tag="partial"):
    """What a growing message's text is from the offset `at` on, in code points."""

    room: str
    seq: int
    at: int
    text: str


class Presence(
    Struct, kw_only=True, omit_defaults=True, tag_field="push", tag="presence"
):
    """Who is in a room: all who are `here`, or who `joined` and `left` (by id) since.

    Where it is `off` there are too many to be told, until there is a `here` again.
    """

    room: str
    here: list[Author] | None = None
    joined: list[Author] = []
    left: list[str] = []
    off: bool = False


class Gap(Struct, kw_only=True, tag_field="push", tag="gap"):
    """Events left out on purpose, there to be fetched with `history`."""

    room: str
    from_: int = field(name="from")
    to: int


class Reset(Struct, kw_only=True, tag_field="push", tag="reset"):
    """What you know of the room no longer fits: load it afresh, then go on live."""

    room: str
    oldest: int
    head: int
    epoch: str


class RoomChanged(
    Struct, kw_only=True, omit_defaults=True, tag_field="push", tag="room"
):
    """The room is another for you: its slow mode, or what you may do there.

    It says all of them as they are now. `slow_mode_ms` is 0 where there is none, and
    whoever is `exempt` is free of it.
    """

    room: str
    slow_mode_ms: int
    exempt: bool = False
    moderates: bool = False
    read_only: bool = False


class Rooms(Struct, kw_only=True, omit_defaults=True, tag_field="push", tag="rooms"):
    """What concerns the connection's own user in any room."""

    joined: list[str] = []
    left: list[str] = []
    unread: dict[str, int] = {}


class GoingAway(
    Struct,
    kw_only=True,
    omit_defaults=True,
    tag_field="push",
    tag="going_away",
):
    """The server stops; come back after this long."""

    reconnect_in_ms: int
    ticket: str | None = None


# --- plain mode ----------------------------------------------------------------


class PlainSaved(Struct, kw_only=True, omit_defaults=True):
    """The reply of plain mode."""

    message: Literal["Message received and saved."]
    seq: int
    client_id: str | None = None


class PlainMessage(Struct, kw_only=True, omit_defaults=True):
    """A message in plain mode. Only broadcasts have `author`."""

    message: str
    author: str
    seq: int
    at: str
    client_id: str | None = None


class PlainFailure(Struct, kw_only=True, omit_defaults=True):
    """A refusal in plain mode: the code itself, then what helps."""

    error: str
    text: str | None = None
    field: str | None = None
    retry_after_ms: int | None = None
    policy: str | None = None
    client_id: str | None = None


class PlainSpan(Struct, kw_only=True):
    """A run of seqs, both ends included."""

    from_: int = field(name="from")
    to: int


class PlainGap(Struct, kw_only=True):
    """Events left out on purpose, in plain mode."""

    gap: PlainSpan


class PlainResetTo(Struct, kw_only=True):
    """Where the room's log begins and ends."""

    oldest: int
    head: int


class PlainReset(Struct, kw_only=True):
    """What you know no longer fits, in plain mode."""

    reset: PlainResetTo


LogEvent = Message | Edited | Deleted | Membership
EVENTS = (Message, Edited, Deleted, Membership)
SIGNALS = TypingSignal | ReadMark  # that one process hands to another
PUSHES = (
    Welcome,
    *EVENTS,
    TypingSignal,
    ReadMark,
    Partial,
    Presence,
    Gap,
    Reset,
    RoomChanged,
    Rooms,
    GoingAway,
)
REPLIES = (Failure, Done, Saved, Joined, MessagesPage, EventsPage)
