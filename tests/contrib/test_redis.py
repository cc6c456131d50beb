"""The same on a Redis, where each decision waits for another process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.test import AsyncClient

from headgate.contrib import shared
from headgate.contrib.asgi import ThrottleMiddleware
from headgate.limits import Charge, Limiter, Policy
from headgate.limits.redis import RedisStore
from tests.contrib.sockets import Socket, echo, request
from tests.contrib.test_asgi_delay import KEY
from tests.contrib.test_asgi_http import hello
from tests.redis_server import RedisServer


@pytest.fixture
async def remote(redis_server: RedisServer) -> AsyncIterator[Limiter]:
    """The limiter of the process, on a Redis."""
    limiter = Limiter(RedisStore(redis_server.url))
    shared.use_limiter(limiter)
    yield limiter
    shared.use_limiter(None)
    await limiter.store.aclose()
    limiter.store.close()  # type: ignore[attr-defined] # a Redis store's own


async def test_200_at_once_on_a_limit_of_20_admit_20(remote: Limiter) -> None:
    application = ThrottleMiddleware(hello, "20/h", past="reject")
    sockets = [Socket(application) for _ in range(4)]
    for socket in sockets:
        socket.say(*"0123456789" * 4)
    answers = await asyncio.gather(*(request(application) for _ in range(40)))
    for socket in sockets:
        await socket.count(40)
        await socket.leave()
    passed = sum(text.isdigit() for socket in sockets for text in socket.texts)
    passed += sum(answer.status == 200 for answer in answers)
    assert passed == 20


async def test_several_policies(remote: Limiter) -> None:
    socket = Socket(ThrottleMiddleware(echo, ["3/h", "9/h"], past="reject"))
    socket.say(*"abcd")
    await socket.count(4)
    assert socket.texts[:3] == ["a", "b", "c"]
    assert socket.refusals[0]["policy"] == "throttle"
    await socket.leave()


async def test_who_goes_while_waiting_gives_the_place_back(remote: Limiter) -> None:
    hour = Policy("hour", "1/h", past="delay", longest_wait_seconds=3600)
    socket = Socket(ThrottleMiddleware(echo, hour))
    socket.say(*"ab")
    await socket.count(1)

    async def left() -> int:
        decision = (await remote.apeek([Charge(hour, KEY)])).decisions[0]
        return round(decision.reset_after_seconds / 3600)

    async with asyncio.timeout(30):
        while await left() < 2:  # until the second one is held
            pass
    await socket.leave()
    assert socket.texts == ["a"]
    assert await left() == 1


async def test_django_views(remote: Limiter, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.contrib.views"
    for path in ("sync", "async"):
        codes = [(await AsyncClient().get(f"/{path}/")).status_code for _ in range(3)]
        assert codes == [200, 200, 429]


async def test_closed_while_it_is_away(
    remote: Limiter, redis_server: RedisServer
) -> None:
    application = ThrottleMiddleware(hello, "20/h", store_away="closed")
    assert (await request(application)).status == 200
    redis_server.kill()
    refused = await request(application)
    assert refused.status == 429
    assert int(refused.headers["retry-after"]) >= 1
    opened = ThrottleMiddleware(hello, "1/h", store_away="open")
    for _ in range(3):
        assert (await request(opened)).status == 200
