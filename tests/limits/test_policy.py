"""Policies: what they are made of, and what is told of one that cannot be."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from headgate.limits import Policy, Rate
from tests.limits.worlds import World


def test_what_a_policy_is_made_of() -> None:
    policy = Policy("send", "60/min:20", key="user and room", cost=2)

    assert policy.rate == Rate(60, 60, 20)
    assert (policy.burst, policy.cost, policy.key) == (20, 2, "user and room")
    assert (policy.past, policy.store_away, policy.dry_run) == (
        "reject",
        "local",
        False,
    )
    assert policy.interval_us == 1_000_000
    assert policy.tolerance_us == 20_000_000
    assert policy.increment_us == 2_000_000
    assert policy.per_second == 1
    assert policy == Policy("send", Rate(60, 60, 20), key="user and room", cost=2)
    assert hash(policy) == hash(Policy("send", "60/min:20", 20, "user and room", 2))


def test_the_burst_beside_the_rate_counts() -> None:
    assert Policy("p", "60/min:20", 5).burst == 5
    assert Policy("p", "60/min").burst == 60


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Policy("p", "1/s").burst = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"name": ""}, "names no policy"),
        ({"name": "Send"}, "lower case"),
        ({"name": "a:b"}, "letters, digits"),
        ({"name": "a" * 65}, "at most 64"),
        ({"name": 'a"b'}, "names no policy"),
        ({"rate": "10"}, "a slash and a period"),
        ({"burst": 0}, "burst=0: a whole number from 1"),
        ({"burst": True}, "burst=True"),
        ({"burst": 2.0}, "burst=2.0"),
        ({"cost": -1}, "cost=-1: a whole number from 0"),
        ({"past": "refuse"}, "one of reject, delay, drop, close"),
        ({"store_away": "shut"}, "one of local, open, closed"),
        ({"longest_wait_seconds": -1}, "0 seconds or more"),
        ({"longest_wait_seconds": float("nan")}, "0 seconds or more"),
        ({"rate": "1/day", "burst": 100_000}, "more than 70 years"),
    ],
)
def test_what_cannot_be_a_policy_is_told(made: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Policy(**({"name": "p", "rate": "10/s"} | made))


def test_one_that_delays_lets_wait_for_ten_seconds() -> None:
    assert Policy("p", "1/s", past="delay").longest_wait_seconds == 10
    assert Policy("p", "1/s").longest_wait_seconds == 0
    assert Policy("p", "1/s", past="delay", longest_wait_seconds=2).ceiling_us == (
        3_000_000
    )


@pytest.mark.parametrize(
    ("rate", "period", "most"),
    [
        ("60/min", 60, 120),
        ("60/min:20", 60, 80),
        ("10/s", 1, 20),
        ("10/s", 60, 610),
        ("5/2s:1", 2, 6),
        ("1000/day:50", 86_400, 1050),
        ("3/s", 1, 5),  # an interval is rounded up: two and a bit come back
        ("1/s", 0, 1),
    ],
)
def test_the_worst_case_of_a_period(rate: str, period: float, most: int) -> None:
    assert Policy("p", rate).worst_case(period) == most


@pytest.mark.parametrize("rate", ["60/min", "60/min:20", "3/s", "7/3s:2"])
def test_the_worst_case_is_reached_and_not_passed(rate: str) -> None:
    world = World(None)
    policy = Policy("p", rate)
    period_us = round(policy.rate.period_seconds * 1_000_000)
    admitted = 0
    end = world.clock.now_us + period_us
    while world.clock.now_us <= end:
        decision = world.ask(policy)
        admitted += decision.allowed
        world.clock.step(decision.retry_after_us or 0)

    assert admitted == policy.worst_case(policy.rate.period_seconds)
