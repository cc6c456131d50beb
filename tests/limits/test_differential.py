"""Memory, Redis and the exact model agree on every trace: P15, with P12 and P13.

The clock goes forward and back, limits are raised and lowered, several policies are
asked at once, places are reserved and given back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from headgate.limits import Charge, Policy
from tests.limits.models import FREELY, Bucket, policies
from tests.limits.worlds import TimedRedis, World
from tests.redis_server import RedisServer

KEYS = ("a", "b", "{a}:c")
NAMES = ("one", "two", "three")


class _Agree(RuleBasedStateMachine):
    """Asks three the same; `redis` is set by the test."""

    redis: TimedRedis

    def __init__(self) -> None:
        super().__init__()
        self.memory, self.remote = World(None), World(self.redis)
        self.clock = self.redis.clock = self.remote.clock = self.memory.clock
        self.buckets: dict[tuple[str, str], Bucket] = {}
        self.policies: dict[str, Policy] = {}

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        for name in NAMES:
            self.policies[name] = data.draw(policies(most_burst=12, name=name))

    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def change(self, data: st.DataObject, name: str) -> None:
        self.policies[name] = data.draw(policies(most_burst=12, name=name))

    @rule(part=st.sampled_from([0.0, 0.5, 1.0, 3.0]), odd=st.integers(-1, 1))
    def forward(self, part: float, odd: int) -> None:
        interval = self.policies["one"].interval_us
        self.clock.step(max(0, round(part * interval) + odd))

    @rule(names=st.permutations(NAMES), count=st.integers(1, 3), data=st.data())
    def ask(self, names: list[str], count: int, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(KEYS))
        charges = []
        for name in names[:count]:
            policy = self.policies[name]
            cost = data.draw(st.integers(0, min(policy.burst, 3) + 1))
            charges.append(Charge(policy, key, cost))
        self.compare(charges, write=data.draw(st.booleans()))

    @rule(names=st.permutations(NAMES), count=st.integers(1, 3), data=st.data())
    def count(self, names: list[str], count: int, data: st.DataObject) -> None:
        """Count what is certain, which only the memory store can say."""
        key = data.draw(st.sampled_from(KEYS))
        charges = [Charge(self.policies[name], key) for name in names[:count]]
        if self.memory.store.counted(charges):
            remote = self.remote.store.decide(charges)
            assert all(each.allowed for each in remote)
        self.compare(charges, write=False)

    def compare(self, charges: list[Charge], *, write: bool) -> None:
        memory = self.memory.store.decide(charges, write=write)
        remote = self.remote.store.decide(charges, write=write)
        assert list(map(_told, memory)) == list(map(_told, remote))


class _WithTheModel(_Agree):
    """Also the buckets, which stand for a limit that stays as it is."""

    @rule()
    def change(self) -> None:  # type: ignore[override]
        """Leave the limits alone."""

    @rule()
    def count(self) -> None:  # type: ignore[override]
        """Leave it to those without buckets, which would not hear of it."""

    @rule(name=st.sampled_from(NAMES), key=st.sampled_from(KEYS), data=st.data())
    def refund(self, name: str, key: str, data: st.DataObject) -> None:
        policy = self.policies[name]
        cost = data.draw(st.integers(0, policy.burst))
        self.memory.limiter.refund(policy, key, cost)
        self.remote.limiter.refund(policy, key, cost)
        bucket = self.buckets.get((name, key))
        if bucket is not None:
            bucket.take(policy, -cost, self.clock.now_us)

    def compare(self, charges: list[Charge], *, write: bool) -> None:
        now = self.clock.now_us
        waits: list[int | None] = []
        for policy, key, cost in charges:
            bucket = self.buckets.setdefault((policy.name, key), Bucket())
            assert cost is not None
            waits.append(bucket.wait_us(policy, cost, now))
        if write and all(wait == 0 for wait in waits):
            for policy, key, cost in charges:
                self.buckets[policy.name, key].take(policy, cost or 0, now)
        memory = self.memory.store.decide(charges, write=write)
        remote = self.remote.store.decide(charges, write=write)

        assert [each.retry_after_us for each in memory] == waits
        assert list(map(_told, memory)) == list(map(_told, remote))
        for each in memory:
            bucket = self.buckets[each.policy.name, each.key]
            assert each.remaining == bucket.level(each.policy, now) // 1


class _ClockGoesBack(_Agree):
    """The stores alone: what a clock that went back leaves, no bucket has."""

    @rule(jump=st.integers(1, 10**12))
    def back(self, jump: int) -> None:
        self.clock.step(-jump)

    @rule(name=st.sampled_from(NAMES), key=st.sampled_from(KEYS))
    def refund(self, name: str, key: str) -> None:
        for world in (self.memory, self.remote):
            world.limiter.refund(self.policies[name], key, 1)


class _Reserves(_Agree):
    """Also places that are free later."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        for name in NAMES:
            found = data.draw(policies(most_burst=12, name=name))
            wait_seconds = min(5 * found.interval_us, 10**13) / 1_000_000
            self.policies[name] = Policy(
                name, found.rate, found.burst, longest_wait_seconds=wait_seconds
            )

    @rule()
    def change(self) -> None:  # type: ignore[override]
        """Leave the limits alone."""

    @rule(
        name=st.sampled_from(NAMES),
        key=st.sampled_from(KEYS),
        cost=st.integers(0, 13),
        part=st.sampled_from([0.0, 0.5, 1.0]),
    )
    def reserve(self, name: str, key: str, cost: int, part: float) -> None:
        policy = self.policies[name]
        wait = policy.longest_wait_seconds * part
        found = [
            world.limiter.reserve(policy, key, cost, max_wait_seconds=wait)
            for world in (self.memory, self.remote)
        ]
        assert _told(found[0]) == _told(found[1])
        assert found[0].delay_seconds == found[1].delay_seconds
        assert found[0].delay_seconds <= wait + 1e-6 or not found[0].allowed

    @rule(name=st.sampled_from(NAMES), key=st.sampled_from(KEYS))
    def give_back(self, name: str, key: str) -> None:
        for world in (self.memory, self.remote):
            world.limiter.refund(self.policies[name], key, 2)


