"""The breaker before a store, on the test's clock."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from headgate.limits.breaker import FAILURES, LONGEST_SECONDS, TRIAL_SECONDS, Breaker


class _Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class _Watched:
    def __init__(self) -> None:
        self.changes: list[bool] = []
        self.clock = _Time()
        self.breaker = Breaker(self.changes.append, clock=self.clock)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.failed()


@pytest.fixture
def watched() -> _Watched:
    return _Watched()


def test_one_accident_opens_nothing(watched: _Watched) -> None:
    for _ in range(10):
        watched.fail(FAILURES - 1)
        watched.breaker.worked()

    assert watched.breaker.may_ask()
    assert watched.changes == []


def test_a_few_in_a_row_open_it_and_nobody_asks(watched: _Watched) -> None:
    watched.fail(FAILURES)

    assert watched.breaker.is_open
    assert watched.breaker.opens_for_seconds == 1
    assert not any(watched.breaker.may_ask() for _ in range(100))
    assert watched.changes == [True]


def test_then_one_asks_and_closes_it(watched: _Watched) -> None:
    watched.fail(FAILURES)
    watched.clock.now += 1

    assert [watched.breaker.may_ask() for _ in range(100)] == [True, *[False] * 99]
    watched.breaker.worked()
    assert all(watched.breaker.may_ask() for _ in range(100))
    watched.breaker.worked()
    assert watched.changes == [True, False]


def test_of_many_threads_one_asks(watched: _Watched) -> None:
    watched.fail(FAILURES)
    watched.clock.now += 1
    barrier = threading.Barrier(16)

    def ask(_: int) -> bool:
        barrier.wait()
        return watched.breaker.may_ask()

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(16))) == 1


def test_each_failed_trial_doubles_the_time_up_to_the_longest(
    watched: _Watched,
) -> None:
    watched.fail(FAILURES)
    found = []
    for _ in range(6):
        found.append(watched.breaker.opens_for_seconds)
        watched.clock.now += found[-1]
        assert watched.breaker.may_ask()
        watched.fail()

    assert found == [1, 2, 4, LONGEST_SECONDS, LONGEST_SECONDS, LONGEST_SECONDS]
    assert watched.changes == [True]


def test_who_had_asked_before_it_opened_does_not_make_it_longer(
    watched: _Watched,
) -> None:
    watched.fail(1000)

    assert watched.breaker.opens_for_seconds == 1


def test_a_late_answer_closes_it(watched: _Watched) -> None:
    watched.fail(FAILURES)
    watched.breaker.worked()

    assert not watched.breaker.is_open
    assert watched.changes == [True, False]


def test_a_trial_that_tells_nothing_is_given_up(watched: _Watched) -> None:
    watched.fail(FAILURES)
    watched.clock.now += 1
    assert watched.breaker.may_ask()
    watched.clock.now += TRIAL_SECONDS - 0.01
    assert not watched.breaker.may_ask()
    watched.clock.now += 0.02
    assert watched.breaker.may_ask()


def test_after_it_was_closed_it_begins_anew(watched: _Watched) -> None:
    watched.fail(FAILURES)
    watched.clock.now += 1
    watched.breaker.may_ask()
    watched.fail()
    watched.clock.now += 2
    watched.breaker.may_ask()
    watched.breaker.worked()
    watched.fail(FAILURES - 1)
    assert not watched.breaker.is_open
    watched.fail()
    assert watched.breaker.opens_for_seconds == 1
