"""Worlds to decide in, on both stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.limits.worlds import TimedRedis, World
from tests.redis_server import RedisServer


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A limiter on the test's clock: in memory, and again on a Redis."""
    if request.param == "memory":
        yield World(None)
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    store = TimedRedis(server.url)
    yield World(store)
    store.close()


@pytest.fixture
def timed_redis(redis_server: RedisServer) -> Iterator[TimedRedis]:
    """A Redis store on the test's clock."""
    store = TimedRedis(redis_server.url)
    yield store
    store.close()
