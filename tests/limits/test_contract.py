"""Each store keeps the contract, asked in the sync and in the async way."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from headgate.limits import MemoryStore
from headgate.limits.open_store import OpenStore
from headgate.limits.redis import RedisStore
from tests.limits.contract import DAY, Asked, CountingContract, StoreContract
from tests.redis_server import RedisServer


@pytest.fixture(params=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "async")


class TestMemoryStore(CountingContract):
    @pytest.fixture
    def asked(self, is_async: bool) -> Asked:  # noqa: FBT001 - a fixture
        return Asked(MemoryStore(), is_async=is_async)


class TestRedisStore(CountingContract):
    @pytest.fixture
    async def asked(
        self,
        redis_server: RedisServer,
        is_async: bool,  # noqa: FBT001 - a fixture
    ) -> AsyncIterator[Asked]:
        store = RedisStore(redis_server.url, timeout_seconds=10)
        yield Asked(store, is_async=is_async)
        await store.aclose()
        store.close()
        assert not store.degraded

    async def test_what_was_just_refused_is_certain(self, asked: Asked) -> None:
        await asked.one(DAY, cost=3)
        await asked.one(DAY)
        known = asked.store.attempted(DAY, "k", None)

        assert known is not None
        assert not known.allowed
        assert asked.store.attempted(DAY, "other", None) is None
        assert asked.limiter.refusals.totals["day"] == 2


class TestOpenStore(StoreContract):
    @pytest.fixture
    def asked(self, is_async: bool) -> Asked:  # noqa: FBT001 - a fixture
        return Asked(OpenStore(), is_async=is_async)

    async def test_it_allows_everything(self, asked: Asked) -> None:
        for _ in range(20):
            assert (await asked.one(DAY)).allowed
        assert not asked.limiter.remote
        await asked.store.aclose()


async def test_only_redis_may_wait_for_another_process(
    redis_server: RedisServer,
) -> None:
    store = RedisStore(redis_server.url)
    assert Asked(store, is_async=False).limiter.remote
    assert not Asked(MemoryStore(), is_async=False).limiter.remote
    await MemoryStore().aclose()
    await store.aclose()
    store.close()
