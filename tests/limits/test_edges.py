"""Numbers at the edge of what is allowed: P20, on both stores."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from headgate.limits import Charge, Policy, Rate
from headgate.limits.policy import MAX_SPAN_US
from tests.limits.models import YEAR_US
from tests.limits.worlds import TimedRedis, World, policy

PERIODS_SECONDS = [0.001, 1.0, 86_400.0, YEAR_US / 1_000_000]
COUNTS = [1, 3, 1000, 1_000_000]


@pytest.mark.parametrize(
    ("count", "period"),
    [
        (count, period)
        for count, period in itertools.product(COUNTS, PERIODS_SECONDS)
        if count <= period * 1_000_000
    ],
)
def test_p20_from_one_a_year_to_a_million_a_second(
    world: World, count: int, period: float
) -> None:
    rate = Rate(count, period, min(count, MAX_SPAN_US * count // int(period * 10**6)))
    each = Policy("p", rate)
    world.ask(each, cost=each.burst - 1)

    assert world.ask(each).allowed
    refused = world.ask(each)
    assert not refused.allowed
    assert refused.retry_after_us == each.interval_us
    world.clock.step(each.interval_us - 1)
    assert not world.ask(each).allowed
    world.clock.step(1)
    assert world.ask(each).allowed


@pytest.mark.parametrize("now_us", [0, 1, (1 << 53) - 2 * MAX_SPAN_US - 1, 10**15])
@pytest.mark.parametrize("span", [1000, MAX_SPAN_US])
def test_p20_to_the_microsecond_from_1970_to_2112(
    world: World, now_us: int, span: int
) -> None:
    world.clock.now_us = now_us
    each = Policy("p", Rate(1, span // 1000 / 1000, 1))
    tight = Policy("tight", Rate(1, 2.251, 1), 10**9)
    for one in (each, tight):
        start = world.clock.now_us
        assert world.ask(one, cost=one.burst).tat_us == start + one.tolerance_us
        assert world.ask(one).retry_after_us == one.interval_us
        world.clock.step(one.interval_us - 1)
        assert world.ask(one).retry_after_us == 1
        world.clock.step(1 - one.interval_us)


@pytest.mark.parametrize("cost", [-1, True, False, 1.0, "1", 1_000_000_001, 10**30])
def test_p20_what_is_no_cost_is_refused(world: World, cost: Any) -> None:
    for ask in (
        lambda: world.ask(policy(), cost=cost),
        lambda: world.limiter.decide([Charge(policy(), "k", cost)]),
        lambda: world.limiter.refund(policy(), "k", cost),
        lambda: world.limiter.reserve(policy(), "k", cost),
        lambda: Policy("p", "1/s", cost=cost),
    ):
        with pytest.raises(ValueError, match="whole number from 0 to a billion"):
            ask()
    assert world.look(policy()).remaining == 10


def test_p20_a_billion_is_a_cost_that_never_fits(world: World) -> None:
    decision = world.ask(Policy("p", Rate(1, 1e8, 1)), cost=1_000_000_000)

    assert not decision.allowed
    assert decision.retry_after_us is None


def test_p20_the_whole_burst_can_be_asked_for_again(world: World) -> None:
    """The native GCRA of Redis said never here, and was taken back for it."""
    each = policy("10/s", 5)
    assert world.ask(each, cost=5).allowed
    refused = world.ask(each, cost=5)

    assert refused.retry_after_us == 500_000
    world.clock.step(500_000)
    assert world.ask(each, cost=5).allowed


@pytest.mark.parametrize("kept", ["", "nonsense", "-5", "1e400", "-1e400", "12.5"])
def test_p20_what_somebody_else_wrote_does_no_harm(
    timed_redis: TimedRedis, kept: str
) -> None:
    world = World(timed_redis)
    world.ask(policy())
    (name,) = timed_redis.snapshot()
    timed_redis._client.set(name, kept)
    decision = world.ask(policy("10/s", 3))

    assert decision.allowed or decision.retry_after_us == 100_000
    assert not timed_redis.degraded


def test_p20_keys_of_any_text(world: World) -> None:
    once = policy("1/day")
    keys = ["", " ", "a" * 5000, "\x00", "\r\n", "ü", "{", "}", "{}", "{}a", "a{", "*"]
    assert all(world.ask(once, key).allowed for key in keys)
    assert not any(world.ask(once, key).allowed for key in keys)
