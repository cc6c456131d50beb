"""What the HTTP API takes and answers, beside what the wire has already.

Field names are those of the wire, and the OpenAPI description is made from these
structs, so that it says what is sent.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from headgate.protocol.fields import MAX_ROOMS, GuestName, RoomSlug
from headgate.protocol.pushes import (
    Author,
    Deleted,
    Edited,
    Limit,
    Membership,
    Message,
)

Role = Literal["owner", "moderator", "member"]
MIN_MS = 1000  # of slow mode and of a mute, unless there is none
MAX_SLOW_MODE_MS = 6 * 3600 * 1000
MAX_MUTE_MS = 30 * 24 * 3600 * 1000

__all__ = [
    "Connect",
    "Connected",
    "EventsRead",
    "Limits",
    "MemberChange",
    "MemberChanged",
    "MemberShown",
    "MembersShown",
    "MessagesRead",
    "PlainPosted",
    "Posted",
    "RoomChange",
    "RoomShown",
    "RoomsShown",
]


class Connect(Struct, kw_only=True):
    """Which rooms somebody wants to join, and the name that a guest wants."""

    rooms: Annotated[list[RoomSlug], Meta(max_length=MAX_ROOMS)] = []
    name: GuestName | None = None


class Connected(Struct, kw_only=True, omit_defaults=True):
    """The descriptor: what it takes to open a WebSocket as `user`.

    `ticket` is good once, and for `ticket_expires_in_ms`. `guest`, presented again in
    the header `Headgate-Guest`, makes the same guest. `limits` are the policies that
    apply.
    """

    url: str
    protocol: str
    ticket: str
    ticket_expires_in_ms: int
    rooms: list[str]
    limits: list[Limit]
    user: Author
    guest: str | None = None


class RoomShown(Struct, kw_only=True, omit_defaults=True):
    """A room as it stands for the caller.

    `read` is their read mark. `unread` counts messages and stops at 100. `role` is
    there for members, and `slow_mode_ms` where one has to wait between two messages.
    Whether they moderate it, and whether they may only read it, is told of a room that
    was asked for by its name, and not in a list.
    """

    room: str
    title: str
    kind: Literal["public", "group", "direct"]
    head: int
    epoch: str
    read: int
    unread: int
    role: Role | None = None
    slow_mode_ms: int | None = None
    moderates: bool = False
    read_only: bool = False


class RoomChange(Struct, kw_only=True):
    """What is to be changed of a room: the time between two messages of one person."""

    slow_mode_ms: Annotated[int, Meta(ge=0, le=MAX_SLOW_MODE_MS)]


class RoomsShown(Struct, kw_only=True, omit_defaults=True):
    """A page of rooms by their names; `next` is the `after` of the next page."""

    rooms: list[RoomShown]
    next: str | None = None


class MemberShown(Struct, kw_only=True, omit_defaults=True):
    """How somebody stands in a room.

    `role` is there for owners and moderators, and in rooms of members for those as
    well. `muted_until` is there for as long as it lasts.
    """

    member: Author
    role: Role | None = None
    muted_until: str | None = None
    banned: bool = False


class MembersShown(Struct, kw_only=True, omit_defaults=True):
    """A page of people by their ids; `next` is the `after` of the next page."""

    members: list[MemberShown]
    next: str | None = None


class MemberChange(Struct, kw_only=True):
    """What is to become of somebody in a room: one of the two, or both.

    `mute_ms` is for how long they may not write from now on; 0 lets them write.
    """

    mute_ms: Annotated[int, Meta(ge=0, le=MAX_MUTE_MS)] | UnsetType = UNSET
    banned: bool | UnsetType = UNSET


class MemberChanged(MemberShown, kw_only=True, omit_defaults=True):
    """How somebody stands now.

    `seq` and `at` are those of the event by which it came, of the last if there were
    two. Where nothing was changed there was none.
    """

    seq: int | None = None
    at: str | None = None


class MessagesRead(Struct, kw_only=True):
    """Messages as they are at `head`, in ascending order; `more` are there beyond."""

    room: str
    messages: list[Message]
    head: int
    epoch: str
    more: bool


class EventsRead(Struct, kw_only=True):
    """Events as they happened, in ascending order; `more` are there beyond."""

    room: str
    events: list[Message | Edited | Deleted | Membership]
    head: int
    epoch: str
    more: bool


class Posted(Struct, kw_only=True, omit_defaults=True):
    """The event is saved, with this seq. The same again gives the first seq."""

    seq: int
    at: str
    client_id: str | None = None


class PlainPosted(Struct, kw_only=True, omit_defaults=True):
    """The answer to a message that was posted to the WebSocket's own URL."""

    message: Literal["Message received and saved."]
    seq: int
    at: str
    client_id: str | None = None
    connect: Connected


class Limits(Struct, kw_only=True):
    """The policies that apply to the caller, and what is left of each."""

    limits: list[Limit]
