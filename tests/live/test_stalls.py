from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise

import pytest

from headgate.live.connection import Connection
from headgate.live.frames import Frame
from headgate.live.meters import Meters
from headgate.live.scheduler import Scheduler
from headgate.live.stalls import (
    CUTS_AT_ONCE,
    CUTS_PAUSE_SECONDS,
    LOOK_SECONDS,
    SILENT_SECONDS,
    STALL_SECONDS,
    Stalls,
)
from headgate.protocol.codes import Close
from tests.live.parts import SlowSink, connect


class Watched:
    """Connections that are looked at."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.connections: set[Connection] = set()
        self.meters = Meters()
        self.stalls = Stalls(loop, Scheduler(loop), self.connections, self.meters)

    def add(self, budget: int | None) -> tuple[Connection, SlowSink]:
        connection, sink = connect(SlowSink(budget))
        self.connections.add(connection)
        return connection, sink


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    watched = Watched()
    yield watched
    watched.stalls.close()


def say(connection: Connection, frames: int = 1) -> None:
    for _ in range(frames):
        connection.put(Frame(b"{}"))
    connection.sink.flush(connection.outbox)


async def test_who_takes_nothing_for_that_long_is_cut_off(watched: Watched) -> None:
    connection, sink = watched.add(0)
    quick, quick_sink = watched.add(None)
    for each in (connection, quick):
        say(each)
    await asyncio.sleep(STALL_SECONDS - 0.5)
    assert not sink.aborted

    await asyncio.sleep(2 * LOOK_SECONDS)
    assert sink.aborted
    assert (connection.closed, connection.ending) == (True, Close.TOO_SLOW)
    assert connection.outbox.empty
    assert not quick_sink.aborted
    assert watched.meters.stalled == 1


class FaultySink(SlowSink):
    """A way out that cannot say what waits in it."""

    def waiting(self) -> int:
        raise ZeroDivisionError


async def test_one_who_cannot_be_looked_at_keeps_nobody_else(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    connections: list[Connection] = []
    for sink in (SlowSink(0), FaultySink(0), SlowSink(0)):
        connection, _ = connect(sink)
        watched.connections.add(connection)
        say(connection)
        connections.append(connection)
    await asyncio.sleep(STALL_SECONDS + 2 * LOOK_SECONDS)

    assert [each.closed for each in connections] == [True, False, True]
    assert "stall_look_failed" in caplog.text


async def test_who_takes_a_little_is_not_cut_off(watched: Watched) -> None:
    connection, sink = watched.add(1)
    say(connection, 20)
    for _ in range(8):
        await asyncio.sleep(STALL_SECONDS - 1)
        sink.allow(1)
    assert not sink.aborted

    await asyncio.sleep(STALL_SECONDS + 2 * LOOK_SECONDS)
    assert sink.aborted


async def test_who_has_nothing_to_take_is_not_cut_off(watched: Watched) -> None:
    connection, sink = watched.add(0)
    for _ in range(5):
        say(connection)
        await asyncio.sleep(STALL_SECONDS - 1)
        sink.allow(1)
        await asyncio.sleep(STALL_SECONDS)

    assert not sink.aborted


async def test_what_serves_it_is_interrupted(watched: Watched) -> None:
    connection, _ = watched.add(0)
    connection.task = asyncio.create_task(asyncio.Event().wait())
    say(connection)

    with pytest.raises(asyncio.CancelledError):
        await connection.task


async def test_who_sent_heartbeats_and_is_silent_is_cut_off(watched: Watched) -> None:
    loop = asyncio.get_running_loop()
    silent, silent_sink = watched.add(None)
    heard, heard_sink = watched.add(None)
    _, quiet_sink = watched.add(None)  # it never said that it sends any
    silent.heard_at = loop.time()
    for _ in range(4):
        heard.heard_at = loop.time()
        await asyncio.sleep(SILENT_SECONDS / 4)
    assert not silent_sink.aborted
    heard.heard_at = loop.time()
    await asyncio.sleep(2 * LOOK_SECONDS)

    assert (silent.closed, silent_sink.aborted) == (True, True)
    assert not heard_sink.aborted
    assert not quiet_sink.aborted
    assert (watched.meters.silent, watched.meters.stalled) == (1, 0)


async def test_who_is_gone_is_forgotten(watched: Watched) -> None:
    connection, sink = watched.add(0)
    say(connection)
    await asyncio.sleep(STALL_SECONDS - 2)
    connection.closed = True
    watched.connections.remove(connection)
    await asyncio.sleep(STALL_SECONDS)

    assert not sink.aborted
    assert watched.stalls._waiting == {}


async def test_thousands_are_looked_at_in_slices(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on with each look: 0.1 ms for each connection."""
    now = 0.0
    looked: list[float] = []

    def clock() -> float:
        nonlocal now
        now += 0.0001
        return now

    for _ in range(1000):
        _, sink = watched.add(None)
        monkeypatch.setattr(sink, "waiting", lambda: looked.append(now) or 0)
    monkeypatch.setattr("headgate.live.scheduler._clock", clock)
    turns, most, before = 0, 0, 0
    while len(looked) < 1000:
        await asyncio.sleep(LOOK_SECONDS if not looked else 0)
        turns += 1
        most, before = max(most, len(looked) - before), len(looked)

    assert 0 < most <= 30
    assert turns > 30


