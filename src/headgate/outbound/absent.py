"""Telling people what they miss: `@headgate.absent("push")` in an app's `bots.py`.

A handler is told of somebody who has not read a message, and is not there, once for all
that has come up to then. How that is found out says `headgate.outbound.absent_call`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

from headgate.chat.conf import conf
from headgate.chat.hooks import RoomEvent
from headgate.chat.project_functions import ProjectFunction, project_function
from headgate.outbound.registry import declare

__all__ = ["Absence", "AbsentHandler", "absent", "absent_named"]

F = TypeVar("F", bound=Callable[..., Any])

_is_name = re.compile(r"[a-z][a-z0-9_-]{0,39}").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Somebody who is not there, and what they have not read.

    Attributes:
        id: The same where the handler is called again for the same notice.
        user: The account.
        rooms: By the slugs of their group and direct rooms, how many messages are
            unread; counting stops at 100.
        mentioned: Of messages that mention them, the room's slug and the seq.
        last: The last of all these messages.
    """

    id: str
    user: Any
    rooms: Mapping[str, int]
    mentioned: Sequence[tuple[str, int]]
    last: RoomEvent


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AbsentHandler:
    """A function of the project, and how long it leaves people to read by themselves.

    Attributes:
        name: Its own.
        function: Is called with an `Absence`.
        given_seconds: How long, or None for `ABSENT_AFTER_SECONDS`.
    """

    name: str
    function: ProjectFunction
    given_seconds: float | None

    @property
    def after_seconds(self) -> float:
        """How long after the first unread message it is called, at the earliest."""
        given = self.given_seconds
        return conf().ABSENT_AFTER_SECONDS if given is None else given


_handlers: dict[str, AbsentHandler] = {}


def absent(
    name: str = "push", *, after_seconds: float | None = None
) -> Callable[[F], F]:
    """Return a decorator that has a function told of people who miss something.

    It is given an `Absence`, for each person who has an account, is a member of a
    group or direct room or was mentioned in a room that they may see, has not read
    what came, and has no open connection. It may be sync, and use the ORM, or async.
    It is called once for the same messages; where it fails, again.

    Args:
        name: Lower case letters, digits, `_` and `-`; at most 40.
        after_seconds: After the first unread message; `ABSENT_AFTER_SECONDS` of the
            settings where it is left out.

    Raises:
        ImproperlyConfigured: With what was meant.
    """
    if callable(name):  # `@headgate.absent` over the function, without parentheses
        raise ImproperlyConfigured("Write @headgate.absent(), with parentheses.")
    if not _is_name(name):
        raise ImproperlyConfigured(
            f"{name!r} names no handler. A name begins with a lower case letter, and "
            "has letters, digits, _ and - after it; at most 40 in all.",
        )
    if after_seconds is not None and not (
        isfinite(after_seconds) and after_seconds >= 0
    ):
        raise ImproperlyConfigured(f"after_seconds={after_seconds!r} is no time.")

    def decorate(function: F) -> F:
        _handlers[name] = AbsentHandler(
            name=name,
            function=project_function(function),
            given_seconds=after_seconds,
        )
        declare(
            f"absent:{name}", name=f"absent-{name}", events=["message"], rooms=["*"]
        )
        return function

    return decorate


def absent_named(name: str) -> AbsentHandler | None:
    """Return the handler of a name, or None."""
    return _handlers.get(name)
