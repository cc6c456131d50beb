"""The clock that leaves out standstills, on which tests of promised times rely."""

from __future__ import annotations

import time

import pytest

from tests.steady import LATE_SECONDS, SteadyClock


class Hands:
    """A clock that is set by hand, and one that goes by it, with no thread."""

    def __init__(self) -> None:
        self.now = 100.0
        self.steady = SteadyClock(lambda: self.now)

    def go(self, seconds: float) -> None:
        """Get on: looked at all the time."""
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            self.steady.look()

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which nobody looks."""
        self.now += seconds


@pytest.fixture
def hands() -> Hands:
    return Hands()


def test_time_that_passes_counts(hands: Hands) -> None:
    hands.go(2.5)
    assert hands.steady.since(100.0) == pytest.approx(2.5)
    assert hands.steady.between(101.0, 102.0) == pytest.approx(1.0)


def test_a_standstill_does_not_count_even_before_anybody_looked(hands: Hands) -> None:
    hands.go(1.0)
    hands.stand_still(3.0)
    assert hands.steady.since(100.0) == pytest.approx(1.0)
    hands.go(1.0)
    assert hands.steady.since(100.0) == pytest.approx(2.0)


def test_only_the_part_of_a_standstill_that_is_within_is_left_out(hands: Hands) -> None:
    hands.stand_still(4.0)
    assert hands.steady.between(102.0, 104.0) == pytest.approx(0.0)
    hands.go(1.0)
    assert hands.steady.between(103.0, 104.5) == pytest.approx(0.5)
    assert hands.steady.between(104.5, 105.0) == pytest.approx(0.5)


def test_many_short_waits_all_count(hands: Hands) -> None:
    for _ in range(10):
        hands.stand_still(LATE_SECONDS * 0.9)
        hands.steady.look()
    assert hands.steady.since(100.0) == pytest.approx(LATE_SECONDS * 9)


def test_who_is_held_up_by_its_own_code_gains_nothing() -> None:
    with SteadyClock() as steady:
        began = time.monotonic()
        time.sleep(LATE_SECONDS * 5)  # what a blocked loop does; the thread goes on
        ended = time.monotonic()
    # A busy machine may have held up the thread too, but not all the time.
    assert steady.between(began, ended) > LATE_SECONDS
