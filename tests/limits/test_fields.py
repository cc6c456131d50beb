"""What HTTP says of limits, to the letter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.limits import Charge, Decision, limit_fields, retry_after
from tests.limits.models import FREELY, costs, gaps, policies
from tests.limits.worlds import World, policy


def _decided(rate: str, *, times: int = 1, cost: int = 1, late_us: int = 0) -> Decision:
    world = World(None)
    each = policy(rate, name="send")
    for _ in range(times):
        world.ask(each, cost=cost)
    world.clock.step(late_us)
    return world.look(each, cost=cost)


@pytest.mark.parametrize(
    ("rate", "times", "told", "left"),
    [
        ("10/s", 0, '"send";q=10;w=1;headgate-burst=10', '"send";r=10'),
        ("10/s", 3, '"send";q=10;w=1;headgate-burst=10', '"send";r=7;t=1'),
        ("60/min:20", 20, '"send";q=60;w=60;headgate-burst=20', '"send";r=0;t=1'),
        ("5/2s", 5, '"send";q=5;w=2;headgate-burst=5', '"send";r=0;t=1'),
        (
            "1000/day:1",
            1,
            '"send";q=1000;w=86400;headgate-burst=1',
            '"send";r=0;t=87',
        ),
        # The draft knows whole seconds only.
        ("1/100ms:3", 0, '"send";q=10;w=1;headgate-burst=3', '"send";r=3'),
        ("3/1500ms", 1, '"send";q=4;w=2;headgate-burst=3', '"send";r=2;t=1'),
        ("3/s", 0, '"send";q=3;w=1;headgate-burst=3', '"send";r=3'),
    ],
)
def test_the_fields_of_one_policy(rate: str, times: int, told: str, left: str) -> None:
    assert limit_fields([_decided(rate, times=times)]) == {
        "RateLimit-Policy": told,
        "RateLimit": left,
    }


def test_the_fields_of_several_policies_without_those_on_a_dry_run() -> None:
    world = World(None)
    charges = [
        Charge(policy("10/s", name="user"), "k"),
        Charge(policy("1/s", name="trial", dry_run=True), "k"),
        Charge(policy("100/min:5", name="room.send"), "k"),
    ]

    assert limit_fields(world.limiter.decide(charges).decisions) == {
        "RateLimit-Policy": (
            '"user";q=10;w=1;headgate-burst=10, "room.send";q=100;w=60;headgate-burst=5'
        ),
        "RateLimit": '"user";r=9;t=1, "room.send";r=4;t=1',
    }
    assert limit_fields([world.look(*charges[1])]) == {}
    assert limit_fields([]) == {}


def test_an_unknown_revision_is_an_error() -> None:
    with pytest.raises(KeyError):
        limit_fields([_decided("1/s")], revision="draft-99")


@pytest.mark.parametrize(
    ("rate", "late_us", "told"),
    [
        ("1/s", 0, "1"),
        ("1/s", 999_999, "1"),  # a microsecond is at least a second
        ("1/2s", 1, "2"),  # rounded up
        ("1/2s", 1_000_000, "1"),
        ("10/s:1", 0, "1"),
        ("1/day", 0, "86400"),
    ],
)
def test_retry_after_is_in_whole_seconds(rate: str, late_us: int, told: str) -> None:
    assert retry_after(_decided(rate, late_us=late_us)) == {"Retry-After": told}


def test_where_waiting_does_not_help_there_is_no_retry_after() -> None:
    assert retry_after(_decided("2/s", cost=3)) == {}


@given(data=st.data())
@settings(FREELY, max_examples=80)
def test_retry_after_is_never_before_there_is_more(data: st.DataObject) -> None:
    """The draft asks for that, of the field `t`."""
    world = World(None)
    each = data.draw(policies(most_burst=10))
    for _ in range(data.draw(st.integers(0, 12))):
        world.clock.step(data.draw(gaps(each)))
        decision = world.ask(each, cost=data.draw(costs(each)))
        told = retry_after(decision)
        if not decision.allowed and told:
            assert int(told["Retry-After"]) >= decision.next_after_seconds
