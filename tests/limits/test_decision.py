"""What a decision tells people."""

from __future__ import annotations

from headgate.limits import Charge
from tests.limits.worlds import World, policy


def test_what_is_told_of_a_refusal() -> None:
    world = World(None)
    each = policy("3/s")
    for _ in range(3):
        world.ask(each)
    world.clock.step(100)
    decision = world.ask(each)

    assert decision.retry_after_us == 333_234
    assert decision.retry_after_ms == 334  # rounded up: waiting it out helps
    assert decision.retry_after_seconds == 0.333234
    assert decision.remaining == 0
    assert decision.reset_after_seconds == 0.999902
    assert decision.next_after_seconds == 0.333234
    assert decision.delay_seconds == 0
    assert repr(decision) == "<Decision p 'k': retry in 334 ms>"


def test_what_is_told_of_what_is_allowed() -> None:
    world = World(None)
    decision = world.ask(policy("2/s"))

    assert decision.retry_after_ms == 0
    assert decision.retry_after_seconds == 0
    assert decision.reset_after_seconds == 0.5
    assert decision.next_after_seconds == 0.5
    assert decision.degraded is None
    assert repr(decision) == "<Decision p 'k': allowed>"
    assert world.look(policy("2/s", name="other")).next_after_seconds == 0


def test_what_is_told_of_what_never_fits() -> None:
    world = World(None)
    decision = world.ask(policy("2/s"), cost=3)

    assert decision.retry_after_seconds is None
    assert decision.retry_after_ms is None


def test_a_verdict_names_the_longest_wait_and_never_first() -> None:
    world = World(None)
    brief, long = policy("1/s", name="brief"), policy("1/day", name="long")
    charges = [Charge(brief, "k"), Charge(long, "k")]
    world.limiter.decide(charges)
    refused = world.limiter.decide(charges).refused
    assert refused is not None
    assert refused.policy is long

    never = world.limiter.decide([*charges[1:], Charge(brief, "k", 2)])
    assert never.refused is not None
    assert never.refused.policy is brief
    assert "brief" in repr(never)
