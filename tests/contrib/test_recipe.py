"""The middleware that is handed around on the web, beside ours.

It stands in answers to "how do I throttle Django Channels?". Its words are kept; what
it does is shown here, and what ours does with the same arguments.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from channels.middleware import BaseMiddleware

from headgate.contrib.asgi import ThrottleMiddleware as Ours
from headgate.limits import Limiter
from tests.contrib.sockets import Socket, echo, ws_scope
from tests.contrib.test_asgi import User


class ThrottleMiddleware(BaseMiddleware):  # type: ignore[misc] # it has no types
    def __init__(self, inner: Any, rate_limit: int = 1, per_second: float = 1) -> None:
        self.inner = inner  # the recipe forgets this, and fails before it throttles
        self.rate_limit = rate_limit
        self.per_second = per_second
        self.allowed_messages: dict[Any, float] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        key = scope["user"].id  # Use a unique identifier for each user
        now = time.time()

        if (
            key not in self.allowed_messages
            or now - self.allowed_messages[key] > 1 / self.per_second
        ):
            self.allowed_messages[key] = now
            await super().__call__(scope, receive, send)
        else:
            # Throttle by not calling the inner application
            await send(
                {
                    "type": "websocket.close",
                    "code": 4000,
                    "text": "Rate limit exceeded.",
                }
            )


async def test_it_throttles_connections_and_no_messages(limiter: Limiter) -> None:
    theirs = Socket(ThrottleMiddleware(echo), ws_scope(user=User(1)))
    theirs.say(*"abcdefghij")
    await theirs.count(10)
    assert theirs.texts == list("abcdefghij")
    await theirs.leave()

    ours = Socket(Ours(echo, rate_limit=1, per_second=1), ws_scope(user=User(1)))
    ours.say(*"abcdefghij")
    await ours.ended()
    assert ours.texts == ["a"]


async def test_it_refuses_the_second_tab(limiter: Limiter) -> None:
    theirs = ThrottleMiddleware(echo, rate_limit=100)
    first = Socket(theirs, ws_scope(user=User(1)))
    await first.accepted()
    second = Socket(theirs, ws_scope(user=User(1)))
    await second.ended()
    assert second.sent[0]["type"] == "websocket.close"
    assert "reason" not in second.sent[0]  # `text` is no field of a close
    await first.leave()

    ours = Ours(echo, rate_limit=100)
    first = Socket(ours, ws_scope(user=User(1)))
    second = Socket(ours, ws_scope(user=User(1)))
    await first.accepted()
    await second.accepted()
    second.say("hi")
    await second.count(1)
    await first.leave()
    await second.leave()


async def test_it_fails_where_it_is_put(limiter: Limiter) -> None:
    """Outside `AuthMiddlewareStack`, as the recipe has it, there is no user."""
    with pytest.raises(KeyError, match="user"):
        await Socket(ThrottleMiddleware(echo)).ended()

    ours = Socket(Ours(echo, rate_limit=1))
    ours.say(*"ab")
    await ours.ended()
    assert ours.texts == ["a"]


async def test_all_who_have_not_signed_in_are_one(limiter: Limiter) -> None:
    from django.contrib.auth.models import AnonymousUser

    theirs = ThrottleMiddleware(echo)
    scopes = [ws_scope(f"192.0.2.{n}", user=AnonymousUser()) for n in (1, 2)]
    first = Socket(theirs, scopes[0])
    await first.accepted()
    second = Socket(theirs, scopes[1])
    await second.ended()
    assert second.sent[0]["type"] == "websocket.close"
    await first.leave()

    ours = Ours(echo)
    for scope in scopes:
        socket = Socket(ours, scope)
        socket.say("a")
        await socket.count(1)
        assert socket.texts == ["a"]
        await socket.leave()


async def test_it_forgets_the_number(limiter: Limiter) -> None:
    """`rate_limit` is stored and never read; with 2 seconds it waits for half a one."""
    assert 1 / ThrottleMiddleware(echo, rate_limit=10, per_second=2).per_second == 0.5

    ours = Socket(Ours(echo, rate_limit=10, per_second=2, past="drop"))
    ours.say(*"abcdefghijkl")
    await ours.count(10)
    await ours.leave()
    assert ours.texts == list("abcdefghij")
