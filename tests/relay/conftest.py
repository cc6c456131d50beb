"""Relays of both kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from headgate.relay import Relay, open_relay
from headgate.relay.redis import RedisRelay
from tests.redis_server import RedisServer
from tests.relay.ears import Ears, Open


@pytest.fixture(params=["memory", "redis"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Open relays in memory, and again on a Redis; all are closed with the test."""
    url = None
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        url = server.url
    relays: list[Relay] = []

    def open_one(ears: Ears, namespace: str = "test") -> Relay:
        relays.append(open_relay(url, namespace, ears))
        return relays[-1]

    yield open_one
    for relay in relays:
        await relay.close()


@pytest.fixture
async def redis_opened(redis_server: RedisServer) -> AsyncIterator[Open]:
    """Open relays on a Redis."""
    relays: list[Relay] = []

    def open_one(ears: Ears, namespace: str = "test") -> Relay:
        relays.append(RedisRelay(redis_server.url, ears, namespace=namespace))
        return relays[-1]

    yield open_one
    for relay in relays:
        await relay.close()