def _told(decision: Any) -> tuple[Any, ...]:
    return (
        decision.allowed,
        decision.remaining,
        decision.retry_after_us,
        decision.reset_after_seconds,
        decision.next_after_seconds,
        decision.now_us,
        decision.tat_us,
    )


@pytest.fixture
def agreeing(redis_server: RedisServer) -> Iterator[TimedRedis]:
    store = TimedRedis(redis_server.url)
    store.remembers = False
    yield store
    store.close()


@pytest.mark.timeout(900)  # a failure is made smaller before it is told
@pytest.mark.parametrize("kind", [_Agree, _WithTheModel, _ClockGoesBack, _Reserves])
def test_p15_memory_redis_and_the_model_agree(
    agreeing: TimedRedis, kind: type[_Agree]
) -> None:
    class Machine(kind):  # type: ignore[valid-type,misc]
        redis = agreeing

    Machine.__name__ = kind.__name__
    run_state_machine_as_test(
        Machine,
        settings=settings(FREELY, max_examples=40, stateful_step_count=30),
    )


def test_p15_what_is_remembered_of_refusals_changes_none(
    agreeing: TimedRedis,
) -> None:
    """The deny cache beside a store without it: the same verdicts, step by step."""
    agreeing.remembers = True
    memory, remote = World(None), World(agreeing)
    agreeing.remembers = True
    policy = Policy("p", "3/7ms", 4)
    for number in range(400):
        for world in (memory, remote):
            world.clock.now_us += (number * 37) % 1900
        one = memory.ask(policy, cost=1 + number % 4)
        other = remote.ask(policy, cost=1 + number % 4)
        assert (one.allowed, one.retry_after_us) == (
            other.allowed,
            other.retry_after_us,
        )
