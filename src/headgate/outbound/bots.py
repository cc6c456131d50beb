"""Bots of the project: `@headgate.bot("helper", rooms="help-*")` in an app's `bots.py`.

A bot is a handler that is owed each message of its rooms, and answers under a name of
its own, with the key `b:helper`. How it is called says `headgate.outbound.bot_call`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal, TypeVar

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured

from headgate.chat.hooks import RoomEvent, rate_of_calls, room_event
from headgate.chat.people import Actor
from headgate.outbound.answers_cache import AnswersCache
from headgate.outbound.bot_tokens import bot_actor
from headgate.outbound.budgets import Budgets
from headgate.outbound.destination_rules import (
    LOG_EVENTS,
    MAX_CONCURRENCY,
    MAX_TIMEOUT_SECONDS,
    rooms_mistake,
)
from headgate.outbound.models import Bot as BotRow
from headgate.outbound.registry import declare
from headgate.protocol.pushes import LogEvent, Message

__all__ = ["HandlerBot", "actor", "bot", "bot_named", "bots_with_budgets"]

F = TypeVar("F", bound=Callable[..., Any])

MAX_ATTEMPTS = 3  # an answer is soon of no use
MAX_HISTORY = 200  # messages: a page of history
# `hook-…` are those of incoming webhooks.
_is_name = re.compile(r"(?!hook-)[a-z][a-z0-9_-]{0,39}").fullmatch

When = Literal["mentioned"] | Callable[[RoomEvent], bool] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandlerBot:
    """A bot that is a function of the project.

    Attributes:
        actor: As whom it writes.
        function: Is called with the message, the history and a `Reply`.
        wants: Whether it is called for an event.
        history: How many messages before it are told.
        budgets: How often it may be called, and at what cost.
        answers: Where its answers are kept, or None.
    """

    name: str
    actor: Actor
    function: Callable[..., Any]
    wants: Callable[[RoomEvent], bool]
    history: int
    budgets: Budgets
    answers: AnswersCache | None


_bots: dict[str, HandlerBot] = {}


def bot(
    name: str,
    *,
    rooms: str | Iterable[str] = "*",
    events: Iterable[str] = ("message",),
    when: When = None,
    title: str = "",
    history: int = 20,
    rate: str | None = None,
    ordering: Literal["room", "none"] = "room",
    concurrency: int = 4,
    timeout_seconds: float = 120.0,
    limits: Mapping[str, str] | None = None,
    cache: Callable[[RoomEvent], str | None] | None = None,
    cache_seconds: float = 3600.0,
    cache_name: str = "default",
) -> Callable[[F], F]:
    """Return a decorator that makes a bot of `async def (message, history, reply)`.

    It is called after the commit, in the worker, once for each message that it is
    owed, and again if it fails: at most three times. It is not called for what bots
    and the system write, nor in rooms that it may not watch: of group rooms it has to
    be a member.

    Args:
        name: Lower case letters, digits, `_` and `-`; at most 40. Its key is `b:name`.
        rooms: Patterns of the rooms' slugs, such as `help-*`: one, or several.
        events: Of message, edited, deleted and membership.
        when: `"mentioned"`: where its name stands with an @ in the text, or in
            `data["mentions"]`. Or a quick function of the event. None: always.
        title: The name that people see.
        history: How many messages before it the bot is given, up to 200.
        rate: How often it may be called in all, such as `4/s:1`. None: as the admin
            says, which is as fast as it answers unless somebody has set a rate there.
        ordering: `"room"`: in each room one call after the other.
        concurrency: How many calls may run at once, in all processes together.
        timeout_seconds: Of one call; it is cancelled then, and tried again.
        limits: Rates of `user` and `room`, in calls, and of `cost.user` and
            `cost.room`, in what `reply.cost()` tells: `{"user": "20/h:5"}`.
        cache: Returns a key for a message, or None. For an equal key within
            `cache_seconds` the bot says the same again and is not called.
        cache_seconds: How long an answer may be said again.
        cache_name: The name in CACHES of where answers are kept.

    Raises:
        ImproperlyConfigured: With what was meant.
    """
    if callable(name):  # `@headgate.bot` over the function, without a name
        raise ImproperlyConfigured('Write @headgate.bot("name"), with parentheses.')
    if not _is_name(name):
        raise ImproperlyConfigured(
            f"{name!r} names no bot. A name begins with a lower case letter, and has "
            "letters, digits, _ and - after it, at most 40 in all; hook-… are those of "
            "incoming webhooks.",
        )
    wanted = [events] if isinstance(events, str) else list(events)
    if not wanted or not set(wanted) <= set(LOG_EVENTS):
        raise ImproperlyConfigured(
            f"events={wanted!r}: some of {', '.join(LOG_EVENTS)}."
        )
    if when not in {None, "mentioned"} and not callable(when):
        raise ImproperlyConfigured(f'when={when!r}: "mentioned", or a function.')
    if ordering not in {"room", "none"}:
        raise ImproperlyConfigured(f'ordering={ordering!r}: "room" or "none".')
    _check_numbers(history, concurrency, timeout_seconds)
    if cache is not None and not callable(cache):
        raise ImproperlyConfigured(f"cache={cache!r} is no function of a message.")
    patterns = [rooms] if isinstance(rooms, str) else list(rooms)
    mistake = rooms_mistake(patterns)
    if mistake is not None:
        raise ImproperlyConfigured(f"rooms={rooms!r}: {mistake}")
    shown = Actor(f"b:{name}", title or name)
    paced = {} if rate is None else {"rate": rate_of_calls(rate)}
    budgets = Budgets(name, limits or {})
    answers = AnswersCache(name, cache, cache_seconds, cache_name) if cache else None

    def decorate(function: F) -> F:
        _check(name, function)
        wants = _wants(name, when)
        _bots[name] = HandlerBot(
            name=name,
            actor=shown,
            function=function,
            wants=wants,
            history=history,
            budgets=budgets,
            answers=answers,
        )
        declare(
            f"bot:{name}",
            name=f"bot-{name}",
            events=wanted,
            rooms=patterns,
            wants=_owed(wants) if when == "mentioned" else None,
            ordering=ordering,
            concurrency=concurrency,
            timeout_seconds=timeout_seconds,
            max_attempts=MAX_ATTEMPTS,
            **paced,
        )
        return function

    return decorate


def bot_named(name: str) -> HandlerBot | None:
    """Return the bot of that name that is a function of the project, or None."""
    return _bots.get(name)


def bots_with_budgets() -> list[str]:
    """Return the names of the project's bots that have budgets."""
    return sorted(each.name for each in _bots.values() if each.budgets.limits_anything)


