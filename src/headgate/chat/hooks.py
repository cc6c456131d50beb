"""What the project wants to be told: `@headgate.on("message", rooms="order-*")`.

Handlers are found in each app's `headgate_hooks.py`. They are called after the commit,
once, in the process that wrote, and at best: whoever must not miss anything reads the
log. See `headgate.chat.teller` for how they are called.
"""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured

from headgate.chat.project_functions import ProjectFunction, project_function
from headgate.protocol.pushes import Author, Deleted, Edited, LogEvent, Message

__all__ = [
    "Handler",
    "RoomEvent",
    "call_here",
    "handlers_of",
    "is_anybody_told",
    "on",
    "room_event",
]

logger = logging.getLogger("headgate.hooks")

F = TypeVar("F", bound=Callable[..., Any])

# Of rooms, and of connections.
_ROOM_EVENTS = ("message", "edited", "deleted", "membership")
_CONNECTION_EVENTS = ("connected", "disconnected")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomEvent:
    """Something that was written into a room's log.

    Attributes:
        event: `message`, `edited`, `deleted` or `membership`.
        room: The room's slug.
        seq: Its place in the room's log.
        author: Who did it: `id`, `kind`, `name`, `avatar_url`.
        at: When, with a time zone.
        text: Of a message or an edit; empty for others.
        kind: Of a message: text, system, or x-… of the project's own.
        format: Of a message or an edit: plain or markdown.
        data: Of a message or an edit: a JSON object, or None.
        reply_to: Of a message: the seq of the one that it answers, or None.
        client_id: Of a message: its sender's own id for it, or None.
        target: Of an edit or a deletion: the seq of the message.
        member: Of a membership: whose it is.
        change: Of a membership: added, removed, role, muted, unmuted, banned, unbanned.
        role: Of a membership: the role that was given, or None.
        until: Of a membership: how long somebody is muted, or None.
    """

    event: str
    room: str
    seq: int
    author: Author
    at: datetime
    text: str = ""
    kind: str = "text"
    format: str = "plain"
    data: dict[str, Any] | None = None
    reply_to: int | None = None
    client_id: str | None = None
    target: int | None = None
    member: Author | None = None
    change: str | None = None
    role: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Handler:
    """A function of the project, and what it wants to be told."""

    function: ProjectFunction
    name: str
    matches: Callable[[str], object]


_handlers: dict[str, list[Handler]] = {}


def on(
    event: str,
    *,
    rooms: str | Iterable[str] = "*",
    owed: bool = False,
) -> Callable[[F], F]:
    """Return a decorator that has a function called after each event.

    Those of rooms are given a `RoomEvent`; `connected` is given the actor, and
    `disconnected` the actor, the close code, the reason and for how many seconds they
    were there. The function may be sync, and use the ORM, or async.

    Args:
        event: message, edited, deleted, membership, connected or disconnected.
        rooms: Patterns of the rooms' slugs, such as `order-*`: one, or several.
        owed: Not built in this version.

    Raises:
        ImproperlyConfigured: There is no such event, or `owed` is asked for.
    """
    known = (*_ROOM_EVENTS, *_CONNECTION_EVENTS)
    if event not in known:
        raise ImproperlyConfigured(
            f"There is no event {event!r} to be told of: {', '.join(known)}.",
        )
    if owed:
        raise ImproperlyConfigured(
            "owed=True asks for deliveries that are retried until they succeed, which "
            "this version does not have. Leave it out: handlers are called at best.",
        )
    patterns = [rooms] if isinstance(rooms, str) else list(rooms)
    if event in _CONNECTION_EVENTS and patterns != ["*"]:
        raise ImproperlyConfigured(f"{event!r} is about no room: leave out `rooms`.")
    matches = re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)").match

    def decorate(function: F) -> F:
        name = getattr(function, "__qualname__", repr(function))
        name = f"{getattr(function, '__module__', '')}.{name}"
        handler = Handler(project_function(function), name, matches)
        _handlers.setdefault(event, []).append(handler)
        return function

    return decorate


def is_anybody_told() -> bool:
    """Return whether the project has any handler."""
    return bool(_handlers)


def handlers_of(event: str, room: str = "") -> list[Handler]:
    """Return who wants to be told of an event, of a room or of none."""
    return [each for each in _handlers.get(event, ()) if each.matches(room)]


def room_event(push: LogEvent) -> RoomEvent:
    """Return what handlers are given of an event."""
    told: dict[str, Any] = {
        "event": push.__struct_config__.tag,
        "room": push.room,
        "seq": push.seq,
        "author": push.author,
        "at": datetime.fromisoformat(push.at),
    }
    if isinstance(push, Message | Edited):
        told |= {"text": push.text, "format": push.format, "data": push.data}
    if isinstance(push, Edited | Deleted):
        told["target"] = push.target
    elif isinstance(push, Message):
        told |= {"kind": push.kind, "reply_to": push.reply_to}
        told["client_id"] = push.client_id
    else:
        until = None if push.until is None else datetime.fromisoformat(push.until)
        told |= {"member": push.member, "change": push.change}
        told |= {"role": push.role, "until": until}
    return RoomEvent(**told)


def call_here(handlers: Iterable[Handler], *args: Any) -> None:
    """Call handlers in this thread; what they raise is logged."""
    for handler in handlers:
        function = handler.function
        try:
            if function.is_async:
                async_to_sync(function.call)(*args)
            else:
                function.call(*args)
        except (Exception, SystemExit):  # the project's fault is nobody else's
            logger.exception("handler_failed handler=%s", handler.name)
