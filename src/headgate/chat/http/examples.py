"""The examples in the API's description; as structs, so that they have the fields."""

from __future__ import annotations

from msgspec import structs

from headgate.chat.http.schemas import (
    Connected,
    EventsRead,
    Limits,
    MemberChanged,
    MemberShown,
    MembersShown,
    MessagesRead,
    Posted,
    RoomShown,
    RoomsShown,
)
from headgate.protocol.pushes import Author, Edited, Limit, Message

__all__ = [
    "CHANGED",
    "CONNECT",
    "CONNECTED",
    "EDIT",
    "EVENTS",
    "LIMITS",
    "MEMBERS",
    "MESSAGES",
    "MUTE",
    "MUTED",
    "POSTED",
    "ROOM",
    "ROOMS",
    "SEND",
    "SLOW_MODE",
    "SLOW_ROOM",
]

_ADA = Author(id="u:5", kind="user", name="Ada Lovelace")
_AT = "2026-02-03T10:20:30.456Z"
_HI = Message(
    room="general", seq=41, client_id="c-17", author=_ADA, text="hi", at=_AT, edited=42
)
_EDITED = Edited(room="general", seq=42, target=41, author=_ADA, text="hi", at=_AT)

_LIMITS = [
    Limit(policy="send", key="user and room", burst=10, per_second=1.0),
    Limit(policy="send.all", key="user", burst=20, per_second=1.0, remaining=20),
]

CONNECT = {"rooms": ["general"]}
SEND = {"text": "hi", "client_id": "c-17"}
EDIT = {"text": "hello"}
CONNECTED = Connected(
    url="wss://chat.example/ws/chat/",
    protocol="headgate.v1",
    ticket="WzEyMywgMTc3MDExNDA2MC40NTYsICJ1OjUiLCAiIiwgIiIsICIiLCAiIl0.signature",
    ticket_expires_in_ms=30_000,
    rooms=["general"],
    limits=_LIMITS,
    user=_ADA,
)
LIMITS = Limits(limits=_LIMITS)
ROOM = RoomShown(
    room="general",
    title="General",
    kind="public",
    head=42,
    epoch="5f0c2a71",
    read=40,
    unread=1,
)
SLOW_MODE = {"slow_mode_ms": 30_000}
SLOW_ROOM = structs.replace(ROOM, slow_mode_ms=30_000)
ROOMS = RoomsShown(rooms=[ROOM], next="general")
_GUS = Author(id="g:0d1f2a3b4c5d6e7f", kind="guest", name="Gus")
_UNTIL = "2026-02-03T10:30:30.456Z"
MEMBERS = MembersShown(
    members=[
        MemberShown(member=_GUS, muted_until=_UNTIL),
        MemberShown(member=_ADA, role="owner"),
    ]
)
MUTE = {"mute_ms": 600_000}
MUTED = MemberChanged(member=_GUS, muted_until=_UNTIL, seq=42, at=_AT)
MESSAGES = MessagesRead(
    room="general", messages=[_HI], head=42, epoch="5f0c2a71", more=False
)
EVENTS = EventsRead(
    room="general", events=[_EDITED], head=42, epoch="5f0c2a71", more=False
)
POSTED = Posted(seq=41, at=_AT, client_id="c-17")
CHANGED = Posted(seq=42, at=_AT)