def actor(name: str) -> Actor:
    """Return as whom a bot writes, such as to add it to a group room.

        add_member(room, headgate.bots.actor("helper"))

    For bots that have a token the database is asked.

    Raises:
        LookupError: There is no such bot.
    """
    found = _bots.get(name)
    if found is not None:
        return found.actor
    row = BotRow.objects.filter(name=name).first()
    if row is None:
        raise LookupError(
            f"There is no bot {name!r}: write @headgate.bot({name!r}) in an app's "
            f"bots.py, or call headgate.make_bot({name!r}).",
        )
    return bot_actor(row)


def _check_numbers(history: int, concurrency: int, timeout_seconds: float) -> None:
    if not 0 <= history <= MAX_HISTORY:
        raise ImproperlyConfigured(f"history={history!r}: from 0 to {MAX_HISTORY}.")
    if type(concurrency) is not int or not 1 <= concurrency <= MAX_CONCURRENCY:
        raise ImproperlyConfigured(
            f"concurrency={concurrency!r}: from 1 to {MAX_CONCURRENCY}."
        )
    if not 0 < timeout_seconds <= MAX_TIMEOUT_SECONDS:
        raise ImproperlyConfigured(
            f"timeout_seconds={timeout_seconds!r}: above 0, up to "
            f"{MAX_TIMEOUT_SECONDS:g}.",
        )


def _check(name: str, function: Callable[..., Any]) -> None:
    if not iscoroutinefunction(function):
        raise ImproperlyConfigured(
            f"The bot {name!r} is a sync function, which could not await its reply. "
            "Write `async def`, and call what uses the ORM by sync_to_async.",
        )
    try:
        signature(function).bind("message", "history", "reply")
    except TypeError:
        raise ImproperlyConfigured(
            f"The bot {name!r} is called with three arguments. Write "
            f"`async def {function.__name__}(message, history, reply)`.",
        ) from None
    known = _bots.get(name)
    # The same function again is its module, loaded anew.
    if known is not None and _path(known.function) != _path(function):
        raise ImproperlyConfigured(
            f"There are two bots {name!r}: {_path(known.function)} and "
            f"{_path(function)}. Give one another name.",
        )


def _path(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', function)}"


def _wants(name: str, when: When) -> Callable[[RoomEvent], bool]:
    """Return what decides whether a bot is called for an event."""
    if when is None:
        return lambda _: True
    if when != "mentioned":
        return when
    in_text = re.compile(rf"(?<!\w)@{re.escape(name)}(?![\w-])", re.IGNORECASE).search

    def mentioned(event: RoomEvent) -> bool:
        mentions = (event.data or {}).get("mentions")
        listed = isinstance(mentions, list) and (
            name in mentions or f"b:{name}" in mentions
        )
        return listed or in_text(event.text) is not None

    return mentioned


def _owed(wants: Callable[[RoomEvent], bool]) -> Callable[[LogEvent], bool]:
    """Return what decides in a commit whether a bot is owed an event.

    What has grown is told from another event than the one that is written, so it is
    looked at when the bot is called.
    """

    def owed(push: LogEvent) -> bool:
        return not isinstance(push, Message) or wants(room_event(push))

    return owed
