"""Many questions in few trips."""

from __future__ import annotations

import asyncio
import gc

import pytest

from headgate.limits import Policy
from headgate.limits.joined_questions import MOST_AT_ONCE, JoinedQuestions
from headgate.limits.redis import RedisStore
from tests.redis_server import RedisServer

MANY = Policy("many", "1000000/s")


async def test_what_is_asked_meanwhile_goes_out_together(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[int] = []
    trip = JoinedQuestions._trip

    async def counted(
        self: JoinedQuestions, questions: list[list[str | int]]
    ) -> object:
        trips.append(len(questions))
        return await trip(self, questions)

    store = RedisStore(redis_server.url, timeout_seconds=10)
    await store.adecide_one(MANY, "warm")
    monkeypatch.setattr(JoinedQuestions, "_trip", counted)
    await asyncio.gather(*(store.adecide_one(MANY, "k") for _ in range(1000)))

    assert sum(trips) == 1000
    assert len(trips) == -(-1000 // MOST_AT_ONCE)
    with redis_server.client() as client:
        clients = client.client_list()
    assert len(clients) == 2  # the loop's only one, and this one
    await store.aclose()
    store.close()


async def test_each_gets_their_own_answer(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, timeout_seconds=10)
    policies = [Policy("p", "1/day", burst) for burst in range(1, 200)]
    asks = (store.adecide_one(each, f"k{each.burst}") for each in policies)
    found = await asyncio.gather(*asks)

    assert [each.remaining for each in found] == list(range(199))
    await store.aclose()
    store.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_loops_that_end_without_closing_leave_nothing_behind(
    redis_server: RedisServer,
) -> None:
    store = RedisStore(redis_server.url, timeout_seconds=10)
    for _ in range(20):
        assert asyncio.run(store.adecide_one(MANY, "k")).allowed
        gc.collect()

    assert len(store._questions) == 1
    with redis_server.client() as client:
        assert len(client.client_list()) <= 3
    store.close()
    store._questions.clear()
    gc.collect()


def test_each_loop_has_a_connection_of_its_own(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, timeout_seconds=10)

    async def ask() -> bool:
        decision = await store.adecide_one(Policy("p", "2/day"), "k")
        await store.aclose()
        await store.aclose()  # there is nothing left to close
        return decision.allowed

    assert [asyncio.run(ask()) for _ in range(3)] == [True, True, False]
    store.close()


async def test_who_asks_as_it_closes_is_told_that_there_is_no_answer(
    redis_server: RedisServer,
) -> None:
    """Also where the task that asks was cancelled before its first step."""
    store = RedisStore(redis_server.url, timeout_seconds=60)
    asked = asyncio.ensure_future(store.adecide_one(MANY, "k"))
    await asyncio.sleep(0)  # it has asked, and nobody has gone yet
    await store.aclose()

    async with asyncio.timeout(30):
        assert (await asked).degraded
    store.close()
