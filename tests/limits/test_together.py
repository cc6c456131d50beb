"""Several policies in one decision: all or none. P14, on both stores."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.limits import Charge
from tests.limits.models import FREELY, costs, gaps, policies
from tests.limits.worlds import World, policy


@given(data=st.data())
@settings(FREELY, max_examples=60)
def test_p14_all_or_none(world: World, data: st.DataObject) -> None:
    names = ("one", "two", "three")
    found = [data.draw(policies(most_burst=8, name=name)) for name in names]
    world.fresh()
    for _ in range(data.draw(st.integers(1, 12))):
        world.clock.step(data.draw(gaps(found[0])))
        charges = [Charge(each, "k", data.draw(costs(each))) for each in found]
        charges = data.draw(st.permutations(charges))
        alone = {each.policy.name: world.look(*each) for each in charges}
        before = world.snapshot()
        verdict = world.limiter.decide(charges)
        answers = {each.policy.name: each for each in verdict.decisions}

        assert [each.policy for each in verdict.decisions] == [
            each.policy for each in charges
        ]
        assert verdict.allowed == all(each.allowed for each in alone.values())
        for name, each in alone.items():
            assert answers[name].allowed == each.allowed
            assert answers[name].retry_after_us == each.retry_after_us
        if verdict.allowed:
            assert verdict.refused is None
        else:
            assert world.snapshot() == before
            waits = [each.retry_after_us for each in alone.values()]
            longest = None if None in waits else max(w for w in waits if w is not None)
            assert verdict.refused is not None
            assert verdict.refused.retry_after_us == longest


@given(data=st.data())
@settings(FREELY, max_examples=30)
def test_p14_the_order_of_the_policies_does_not_matter(
    world: World, data: st.DataObject
) -> None:
    found = [data.draw(policies(most_burst=5, name=name)) for name in ("one", "two")]
    asks = data.draw(
        st.lists(st.tuples(gaps(found[0]), costs(found[0]), costs(found[1]))),
    )

    def decided(order: int) -> list[bool]:
        world.fresh()
        allowed = []
        for gap, *each in asks:
            world.clock.step(gap)
            charges = [Charge(p, "k", c) for p, c in zip(found, each, strict=True)]
            allowed.append(world.limiter.decide(charges[::order]).allowed)
        return allowed

    assert decided(1) == decided(-1)


def test_the_same_policy_and_key_twice_is_refused(world: World) -> None:
    twice = [Charge(policy(), "k"), Charge(policy(), "k", 2)]

    with pytest.raises(ValueError, match="add their costs"):
        world.limiter.decide(twice)


def test_two_keys_of_one_policy_are_two_limits(world: World) -> None:
    once = policy("1/day")
    both = [Charge(once, "a"), Charge(once, "b")]

    assert world.limiter.decide(both).allowed
    assert not world.ask(once, "a").allowed
    assert not world.ask(once, "b").allowed


def test_a_policy_on_a_dry_run_hinders_nothing_and_is_told(world: World) -> None:
    limit = policy("3/day", name="limit")
    trial = policy("1/day", name="trial", dry_run=True)
    charges = [Charge(limit, "k"), Charge(trial, "k")]

    assert [world.limiter.decide(charges).allowed for _ in range(4)] == [
        *[True] * 3,
        False,
    ]
    totals = world.limiter.refusals.totals
    assert totals == {"trial (dry run)": 3, "limit": 1}


def test_a_dry_run_counts_as_the_limit_would(world: World) -> None:
    trial = policy("1/s", 2, dry_run=True)
    for _ in range(5):
        assert world.ask(trial).allowed
    world.clock.step(1_000_000)
    assert world.look(trial).remaining == 1  # what it let pass did not push it away
    assert world.limiter.refusals.totals == {"p (dry run)": 3}
