"""What the project wants to be told: `@headgate.on("message", rooms="order-*")`.

Handlers are found in each app's `headgate_hooks.py`. They are called after the commit,
once, in the process that wrote, and at best: whoever must not miss anything reads the
log, or asks for `owed=True`. See `headgate.chat.teller` for how they are called.

What is owed is kept with the event, in its transaction, and called by the worker of
`headgate.outbound` until it succeeds.
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
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from headgate.chat.project_functions import ProjectFunction, project_function
from headgate.limits.policy import Policy
from headgate.protocol.pushes import Author, Deleted, Edited, LogEvent, Message

__all__ = [
    "Handler",
    "RoomEvent",
    "call_here",
    "handlers_of",
    "is_anybody_told",
    "on",
    "owed_handlers",
    "rate_of_calls",
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
        open: Of a message: whether its text still grows.
        state: Of a message that grew, and of the edit that ended it: done, cut or
            cancelled.
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
    open: bool = False
    state: str | None = None
    target: int | None = None
    member: Author | None = None
    change: str | None = None
    role: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Handler:
    """A function of the project, and what it wants to be told.

    `events`, `rooms` and `rate` are of those that are owed: names, patterns of slugs,
    and how often it may be called; an empty rate is none.
    """

    function: ProjectFunction
    name: str
    matches: Callable[[str], object]
    events: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    rate: str = ""


_handlers: dict[str, list[Handler]] = {}
_owed: dict[str, Handler] = {}  # by `function:dotted.name`


def on(
    event: str,
    *,
    rooms: str | Iterable[str] = "*",
    owed: bool = False,
    rate: str | None = None,
) -> Callable[[F], F]:
    """Return a decorator that has a function called after each event.

    Those of rooms are given a `RoomEvent`; `connected` is given the actor, and
    `disconnected` the actor, the close code, the reason and for how many seconds they
    were there. The function may be sync, and use the ORM, or async.

    Args:
        event: message, edited, deleted, membership, connected or disconnected.
        rooms: Patterns of the rooms' slugs, such as `order-*`: one, or several.
        owed: Whether each call is kept in the database, in the event's transaction,
            and retried until the function returns without an exception. The worker of
            `headgate.outbound` calls it, at least once for each event.
        rate: How often it may be called, with `owed`: `4/s:1`, or `60/min:20` with a
            burst of 20. For all events of the function, in all processes together.

    Raises:
        ImproperlyConfigured: There is no such event; or `owed` is asked for what is
            about no room, without `headgate.outbound`, or again for other rooms or
            with another rate; or `rate` is none, or given without `owed`.
    """
    known = (*_ROOM_EVENTS, *_CONNECTION_EVENTS)
    if event not in known:
        raise ImproperlyConfigured(
            f"There is no event {event!r} to be told of: {', '.join(known)}.",
        )
    if owed:
        _check_owed(event)
    elif rate is not None:
        raise ImproperlyConfigured(
            f"rate={rate!r} is for calls that are owed, since those can wait for their "
            "turn: write owed=True as well, or leave it out.",
        )
    paced = "" if rate is None else rate_of_calls(rate)
    patterns = [rooms] if isinstance(rooms, str) else list(rooms)
    if event in _CONNECTION_EVENTS and patterns != ["*"]:
        raise ImproperlyConfigured(f"{event!r} is about no room: leave out `rooms`.")
    matches = re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)").match

    def decorate(function: F) -> F:
        name = getattr(function, "__qualname__", repr(function))
        name = f"{getattr(function, '__module__', '')}.{name}"
        if owed:
            _owe(f"function:{name}", function, event, tuple(patterns), paced)
        else:
            handler = Handler(project_function(function), name, matches)
            _handlers.setdefault(event, []).append(handler)
        return function

    return decorate


def rate_of_calls(rate: Any) -> str:
    """Return how often a function may be called, as it is kept.

    Raises:
        ImproperlyConfigured: It is no rate.
    """
    text = rate.strip() if isinstance(rate, str) else repr(rate)
    try:
        Policy("external", text)
    except ValueError as exc:
        raise ImproperlyConfigured(f"rate={rate!r}: {exc}") from None
    return text


def _check_owed(event: str) -> None:
    if event in _CONNECTION_EVENTS:
        raise ImproperlyConfigured(
            f"{event!r} is in no log, so nothing can be owed for it: leave out `owed`.",
        )
    # Before the apps are there nobody knows; a system check says it then.
    if apps.apps_ready and not apps.is_installed("headgate.outbound"):
        raise ImproperlyConfigured(
            "owed=True needs 'headgate.outbound' in INSTALLED_APPS: it keeps what is "
            "owed, and calls until it succeeds.",
        )


def _owe(
    key: str,
    function: Callable[..., Any],
    event: str,
    rooms: tuple[str, ...],
    rate: str,
) -> None:
    first = _owed.get(key)
    if first is not None and first.rooms != rooms:
        raise ImproperlyConfigured(
            f"{key!r} is owed the events of {', '.join(first.rooms)} already. Write a "
            "function of its own for other rooms.",
        )
    if first is not None and rate and first.rate not in {"", rate}:
        raise ImproperlyConfigured(
            f"{key!r} is called at {first.rate} already, and not at {rate}. All its "
            "calls have one rate: write it once.",
        )
    events = dict.fromkeys((*(first.events if first else ()), event))
    matches = re.compile("|".join(map(fnmatch.translate, rooms)) or r"(?!)").match
    name = key.removeprefix("function:")
    known = project_function(function)
    rate = rate or (first.rate if first else "")
    _owed[key] = Handler(known, name, matches, tuple(events), rooms, rate)


def owed_handlers() -> dict[str, Handler]:
    """Return the handlers whose calls are owed, by `function:dotted.name`."""
    return dict(_owed)


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
        told["state"] = push.state
    if isinstance(push, Edited | Deleted):
        told["target"] = push.target
    elif isinstance(push, Message):
        told |= {"kind": push.kind, "reply_to": push.reply_to}
        told |= {"client_id": push.client_id, "open": push.open}
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
