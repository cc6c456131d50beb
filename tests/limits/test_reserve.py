"""Places that are free later: P21, on both stores."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.limits import Policy
from tests.limits.models import FREELY, check_window, gaps, policies
from tests.limits.worlds import World, policy


def _patient(found: Policy, intervals: int) -> Policy:
    wait_seconds = min(intervals * found.interval_us, 10**13) / 1_000_000
    return Policy("p", found.rate, found.burst, longest_wait_seconds=wait_seconds)


def _delay_us(seconds: float) -> int:
    return round(seconds * 1_000_000)


@given(data=st.data())
@settings(FREELY, max_examples=60)
def test_p21_starts_keep_the_limit_their_order_and_the_longest_wait(
    world: World, data: st.DataObject
) -> None:
    policy = _patient(data.draw(policies(most_burst=6)), 7)
    longest_us = _delay_us(policy.longest_wait_seconds)
    world.fresh()
    starts: list[tuple[int, int]] = []
    for gap in data.draw(st.lists(gaps(policy), max_size=25)):
        world.clock.step(gap)
        cost = data.draw(st.integers(1, policy.burst))
        decision = world.limiter.reserve(policy, "k", cost)
        delay_us = _delay_us(decision.delay_seconds)
        if decision.allowed:
            assert delay_us <= longest_us
            starts.append((world.clock.now_us + delay_us, cost))
        elif decision.retry_after_us is not None:
            assert decision.retry_after_us > longest_us

    check_window(starts, policy)
    assert starts == sorted(starts, key=lambda each: each[0])


@given(data=st.data())
@settings(FREELY, max_examples=60)
def test_p21_a_place_that_is_given_back_is_free_for_the_next(
    world: World, data: st.DataObject
) -> None:
    policy = _patient(data.draw(policies(most_burst=6)), 7)
    world.fresh()
    for _ in range(data.draw(st.integers(0, 10))):
        world.limiter.reserve(policy, "k", 1)
    one = world.limiter.reserve(policy, "k", 1)
    if one.allowed:
        world.limiter.refund(policy, "k", 1)
        two = world.limiter.reserve(policy, "k", 1)
        assert (two.allowed, two.delay_seconds) == (True, one.delay_seconds)


@given(data=st.data())
@settings(FREELY, max_examples=40)
def test_p21_with_places_given_back_no_more_start_than_limit_and_refunds(
    world: World, data: st.DataObject
) -> None:
    """One number per key cannot know whose place is free: hence the sum."""
    policy = _patient(data.draw(policies(most_burst=4)), 7)
    world.fresh()
    starts: list[tuple[int, int]] = []
    refunds = 0
    for gap in data.draw(st.lists(gaps(policy), max_size=25)):
        world.clock.step(gap)
        decision = world.limiter.reserve(policy, "k", 1)
        if decision.allowed:
            start = world.clock.now_us + _delay_us(decision.delay_seconds)
            starts.append((start, 1))
            if data.draw(st.booleans()):
                place = data.draw(st.integers(0, len(starts) - 1))
                if starts[place][0] >= world.clock.now_us:
                    del starts[place]
                    world.limiter.refund(policy, "k", 1)
                    refunds += 1

    check_window(sorted(starts), policy, extra=refunds)


def test_ten_in_a_row_start_one_after_another(world: World) -> None:
    shaped = policy("10/s", 1, past="delay")

    delays = [world.limiter.reserve(shaped, "k").delay_seconds for _ in range(10)]
    assert delays == pytest.approx([number / 10 for number in range(10)])


def test_nobody_waits_longer_than_they_say(world: World) -> None:
    shaped = policy("1/s", 1, past="delay")
    for _ in range(3):
        assert world.limiter.reserve(shaped, "k").allowed

    decision = world.limiter.reserve(shaped, "k", max_wait_seconds=2.9)
    assert not decision.allowed
    assert world.limiter.reserve(shaped, "k", max_wait_seconds=3).allowed


def test_more_than_the_burst_is_never_free(world: World) -> None:
    decision = world.limiter.reserve(policy("1/s", 2, past="delay"), "k", 3)

    assert not decision.allowed
    assert decision.retry_after_us is None


def test_more_is_left_when_what_is_reserved_has_come_back(world: World) -> None:
    shaped = policy("1/s", 2, past="delay")
    for _ in range(5):
        decision = world.limiter.reserve(shaped, "k")

    assert decision.remaining == 0
    assert decision.next_after_seconds == 4
    world.clock.step(4_000_000)
    assert world.look(shaped).remaining == 1


@pytest.mark.parametrize("wait", [-1, 10.1, float("nan"), float("inf")])
def test_a_longer_wait_than_the_policys_is_refused(world: World, wait: float) -> None:
    with pytest.raises(ValueError, match="longest_wait_seconds, 10"):
        world.limiter.reserve(policy("1/s", past="delay"), "k", max_wait_seconds=wait)