@pytest.mark.parametrize("turns", [0, 1])
async def test_after_closing_nobody_is_looked_at(
    turns: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where it was in the middle of a look."""
    watched = Watched()
    connection, sink = watched.add(0)
    say(connection)
    if turns:
        watched.stalls._look()
    watched.stalls.close()
    await asyncio.sleep(3 * STALL_SECONDS)

    assert not sink.aborted
    assert watched.stalls._timer.cancelled()
    assert caplog.text == ""


async def test_many_are_cut_off_some_at_a_time(watched: Watched) -> None:
    """Those who read would wait for the end of all of them."""
    for _ in range(100):
        say(watched.add(0)[0])
    await asyncio.sleep(STALL_SECONDS)
    cuts = [0]
    while cuts[-1] < 100:
        await asyncio.sleep(CUTS_PAUSE_SECONDS / 2)
        cuts.append(watched.meters.stalled)

    assert max(now - before for before, now in pairwise(cuts)) == CUTS_AT_ONCE
    # The first within two looks, and the others without more between them.
    took = (len(cuts) - cuts.count(0)) * CUTS_PAUSE_SECONDS / 2
    assert took <= 100 / CUTS_AT_ONCE * CUTS_PAUSE_SECONDS
    assert (cuts.count(0) - 2) * CUTS_PAUSE_SECONDS / 2 <= 2 * LOOK_SECONDS


async def test_who_cannot_be_cut_off_is_the_only_one(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    those = [watched.add(0) for _ in range(3 * CUTS_AT_ONCE)]
    for each, sink in those:
        say(each)
        monkeypatch.setattr(sink, "abort", partial(_abort_or_fail, sink, those[0][1]))
    await asyncio.sleep(STALL_SECONDS + 3 * LOOK_SECONDS)

    assert [sink.aborted for _, sink in those] == [False] + [True] * (len(those) - 1)


def _abort_or_fail(sink: SlowSink, bad: SlowSink) -> None:
    if sink is bad:
        raise OSError(9, "Bad file descriptor")
    sink.aborted = True


async def test_who_gets_on_before_their_turn_is_not_cut_off(watched: Watched) -> None:
    those = [watched.add(0) for _ in range(CUTS_AT_ONCE + 1)]
    for each, _ in those:
        say(each, 2)
    while not watched.meters.stalled:  # noqa: ASYNC110 - it goes without a word
        await asyncio.sleep(CUTS_PAUSE_SECONDS / 10)
    (sink,) = (sink for _, sink in those if not sink.aborted)
    sink.allow(1)
    await asyncio.sleep(LOOK_SECONDS * 3)

    assert watched.meters.stalled == CUTS_AT_ONCE
    assert not sink.aborted


async def test_who_is_heard_before_their_turn_is_not_cut_off(watched: Watched) -> None:
    those = [watched.add(None) for _ in range(CUTS_AT_ONCE + 1)]
    loop = asyncio.get_running_loop()
    for each, _ in those:
        each.heard_at = loop.time()
    while not watched.meters.silent:  # noqa: ASYNC110 - it goes without a word
        await asyncio.sleep(CUTS_PAUSE_SECONDS / 10)
    (left,) = (each for each, sink in those if not sink.aborted)
    left.heard_at = loop.time()
    await asyncio.sleep(LOOK_SECONDS * 3)

    assert watched.meters.silent == CUTS_AT_ONCE
    assert not left.closed
