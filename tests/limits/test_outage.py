"""Redis loses its scripts, starts anew, stands still or is gone: P17 to P19."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable

import pytest

from headgate.limits import Charge, Limiter, Policy
from headgate.limits.redis import RedisStore
from tests.limits.worlds import eventually
from tests.redis_server import RedisServer
from tests.steady import SteadyClock

Made = Callable[..., RedisStore]

TIMEOUT_SECONDS = 0.1
# For what asks a server that is there: a busy machine may take 100 ms for an answer.
PATIENT_SECONDS = 10.0
# Two time limits and what a busy machine adds; without a limit it would be for ever.
SOON_SECONDS = 3.0

LOCAL = Policy("local", "100/day")
OPEN = Policy("open", "5/day", store_away="open")
CLOSED = Policy("closed", "100/day", store_away="closed")


@pytest.fixture
async def made(redis_server: RedisServer) -> AsyncIterator[Made]:
    """Make stores on the server; closed with the test."""
    stores: list[RedisStore] = []

    def make(
        *, processes: int = 1, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> RedisStore:
        store = RedisStore(
            redis_server.url, timeout_seconds=timeout_seconds, processes=processes
        )
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.aclose()
        store.close()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Callable[..., object]:
    """Decide one charge, in both ways."""

    async def one(store: RedisStore, policy: Policy, key: str = "k") -> object:
        if request.param == "async":
            return await store.adecide_one(policy, key)
        return await asyncio.to_thread(store.decide_one, policy, key)

    return one


async def _admitted(ask: Callable[..., object], *args: object, times: int) -> int:
    found = [await ask(*args) for _ in range(times)]  # type: ignore[misc]
    return sum(each.allowed for each in found)


def _changes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage().split()[0]
        for record in caplog.records
        if record.name == "headgate.limits"
    ]


async def _back(store: RedisStore) -> None:
    """Ask until the store is there again."""
    until = time.monotonic() + 20
    while store._breaker.is_open:
        assert time.monotonic() < until
        await store.adecide_one(OPEN, "trial")
        await asyncio.sleep(0.05)


async def test_p17_without_its_script_redis_is_given_it_again(
    made: Made, ask: Callable[..., object], redis_server: RedisServer
) -> None:
    store = made(timeout_seconds=PATIENT_SECONDS)
    assert await _admitted(ask, store, LOCAL, times=40) == 40
    with redis_server.client() as client:
        client.script_flush()

    assert await _admitted(ask, store, LOCAL, times=80) == 60
    assert not store.degraded


async def test_p17_a_script_that_goes_amid_many_questions_costs_none(
    made: Made, redis_server: RedisServer
) -> None:
    store = made(timeout_seconds=PATIENT_SECONDS)
    asks = [asyncio.create_task(store.adecide_one(LOCAL, "k")) for _ in range(500)]
    with redis_server.client() as client:
        for _ in range(10):
            await asyncio.to_thread(client.script_flush)
            await asyncio.sleep(0)
    found = await asyncio.gather(*asks)

    assert sum(each.allowed for each in found) == 100
    assert not store.degraded


async def test_p17_a_new_redis_gives_one_burst_at_most(
    made: Made,
    ask: Callable[..., object],
    redis_server: RedisServer,
) -> None:
    store = made(timeout_seconds=PATIENT_SECONDS)
    admitted = await _admitted(ask, store, LOCAL, times=120)
    redis_server.restart()
    admitted += await _admitted(ask, store, LOCAL, times=120)
    await _back(store)
    store._denied.forget("local", "k")
    admitted += await _admitted(ask, store, LOCAL, times=120)

    assert admitted == 200
    assert not store.degraded


@pytest.mark.parametrize("how", ["pause", "kill"])
async def test_p18_while_redis_is_away_each_policy_says_what_is_decided(
    made: Made,
    ask: Callable[..., object],
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    steady: SteadyClock,
    how: str,
) -> None:
    caplog.set_level(logging.INFO, "headgate.limits")
    store = made(processes=4, timeout_seconds=0.5)
    for policy in (LOCAL, OPEN, CLOSED):
        assert await _admitted(ask, store, policy, times=1) == 1
    getattr(redis_server, how)()

    began = time.monotonic()
    assert await _admitted(ask, store, LOCAL, times=100) == 25  # its share
    assert await _admitted(ask, store, OPEN, times=100) == 100
    assert await _admitted(ask, store, CLOSED, times=100) == 0
    assert steady.since(began) < SOON_SECONDS
    assert store.degraded == {"local": 100, "open": 100, "closed": 100}
    assert _changes(caplog) == ["limits_store_away"]

    redis_server.ready()
    await _back(store)
    assert _changes(caplog) == ["limits_store_away", "limits_store_back"]
    assert await _admitted(ask, store, CLOSED, times=1) == 1


async def test_p18_a_refusal_while_closed_tells_when_to_try_again(
    made: Made, redis_server: RedisServer
) -> None:
    limiter = Limiter(made())
    redis_server.kill()
    for _ in range(3):
        decision = await limiter.adecide_one(CLOSED, "k")

    assert decision.degraded == "closed"
    assert decision.retry_after_seconds is not None
    assert 0 < decision.retry_after_seconds <= 1
    assert limiter.refusals.totals == {"closed": 3}


async def test_p18_together_the_shares_are_the_limit(
    made: Made, redis_server: RedisServer
) -> None:
    stores = [made(processes=7) for _ in range(7)]
    redis_server.kill()
    admitted = 0
    for store in stores:
        found = [await store.adecide_one(LOCAL, "k") for _ in range(100)]
        admitted += sum(each.allowed for each in found)

    assert 7 * 14 == admitted <= 100


@pytest.mark.parametrize("how", ["pause", "kill"])
async def test_p18_many_at_once_are_told_within_the_time_limit(
    made: Made, redis_server: RedisServer, steady: SteadyClock, how: str
) -> None:
    store = made()
    await store.adecide_one(OPEN, "k")
    getattr(redis_server, how)()
    waited: list[float] = []

    async def one(number: int) -> None:
        began = time.monotonic()
        assert (await store.adecide_one(OPEN, f"k{number}")).allowed
        waited.append(steady.since(began))

    await asyncio.gather(*(one(number) for number in range(3000)))
    await asyncio.gather(*(one(number) for number in range(3000)))
    assert max(waited) < SOON_SECONDS
    redis_server.ready()


async def test_p18_when_it_comes_back_one_asks_and_not_all(
    made: Made, redis_server: RedisServer
) -> None:
    store = made()
    redis_server.pause()
    for _ in range(3):
        await store.adecide_one(OPEN, "k")
    assert store._breaker.is_open
    trials = 0
    ask_joined = store._aask

    async def counted(arguments: list[str | int]) -> list[int] | None:
        nonlocal trials
        trials += 1
        return await ask_joined(arguments)

    store._aask = counted  # type: ignore[method-assign]
    store._breaker._next_trial = 0.0  # the time is up
    await asyncio.gather(*(store.adecide_one(OPEN, "k") for _ in range(500)))
    assert trials == 1
    assert store._breaker.is_open  # it still does not answer

    redis_server.ready()
    store._breaker._next_trial = 0.0
    await asyncio.gather(*(store.adecide_one(OPEN, "k") for _ in range(500)))
    assert trials == 2
    assert not store._breaker.is_open


async def test_p18_one_outage_of_many_questions_opens_for_the_first_time_only(
    made: Made, redis_server: RedisServer
) -> None:
    """Each of 3,000 failures counted for itself would keep it open for 8 s."""
    store = made()
    store._breaker._clock = lambda: 0.0  # in no time: nobody tries again
    redis_server.pause()
    for _ in range(3):
        await asyncio.gather(*(store.adecide_one(OPEN, "k") for _ in range(1000)))
    redis_server.ready()

    assert store._breaker.is_open
    assert store._breaker.opens_for_seconds <= 1


@pytest.mark.parametrize("how", ["pause", "kill"])
async def test_p19_others_on_the_loop_are_not_held_up(
    made: Made, redis_server: RedisServer, steady: SteadyClock, how: str
) -> None:
    store = made()
    longest = 0.0
    ended = asyncio.Event()

    async def heartbeat() -> None:
        nonlocal longest
        last = time.monotonic()
        while not ended.is_set():
            await asyncio.sleep(0.005)
            now = time.monotonic()
            longest = max(longest, steady.between(last, now))
            last = now

    async def ask() -> None:
        for _ in range(100):
            await store.adecide_one(OPEN, f"k{random.random()}")
            await asyncio.sleep(0.002)

    beating = asyncio.create_task(heartbeat())
    asking = [asyncio.create_task(ask()) for _ in range(20)]
    await asyncio.sleep(0.05)
    getattr(redis_server, how)()  # and it stays away for the rest of them
    await asyncio.gather(*asking)
    ended.set()
    await beating
    redis_server.ready()

    assert store.degraded
    # As much as a busy machine is given.
    assert longest < 1.0


async def test_a_flooder_causes_no_calls(
    made: Made, ask: Callable[..., object], redis_server: RedisServer
) -> None:
    store = made(timeout_seconds=PATIENT_SECONDS)
    limiter = Limiter(store)
    once = Policy("once", "1/day")
    assert await _admitted(ask, store, once, times=1) == 1
    assert await _admitted(ask, store, once, times=1) == 0
    before = redis_server.calls()
    began = time.monotonic()
    assert await _admitted(ask, store, once, times=1000) == 0

    # The store is asked again each second.
    assert redis_server.calls() - before <= (time.monotonic() - began) + 1
    assert limiter.refusals.totals["once"] == 1001


async def test_a_flooder_of_several_policies_causes_no_calls(
    made: Made, redis_server: RedisServer
) -> None:
    limiter = Limiter(made(timeout_seconds=PATIENT_SECONDS))
    charges = [Charge(LOCAL, "k"), Charge(Policy("once", "1/day"), "k")]
    for _ in range(2):
        await limiter.adecide(charges)
    before = redis_server.calls()
    began = time.monotonic()
    for _ in range(300):
        verdict = await limiter.adecide(charges)
        assert [each.allowed for each in verdict.decisions] == [True, False]

    assert redis_server.calls() - before <= (time.monotonic() - began) + 2
    assert (await limiter.apeek(charges)).decisions[0].remaining == 99


async def test_a_reset_is_noticed_by_other_processes_in_about_a_second(
    made: Made, steady: SteadyClock
) -> None:
    here, there = (made(timeout_seconds=PATIENT_SECONDS) for _ in range(2))
    once = Policy("once", "1/day")
    for _ in range(2):
        await there.adecide_one(once, "k")
    await here.areset(["once"], "k")
    assert not (await there.adecide_one(once, "k")).allowed

    began = time.monotonic()
    eventually(lambda: there.decide_one(once, "k").allowed)
    assert steady.since(began) < SOON_SECONDS


async def test_what_is_closed_answers_who_still_waits(
    made: Made, redis_server: RedisServer
) -> None:
    store = made()
    await store.adecide_one(LOCAL, "k")
    redis_server.pause()
    asks = [asyncio.create_task(store.adecide_one(LOCAL, "k")) for _ in range(300)]
    await asyncio.sleep(0.01)
    await store.aclose()
    found = await asyncio.gather(*asks)
    redis_server.ready()

    assert {each.degraded for each in found} == {"local"}


async def test_who_no_longer_waits_does_not_hold_up_the_others(made: Made) -> None:
    store = made(timeout_seconds=PATIENT_SECONDS)
    asks = [asyncio.create_task(store.adecide_one(LOCAL, "k")) for _ in range(50)]
    await asyncio.sleep(0)
    for each in asks[::2]:
        each.cancel()
    found = await asyncio.gather(*asks[1::2])

    assert all(each.allowed for each in found)
