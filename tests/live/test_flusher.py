from __future__ import annotations

import asyncio

import pytest

from headgate.live.connection import Connection
from headgate.live.flusher import Flusher
from headgate.live.frames import Frame
from headgate.live.scheduler import SLICE_WRITES, Scheduler, Slice
from tests.live.parts import SlowSink, connect, turns


@pytest.fixture
async def scheduler() -> Scheduler:
    return Scheduler(asyncio.get_running_loop())


@pytest.fixture
async def flusher(scheduler: Scheduler) -> Flusher:
    return Flusher(scheduler)


def say(flusher: Flusher, connection: Connection, text: str) -> None:
    connection.put(Frame(text.encode()))
    flusher.touch(connection)


def texts(sink: SlowSink) -> list[str]:
    return [frame.text for frame in sink.taken]


async def test_all_of_one_turn_leaves_in_one_flush(flusher: Flusher) -> None:
    connection, sink = connect()
    for text in "abc":
        say(flusher, connection, text)
    assert sink.flushes == 0
    await turns(1)
    assert (sink.flushes, texts(sink)) == (1, ["a", "b", "c"])

    say(flusher, connection, "d")
    await turns(1)
    assert (sink.flushes, texts(sink)) == (2, ["a", "b", "c", "d"])


async def test_what_a_room_adds_leaves_with_what_waited(
    scheduler: Scheduler, flusher: Flusher
) -> None:
    """Somebody's own message, behind the reply that tells of it."""
    connection, sink = connect()

    class Room:
        queued = False

        def work(self, part: Slice) -> bool:
            event = Frame(b"event")
            connection.outbox.put_in_order([event], event.size)
            flusher.touch(connection)
            return False

    say(flusher, connection, "reply")
    scheduler.ready(Room())
    await turns(1)

    assert (sink.flushes, texts(sink)) == (1, ["reply", "event"])


async def test_many_are_flushed_in_slices(flusher: Flusher) -> None:
    sinks = []
    for _ in range(3 * SLICE_WRITES):
        connection, sink = connect()
        sinks.append(sink)
        say(flusher, connection, "a")
    before = flushed = 0
    while flushed < len(sinks):
        await turns(1)
        flushed = sum(sink.flushes for sink in sinks)
        assert 0 < flushed - before <= SLICE_WRITES
        before = flushed


async def test_a_closed_connection_is_not_flushed(flusher: Flusher) -> None:
    connection, sink = connect()
    say(flusher, connection, "a")
    connection.closed = True
    await turns()

    assert sink.flushes == 0


async def test_one_whose_sink_fails_stops_nobody(
    flusher: Flusher, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(outbox: object) -> None:
        raise KeyError("a bug")

    first, first_sink = connect()
    second, second_sink = connect()
    monkeypatch.setattr(first_sink, "flush", broken)
    say(flusher, first, "a")
    say(flusher, second, "b")
    await turns()

    assert texts(second_sink) == ["b"]
    assert first.outbox.lost
    assert "flush_failed" in caplog.text
