"""What GCRA promises of one key, on both stores: P1 to P5, P7, P12 and P13.

The numbers are those of the notes that the limiter was built from.
"""

from __future__ import annotations

from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headgate.limits import Policy
from tests.limits.models import FREELY, check_window, costs, gaps, policies, traces
from tests.limits.worlds import World

EXAMPLES = 60


@given(data=st.data())
@settings(FREELY, max_examples=EXAMPLES)
def test_p01_no_window_lets_in_more_than_burst_and_rate(
    world: World, data: st.DataObject
) -> None:
    policy = data.draw(policies(most_burst=20))
    world.fresh()
    admitted = []
    for gap, cost in data.draw(traces(policy)):
        world.clock.step(gap)
        if world.ask(policy, cost=cost).allowed:
            admitted.append((world.clock.now_us, cost))

    check_window(admitted, policy)


@given(policy=policies())
@settings(FREELY, max_examples=EXAMPLES)
def test_p02_a_fresh_key_has_its_whole_burst_at_once(
    world: World, policy: Policy
) -> None:
    world.fresh()
    once = min(policy.burst, 7)

    assert world.ask(policy, cost=policy.burst - once).allowed
    assert [world.ask(policy).allowed for _ in range(once)] == [True] * once
    assert not world.ask(policy).allowed


@given(policy=policies())
@settings(FREELY, max_examples=EXAMPLES)
def test_p02_each_comes_back_within_a_microsecond_of_the_rate(
    world: World, policy: Policy
) -> None:
    world.fresh()
    start = world.clock.now_us
    exact = Fraction(round(policy.rate.period_seconds * 1_000_000), policy.rate.count)
    world.ask(policy, cost=policy.burst)
    for number in range(1, 8):
        world.clock.now_us = start + -(-number * exact // 1) + number  # rounded up
        assert world.ask(policy).allowed


@given(data=st.data())
@settings(FREELY, max_examples=EXAMPLES)
def test_p03_retry_after_is_exact(world: World, data: st.DataObject) -> None:
    policy = data.draw(policies(most_burst=20))
    world.fresh()
    for gap, cost in data.draw(traces(policy, most=8)):
        world.clock.step(gap)
        decision = world.ask(policy, cost=cost)
        wait_us = decision.retry_after_us

        assert (wait_us == 0) == decision.allowed
        assert (wait_us is None) == (cost > policy.burst)
        if wait_us:
            world.clock.step(wait_us - 1)
            assert not world.look(policy, cost=cost).allowed
            world.clock.step(1)
            assert world.look(policy, cost=cost).allowed


@given(data=st.data())
@settings(FREELY, max_examples=EXAMPLES)
def test_p04_the_wait_never_grows_by_waiting(world: World, data: st.DataObject) -> None:
    policy = data.draw(policies(most_burst=20))
    world.fresh()
    cost = data.draw(st.integers(1, policy.burst))
    for _ in range(25):
        world.ask(policy)
    last = cost * policy.interval_us
    for gap in data.draw(st.lists(gaps(policy), max_size=6)):
        wait_us = world.look(policy, cost=cost).retry_after_us

        assert wait_us is not None
        assert wait_us <= last
        last = wait_us
        world.clock.step(gap)


@given(data=st.data())
@settings(FREELY, max_examples=EXAMPLES)
def test_p05_what_remains_is_what_would_be_allowed(
    world: World, data: st.DataObject
) -> None:
    policy = data.draw(policies())
    world.fresh()
    for gap, cost in data.draw(traces(policy, most=6)):
        world.clock.step(gap)
        told = world.ask(policy, cost=cost).remaining
        left = world.look(policy, cost=0).remaining

        assert told == left
        assert world.look(policy, cost=left).allowed
        assert not world.look(policy, cost=left + 1).allowed


@given(data=st.data())
@settings(FREELY, max_examples=EXAMPLES)
def test_p07_in_two_parts_is_the_same_as_at_once(
    world: World, data: st.DataObject
) -> None:
    policy = data.draw(policies(most_burst=50))
    world.fresh()
    for key in ("whole", "parts"):
        world.ask(policy, key, data.draw(st.just(policy.burst // 2)))
    world.clock.step(data.draw(gaps(policy)))
    one, two = data.draw(costs(policy)), data.draw(costs(policy))
    assume(one + two <= policy.burst + 1)
    whole = world.ask(policy, "whole", one + two)
    first = world.ask(policy, "parts", one)
    second = world.ask(policy, "parts", two)

    assert whole.allowed == (first.allowed and second.allowed)
    if whole.allowed:
        assert whole.tat_us == second.tat_us


@given(data=st.data(), jump=st.integers(1, 10**13))
@settings(FREELY, max_examples=EXAMPLES)
def test_p12_a_clock_that_goes_back_costs_no_more_than_the_cost(
    world: World, data: st.DataObject, jump: int
) -> None:
    policy = data.draw(policies(most_burst=20))
    world.fresh()
    for _ in range(data.draw(st.integers(1, 25))):
        world.ask(policy)
    world.clock.step(-jump)
    cost = data.draw(st.integers(1, policy.burst))
    asked = world.ask(policy, cost=cost)
    wait_us = asked.retry_after_us

    assert wait_us is not None
    assert wait_us <= cost * policy.interval_us
    world.clock.step(wait_us)
    assert asked.allowed or world.ask(policy, cost=cost).allowed


@given(data=st.data(), jump=st.integers(1, 10**13))
@settings(FREELY, max_examples=EXAMPLES)
def test_p12_a_clock_that_jumps_forward_gives_one_burst_at_most(
    world: World, data: st.DataObject, jump: int
) -> None:
    policy = data.draw(policies(most_burst=20))
    world.fresh()
    admitted, jumped = [], 0
    for number, (gap, cost) in enumerate(data.draw(traces(policy))):
        world.clock.step(gap)
        if number == 10:
            world.clock.step(jump)
            jumped = jump
        if world.ask(policy, cost=cost).allowed:
            # When it was, by a clock that did not jump.
            admitted.append((world.clock.now_us - jumped, cost))

    check_window(admitted, policy, extra=policy.burst)


@given(data=st.data())
@settings(FREELY, max_examples=EXAMPLES)
def test_p13_a_limit_that_changes_holds_at_once(
    world: World, data: st.DataObject
) -> None:
    before = data.draw(policies(most_burst=20))
    after = data.draw(policies(most_burst=20))
    world.fresh()
    for gap, cost in data.draw(traces(before, most=10)):
        world.clock.step(gap)
        world.ask(before, cost=cost)
    cost = data.draw(st.integers(1, after.burst))
    admitted = []
    asked = world.ask(after, cost=cost)
    wait_us = asked.retry_after_us
    assert wait_us is not None
    if not asked.allowed:
        world.clock.step(wait_us)
        assert world.ask(after, cost=cost).allowed
    admitted.append((world.clock.now_us, cost))
    for gap, each in data.draw(traces(after, most=10)):
        world.clock.step(gap)
        if world.ask(after, cost=each).allowed:
            admitted.append((world.clock.now_us, each))

    assert wait_us <= cost * after.interval_us
    check_window(admitted, after)
