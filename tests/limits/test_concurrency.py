"""Many at once let in exactly the limit: P16."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from headgate.limits import Charge, Limiter, MemoryStore, Policy
from headgate.limits.redis import RedisStore
from tests.limits.worlds import Clock
from tests.redis_server import RedisServer

SLOW = Policy("slow", "100/day")
OTHER = Policy("other", "90/day", 1000)


@pytest.fixture
def hurried() -> Iterator[None]:
    """Switch threads as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def _in_threads(count: int, work: Callable[[], int]) -> int:
    """Run work in threads that begin together; return the sum."""
    barrier = threading.Barrier(count)

    def begin() -> int:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(count) as pool:
        return sum(each.result() for each in [pool.submit(begin) for _ in range(count)])


def _count(decide: Callable[..., Any], arguments: Sequence[Any], times: int) -> int:
    return sum(decide(*arguments).allowed for _ in range(times))


@pytest.mark.usefixtures("hurried")
def test_p16_threads_let_in_exactly_the_limit() -> None:
    for _ in range(20):
        decide = Limiter(MemoryStore(clock=Clock())).decide_one
        work = partial(_count, decide, (SLOW, "k"), 50)
        assert _in_threads(16, work) == 100


@pytest.mark.usefixtures("hurried")
def test_p16_threads_let_in_exactly_the_limit_of_several_policies() -> None:
    for _ in range(20):
        limiter = Limiter(MemoryStore(clock=Clock()))
        charges = [Charge(OTHER, "k"), Charge(SLOW, "k")]
        work = partial(_count, limiter.decide, (charges,), 50)
        assert _in_threads(16, work) == 100
        assert limiter.peek(charges).decisions[0].remaining == 900


@pytest.mark.usefixtures("hurried")
def test_p16_threads_count_what_is_certain_and_let_in_exactly_the_limit() -> None:
    for _ in range(20):
        limiter = Limiter(MemoryStore(clock=Clock()))
        charges = [Charge(OTHER, "k"), Charge(SLOW, "k")]

        def work(limiter: Limiter = limiter, charges: Any = charges) -> int:
            store = limiter.store
            return sum(
                store.counted(charges) or limiter.decide(charges).allowed
                for _ in range(50)
            )

        assert _in_threads(16, work) == 100
        assert limiter.peek(charges).decisions[0].remaining == 900


@pytest.mark.usefixtures("hurried")
def test_p16_threads_with_many_keys_and_sweeps_keep_the_count() -> None:
    clock = Clock()
    store = MemoryStore(max_keys=300, clock=clock)
    numbers = iter(range(10**9))

    def work() -> int:
        for _ in range(500):
            number = next(numbers)
            clock.now_us += 50
            policy = Policy(f"p{number % 3}", "1/50ms")
            store.decide_one(policy, f"k{number % 1000}")
            store.refund(Charge(policy, f"k{(number * 7) % 1000}"))
            store.reset([policy.name], f"k{(number * 11) % 1000}")
        return 0

    _in_threads(8, work)
    cells = [cell for shelf in store._shelves.values() for cell in shelf.values()]
    assert len(store) == len(cells) <= 300
    assert {len(cell) for cell in cells} <= {1}  # all numbers were given back


@pytest.mark.usefixtures("hurried")
def test_p16_two_event_loops_share_one_store() -> None:
    limiter = Limiter(MemoryStore(clock=Clock()))

    async def ask() -> int:
        async def one() -> bool:
            await asyncio.sleep(0)
            return (await limiter.adecide_one(SLOW, "k")).allowed

        return sum(await asyncio.gather(*(one() for _ in range(500))))

    assert _in_threads(2, lambda: asyncio.run(ask())) == 100


def test_p16_threads_and_loops_on_redis_let_in_exactly_the_limit(
    redis_server: RedisServer,
) -> None:
    store = RedisStore(redis_server.url, timeout_seconds=20)

    async def ask() -> int:
        try:
            asks = (store.adecide_one(SLOW, "k") for _ in range(200))
            return sum(each.allowed for each in await asyncio.gather(*asks))
        finally:
            await store.aclose()

    turns = iter(
        [
            lambda: asyncio.run(ask()),
            lambda: asyncio.run(ask()),
            *[partial(_count, store.decide_one, (SLOW, "k"), 50)] * 4,
        ],
    )

    def turn() -> int:
        return next(turns)()

    assert _in_threads(6, turn) == 100
    store.close()


_PROCESS = """
import asyncio, json, sys
from headgate.limits import Policy
from headgate.limits.redis import RedisStore

async def main(url, count):
    store = RedisStore(url, timeout_seconds=20)
    policy = Policy("slow", "100/day")
    await store.adecide_one(policy, "warm")
    print("ready", flush=True)
    sys.stdin.readline()
    asks = [store.adecide_one(policy, "k") for _ in range(count)]
    found = await asyncio.gather(*asks)
    print(json.dumps([sum(each.allowed for each in found), store.degraded.total()]))
    await store.aclose()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_p16_of_2000_asks_of_4_processes_exactly_100_are_let_in(
    redis_server: RedisServer,
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, redis_server.url, "500"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    try:
        for each in processes:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in processes:  # all wait: now they begin together
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        found = [json.loads(each.communicate(timeout=40)[0]) for each in processes]
    finally:
        for each in processes:
            each.kill()
            each.communicate()

    assert sum(admitted for admitted, _ in found) == 100
    assert sum(degraded for _, degraded in found) == 0


def test_p16_a_fast_rate_lets_in_what_the_time_of_redis_gives(
    redis_server: RedisServer,
) -> None:
    policy = Policy("fast", "500/s", 500)
    store = RedisStore(redis_server.url, timeout_seconds=20)
    store._denied.put = lambda _: None  # type: ignore[method-assign]
    found: list[tuple[int, bool]] = []

    # The burst is spent at once: from then on the key is never idle.
    began = store.decide_one(policy, "k", policy.burst).now_us

    def work() -> int:
        while True:
            decision = store.decide_one(policy, "k")
            found.append((decision.now_us, decision.allowed))
            if decision.now_us > began + 1_000_000 and not decision.allowed:
                return 0

    _in_threads(4, work)
    store.close()
    admitted = sum(allowed for _, allowed in found)
    last_refused = max(now for now, allowed in found if not allowed)
    last = max(now for now, _ in found)

    assert admitted <= (last - began) / policy.interval_us
    assert admitted >= (last_refused - began) // policy.interval_us
    assert not store.degraded
