"""One timer for all connections, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any, cast

import pytest

from headgate.server.keepalive import (
    PINGS_AT_ONCE,
    SLICE_REST_SECONDS,
    Keepalive,
)

INTERVAL, TIMEOUT = 25.0, 20.0
LATE = INTERVAL / 50 * 2 + 0.001  # a look at the queues each way


class Timer:
    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self._when, self.call, self.cancelled = when, call, False

    def when(self) -> float:
        return self._when

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """What the keepalive uses of a loop; time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls = 0
        self._timers: list[tuple[float, int, Timer]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Timer:
        timer = Timer(when, call)
        heapq.heappush(self._timers, (when, id(timer), timer))
        return timer

    @property
    def waiting(self) -> int:
        return sum(not timer.cancelled for _, _, timer in self._timers)

    def run_to(self, until: float) -> None:
        while self._timers and self._timers[0][0] <= until:
            self.now, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self.calls += 1
                timer.call()
        self.now = until


class Client:
    """A connection; `there` says whether its client answers."""

    def __init__(self, clock: Clock, *, there: bool = True) -> None:
        self.clock = clock
        self.there = there
        self.heard = True
        self.asked: list[float] = []
        self.given_up: list[float] = []

    def ask(self) -> None:
        self.asked.append(self.clock.now)
        self.heard = self.there  # it answers at once

    def answered(self) -> bool:
        return self.heard

    def give_up(self) -> None:
        self.given_up.append(self.clock.now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def keepalive(
    clock: Clock, interval: float = INTERVAL, timeout: float | None = TIMEOUT
) -> Keepalive:
    return Keepalive(cast("asyncio.AbstractEventLoop", clock), interval, timeout)


def test_who_is_there_is_asked_once_an_interval(clock: Clock) -> None:
    beats, client = keepalive(clock), Client(clock)
    began = clock.now
    beats.watch(client)
    clock.run_to(began + 10 * INTERVAL + 5)

    assert len(client.asked) in {9, 10}
    first, *others = client.asked
    assert INTERVAL <= first - began <= INTERVAL + LATE
    for before, after in zip(client.asked, others, strict=False):
        assert INTERVAL <= after - before <= INTERVAL + LATE
    assert client.given_up == []


def test_who_has_vanished_is_found_within_two_intervals(clock: Clock) -> None:
    beats, client = keepalive(clock), Client(clock)
    beats.watch(client)
    while not client.asked:
        clock.run_to(clock.now + 0.1)
    # The worst moment: just after an answer.
    client.there, gone = False, clock.now
    clock.run_to(gone + 2 * INTERVAL)

    assert len(client.given_up) == 1
    assert TIMEOUT <= client.given_up[0] - client.asked[1] <= TIMEOUT + LATE


def test_who_stays_after_being_given_up_is_given_up_again(clock: Clock) -> None:
    """What was written to it may keep its socket from closing."""
    beats, client = keepalive(clock), Client(clock, there=False)
    beats.watch(client)
    clock.run_to(clock.now + 4 * INTERVAL)
    assert len(client.given_up) >= 2

    beats.forget(client)
    assert (len(beats), clock.waiting) == (0, 0)


def test_there_is_one_timer_and_none_for_nobody(clock: Clock) -> None:
    beats = keepalive(clock)
    assert clock.waiting == 0
    clients = [Client(clock) for _ in range(1000)]
    for client in clients:
        beats.watch(client)
        assert clock.waiting == 1
        clock.run_to(clock.now + 0.01)
    for _ in range(100):
        clock.run_to(clock.now + 0.7)
        assert clock.waiting == 1
    for client in clients:
        beats.forget(client)
    assert (len(beats), clock.waiting) == (0, 0)


def test_a_new_one_is_not_late_for_those_who_rest(clock: Clock) -> None:
    """Whose timeout is short is due before the others' next ping."""
    beats = keepalive(clock, 25.0, 1.0)
    old, new = Client(clock), Client(clock, there=False)
    beats.watch(old)
    clock.run_to(clock.now + 2)  # it rests, for 24 s
    beats.watch(new)
    began = clock.now
    clock.run_to(began + 25 + 1 + 2 * LATE)

    assert len(new.asked) == 1
    assert len(new.given_up) == 1


def test_watching_again_begins_anew(clock: Clock) -> None:
    beats, client = keepalive(clock), Client(clock)
    beats.watch(client)
    for _ in range(10):
        clock.run_to(clock.now + INTERVAL - 1)
        beats.watch(client)
    assert client.asked == []
    assert len(beats) == 1


def test_many_at_once_are_asked_in_slices(clock: Clock) -> None:
    beats = keepalive(clock)
    clients = [Client(clock) for _ in range(5000)]
    began = clock.now
    for client in clients:
        beats.watch(client)
    clock.run_to(began + INTERVAL + 2)

    moments: dict[float, int] = {}
    for client in clients:
        (asked,) = client.asked
        moments[asked] = moments.get(asked, 0) + 1
    assert max(moments.values()) <= PINGS_AT_ONCE
    gaps = [b - a for a, b in zip(sorted(moments), sorted(moments)[1:], strict=False)]
    assert min(gaps) >= SLICE_REST_SECONDS * 0.99
    # And soon enough: within a fiftieth of the time it takes to find who is gone.
    assert max(moments) - began <= INTERVAL + LATE + 1


def test_looks_are_few_however_many_are_spread(clock: Clock) -> None:
    """The timer does not go off for each of thousands of connections."""
    beats = keepalive(clock)
    for _ in range(5000):
        beats.watch(Client(clock))
        clock.run_to(clock.now + INTERVAL / 5000)
    clock.calls = 0
    clock.run_to(clock.now + 2 * INTERVAL)

    assert clock.calls <= 2 * (50 + 2 * 5000 / PINGS_AT_ONCE)


def test_without_a_timeout_nobody_is_given_up(clock: Clock) -> None:
    beats, client = keepalive(clock, INTERVAL, None), Client(clock, there=False)
    beats.watch(client)
    clock.run_to(clock.now + 5 * INTERVAL + 5)

    assert client.given_up == []
    assert len(client.asked) >= 4


@pytest.mark.parametrize("timeout", [1.0, INTERVAL, 2 * INTERVAL])
def test_the_timeout_may_be_of_any_length(clock: Clock, timeout: float) -> None:
    beats, client = keepalive(clock, INTERVAL, timeout), Client(clock, there=False)
    beats.watch(client)
    clock.run_to(clock.now + 2 * max(timeout, INTERVAL) + 5)

    waited: Any = client.given_up[0] - client.asked[0]
    assert timeout <= waited <= timeout + LATE
