"""Between the text of a frame and structs.

Servers newer than this client are expected: unknown fields are ignored, unknown
pushes are left out, and an unknown event keeps its place in the room's log as
`UnknownEvent`. Only what breaks the wire's frame raises `Unreadable`.
"""

from __future__ import annotations

from typing import Any, Union

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from headgate.protocol.commands import (
    Append,
    Cancel,
    Command,
    Delete,
    Edit,
    History,
    Join,
    Send,
)
from headgate.protocol.pushes import (
    PUSHES,
    Deleted,
    Done,
    Edited,
    Error,
    EventsPage,
    Gap,
    GoingAway,
    Joined,
    LogEvent,
    Membership,
    Message,
    MessagesPage,
    Partial,
    Presence,
    ReadMark,
    Reset,
    RoomChanged,
    Rooms,
    Saved,
    TypingSignal,
    Welcome,
)

__all__ = [
    "Answer",
    "FromServer",
    "LogPush",
    "Page",
    "Push",
    "Reply",
    "RoomLost",
    "UnknownEvent",
    "Unreadable",
    "decode_frame",
    "decode_reply",
    "encode_command",
]


class UnknownEvent(Struct, kw_only=True, frozen=True):
    """An event of a kind that this version of the client does not know."""

    push: str
    room: str
    seq: int
    raw: dict[str, Any]


class RoomLost(Struct, kw_only=True, frozen=True):
    """The server no longer lets us watch this room; the client has left it."""

    room: str
    error: Error


class Answer(Struct, kw_only=True, frozen=True):
    """A reply whose kind only the command knows; `reply` None answers no command."""

    reply: int | None
    error: Error | None
    text: str


class Page(Struct, kw_only=True, frozen=True):
    """A page of events in which unknown ones keep their place."""

    reply: int
    events: list[LogEvent | UnknownEvent]
    head: int
    epoch: str
    more: bool

    def known(self, room: str) -> EventsPage:
        """Return the page with the events that this client knows."""
        events = [e for e in self.events if not isinstance(e, UnknownEvent)]
        return EventsPage(
            reply=self.reply,
            room=room,
            events=events,
            head=self.head,
            epoch=self.epoch,
            more=self.more,
        )


class Unreadable(Exception):  # noqa: N818 - it ends a connection, nobody sees it
    """The server sent what is not of this wire."""


LogPush = LogEvent | UnknownEvent
FromServer = (
    Welcome
    | LogPush
    | TypingSignal
    | ReadMark
    | Partial
    | Presence
    | Gap
    | Reset
    | RoomChanged
    | Rooms
    | GoingAway
)
Push = (
    LogPush
    | TypingSignal
    | ReadMark
    | Partial
    | Presence
    | Reset
    | RoomChanged
    | Rooms
    | RoomLost
)
Reply = Saved | Joined | MessagesPage | Page | Done


class _Head(Struct):
    """As much of an object as is needed to know what it is."""

    push: str | None = None
    reply: int | UnsetType | None = UNSET
    error: Error | None = None
    room: Any = None  # of pushes that we do not know, anything
    seq: Any = None


class _LoosePage(Struct):
    reply: int
    events: list[Raw]
    head: int
    epoch: str
    more: bool


_LOG_TAGS = frozenset(
    str(struct.__struct_config__.tag)
    for struct in (Message, Edited, Deleted, Membership)
)
_KNOWN_TAGS = frozenset(str(struct.__struct_config__.tag) for struct in PUSHES)

_decode_head = msgspec.json.Decoder(_Head).decode
# A Union made at run time: `X | Y` cannot be spelled over a tuple.
_decode_push = msgspec.json.Decoder(Union[PUSHES]).decode  # noqa: UP007
_decode_loosely = msgspec.json.Decoder(dict[str, Any]).decode
_decode_page = msgspec.json.Decoder(_LoosePage).decode
_decode_messages = msgspec.json.Decoder(MessagesPage).decode
_decode_saved = msgspec.json.Decoder(Saved).decode
_decode_joined = msgspec.json.Decoder(Joined).decode
_decode_done = msgspec.json.Decoder(Done).decode
_encode = msgspec.json.Encoder().encode


def encode_command(command: Command, number: int | None = None) -> str:
    """Return a command as text, without the fields that say nothing."""
    fields: dict[str, Any] = {"cmd": command.__struct_config__.tag}
    if number is not None:
        fields["id"] = number
    for field in msgspec.structs.fields(command):
        value = getattr(command, field.name)
        make = field.default_factory
        default = field.default if make is msgspec.NODEFAULT else make()
        if field.name != "id" and value != default and value is not None:
            fields[field.encode_name] = value
    return _encode(fields).decode()


def decode_frame(text: str) -> FromServer | Answer | None:
    """Return the push or reply of a frame, or None for what may be ignored.

    Raises:
        Unreadable: The frame holds no object of this wire.
    """
    try:
        head = _decode_head(text)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise Unreadable(str(exc)) from exc
    if head.push is not None:
        return _push(head, text)
    if isinstance(head.reply, UnsetType):
        raise Unreadable("neither a push nor a reply")
    return Answer(reply=head.reply, error=head.error, text=text)


def decode_reply(command: Command, text: str) -> Reply:
    """Return the reply to a command.

    Raises:
        Unreadable: It is not the reply that this command has.
    """
    try:
        match command:
            case Append(state=None):
                return _decode_done(text)
            case Send() | Append() | Cancel() | Edit() | Delete():
                return _decode_saved(text)
            case Join():
                return _decode_joined(text)
            case History(of="messages"):
                return _decode_messages(text)
            case History():
                return _page(text)
            case _:
                return _decode_done(text)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise Unreadable(str(exc)) from exc


def _push(head: _Head, text: str | Raw) -> FromServer | None:
    try:
        if head.push in _KNOWN_TAGS:
            push: FromServer = _decode_push(text)
            return push
    except (msgspec.MsgspecError, RecursionError):
        if head.push not in _LOG_TAGS:
            return None
        # An event with, say, a new kind of author: it keeps its place.
        return _unknown(head, text)
    # A push of another version. If it was an event, its seq shows as a hole when
    # the next one comes, and the hole is read from the log.
    return None


def _page(text: str) -> Page:
    page = _decode_page(text)
    events: list[LogPush] = []
    for raw in page.events:
        head = _decode_head(raw)
        event = _push(head, raw) if head.push in _LOG_TAGS else _unknown(head, raw)
        if isinstance(event, Message | Edited | Deleted | Membership | UnknownEvent):
            events.append(event)
    return Page(
        reply=page.reply,
        events=events,
        head=page.head,
        epoch=page.epoch,
        more=page.more,
    )


def _unknown(head: _Head, text: str | Raw) -> UnknownEvent | None:
    room, seq = head.room, head.seq
    if head.push is None or not isinstance(room, str) or not isinstance(seq, int):
        return None
    raw = _decode_loosely(text)
    return UnknownEvent(push=head.push, room=room, seq=seq, raw=raw)
