"""How many calls of each destination a worker begins, by a clock of the test."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from headgate.outbound import places as places_module
from headgate.outbound.places import (
    ANSWER_SECONDS,
    MAX_IN_FLIGHT,
    MAX_QUICK,
    MAX_SLOW,
    SLOW_KEPT_SECONDS,
    SLOW_SECONDS,
    Place,
    Places,
)

HEALTHY = 10_000


class Desk:
    """Places, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.places = Places()
        self.held: list[Place] = []

    def turn(self, due: Iterable[int], *, concurrency: int = 8) -> dict[int, int]:
        """Begin the calls of all that are due; return how many of each."""
        wanted = dict.fromkeys(sorted(due), concurrency)
        limits = self.places.limits(wanted, self.places.on_their_way())
        for i, most in limits.items():
            self.held += [self.places.take(i) for _ in range(most)]
        return limits

    def end(self, *, answered: bool, but: Iterable[int] = ()) -> None:
        """End what is on its way."""
        kept = set(but)
        for place in self.held:
            if place.destination not in kept:
                self.places.leave(place, answered=answered)
        self.held = [each for each in self.held if each.destination in kept]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk()
    monkeypatch.setattr(places_module.time, "monotonic", lambda: made.now)
    return made


def test_however_many_hang_whoever_answers_has_a_place(desk: Desk) -> None:
    hanging = range(1, 3001)
    for _ in range(20):
        desk.turn(hanging)  # until each of them has been called, and hung
        desk.now += 15
        desk.end(answered=False)
    for _ in range(20):
        assert desk.turn([*hanging, HEALTHY]).get(HEALTHY) == 8
        assert len(desk.held) <= MAX_SLOW + 8
        desk.now += SLOW_SECONDS / 2
        desk.end(answered=True, but=hanging)


def test_those_that_begin_to_hang_make_room_in_half_a_second(desk: Desk) -> None:
    """Nobody knows yet who hangs: first all have a call, then the next have."""
    everybody = [*range(1, 301), HEALTHY]
    first = desk.turn(everybody)
    assert set(first.values()) == {1}
    assert len(first) == MAX_QUICK
    assert HEALTHY not in first
    assert desk.turn(everybody) == {}
    desk.now += SLOW_SECONDS
    second = desk.turn(everybody)
    assert set(second) == set(everybody) - set(first)


def test_all_together_are_bounded(desk: Desk) -> None:
    for _ in range(10):
        desk.turn(range(1, 3001))
        desk.now += SLOW_SECONDS
    assert len(desk.held) == MAX_IN_FLIGHT


def test_the_slow_take_turns(desk: Desk) -> None:
    hanging = range(1, 1001)
    called: set[int] = set()
    for _ in range(2 + len(hanging) // MAX_SLOW):
        called |= set(desk.turn(hanging))
        desk.now += 15
        desk.end(answered=False)
    assert called == set(hanging)


def test_one_has_no_more_than_a_share(desk: Desk) -> None:
    assert desk.turn([1], concurrency=1000) == {1: MAX_QUICK // 2}
    desk.now += SLOW_SECONDS
    assert desk.turn([1], concurrency=1000) == {}, "that is its share of the slow"
    assert desk.turn([1, 2], concurrency=1000) == {2: MAX_QUICK // 2}


@pytest.mark.parametrize(
    ("seconds", "answered", "slow"),
    [
        (SLOW_SECONDS / 2, False, False),
        (SLOW_SECONDS, False, True),
        (SLOW_SECONDS, True, False),
        (ANSWER_SECONDS, True, True),
    ],
)
def test_who_is_slow(
    desk: Desk,
    seconds: float,
    answered: bool,  # noqa: FBT001 - of the table
    slow: bool,  # noqa: FBT001 - of the table
) -> None:
    desk.turn([1])
    desk.now += seconds
    desk.end(answered=answered)
    assert (1 in desk.places.on_their_way().known_slow) is slow


def test_who_was_slow_is_not_for_ever(desk: Desk) -> None:
    for wait, slow in ((SLOW_KEPT_SECONDS - 1, True), (SLOW_KEPT_SECONDS, False)):
        desk.turn([1])
        desk.now += 15
        desk.end(answered=False)
        desk.now += wait
        assert (1 in desk.places.on_their_way().known_slow) is slow


def test_one_quick_answer_makes_it_quick(desk: Desk) -> None:
    desk.turn([1])
    desk.now += 15
    desk.end(answered=False)
    desk.turn([1])
    desk.now += 0.1
    desk.end(answered=False)
    assert desk.places.on_their_way().known_slow == set()
