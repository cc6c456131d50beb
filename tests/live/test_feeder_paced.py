"""Feeding those who have a pace of their own, with what is chosen for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from headgate.live import feeder as feeder_module
from headgate.live.connection import Watch
from headgate.live.feeder import Feeder
from headgate.live.frames import frame_of
from headgate.live.node import Node
from headgate.live.pace import WINDOW_EVENTS
from headgate.live.run import RUN_MAX_BYTES
from headgate.live.scheduler import SLICE_WRITES
from headgate.protocol.pushes import LogEvent
from tests.live.parts import (
    MemoryLog,
    SlowSink,
    connect,
    join,
    message,
    seqs,
    turns,
)


def told(sink: SlowSink) -> list[Any]:
    """Return what was heard: a seq for an event, a pair for a gap."""
    return [
        (said["from"], said["to"]) if said["push"] == "gap" else said["seq"]
        for said in sink.heard
    ]


async def test_a_slow_room_is_heard_whole(log: MemoryLog, node: Node) -> None:
    connection, sink = connect()
    await join(node, connection, 1, pace="2/s:3")
    for _ in range(20):
        node.hub.publish(1, log.write(1))
        await turns(1)
        assert told(sink)[-1:] == [log.end(1)]  # at once, too
        await asyncio.sleep(0.5)

    assert told(sink) == list(range(1, 21))
    assert node.meters.gaps == 0


async def test_a_busy_room_is_heard_as_fast_as_was_asked(
    log: MemoryLog, node: Node
) -> None:
    connection, sink = connect()
    watch = await join(node, connection, 1, pace="5/s:5")
    for _ in range(1000):
        node.hub.publish(1, log.write(1))
        await asyncio.sleep(0.01)
    await asyncio.sleep(2)

    said = told(sink)
    events = [each for each in said if isinstance(each, int)]
    gaps = [each for each in said if isinstance(each, tuple)]
    covered = sum(1 + (to - begin) for begin, to in gaps) + len(events)
    assert covered == watch.position == 1000
    assert 45 <= len(events) <= 5 + 5 * 12
    assert len(gaps) <= len(events)
    assert (node.meters.gaps, node.meters.gap_events) == (len(gaps), 1000 - len(events))


async def test_the_important_and_the_newest_are_heard(
    log: MemoryLog, node: Node
) -> None:
    connection, sink = connect()
    await join(node, connection, 1, pace="1/s:2")
    node.hub.publish(
        1,
        log.write(1, 5)
        + log.write(1, 1, priority="high")
        + log.write(1, 5)
        + log.write(1, 3, priority="low"),
    )
    await turns()

    assert told(sink) == [(1, 5), 6, (7, 10), 11, (12, 14)]


async def test_what_has_expired_is_spared_only_where_not_all_goes_out(
    log: MemoryLog, node: Node
) -> None:
    """The test's messages are from January 2026, and the clock is the machine's."""
    connection, sink = connect()
    await join(node, connection, 1, pace="1/s:3")
    node.hub.publish(1, log.write(1, 2, expires_in_ms=1))
    await turns()
    assert told(sink) == [1, 2]
    await asyncio.sleep(5)
    node.hub.publish(1, log.write(1, 3, expires_in_ms=1) + log.write(1, 1))
    await turns()

    assert told(sink) == [1, 2, (3, 5), 6]


async def test_a_flood_is_one_gap_and_what_is_newest(
    log: MemoryLog, node: Node
) -> None:
    """More than is looked through, and more than is in memory."""
    connection, sink = connect()
    await join(node, connection, 1, pace="1/s:4")
    log.write(1, 5 * WINDOW_EVENTS)
    node.hub.reach(1, log.end(1))
    await asyncio.sleep(10)

    end = log.end(1)
    said = told(sink)
    assert said[-1] == end
    assert len([each for each in said if isinstance(each, int)]) <= 4 + 10
    assert len(log.reads) <= 5 + 2


async def test_somebody_who_comes_back_with_a_pace_gets_gaps_too(
    log: MemoryLog, node: Node
) -> None:
    log.write(1, 500)
    connection, sink = connect()
    watch = await join(node, connection, 1, after=100, pace="1/s:2")
    await turns(50)

    assert told(sink) == [(101, 498), 499, 500]
    assert watch.position == 500


async def test_a_pace_is_no_way_past_the_bound_of_an_outbox(
    log: MemoryLog, node: Node
) -> None:
    """A burst of hundreds of long messages does not go out at once."""
    size = frame_of(message(1, 100, "x" * 10_000)).size
    connection, sink = connect(SlowSink(0, straight=False), limit_bytes=1000)
    await join(node, connection, 1, pace="1000/s:1000")
    for _ in range(10):
        node.hub.publish(1, log.write(1, 9, "x" * 10_000))
        await asyncio.sleep(0.1)
    assert connection.outbox.size_bytes <= 1000 + RUN_MAX_BYTES + size
    sink.allow(None)
    await asyncio.sleep(1)

    assert told(sink) == list(range(1, 91))


async def test_what_is_cut_by_the_bound_is_chosen_from_again(
    log: MemoryLog, node: Node
) -> None:
    connection, sink = connect()
    await join(node, connection, 1, pace="1/s:20")
    important = log.write(1, 20, "x" * 10_000, priority="high")
    node.hub.publish(1, important + log.write(1, 40, "x" * 10_000))
    await turns()
    events = [each for each in told(sink) if isinstance(each, int)]
    assert len(events) == 20
    await asyncio.sleep(30)

    covered = 0
    for each in told(sink):
        begin, to = (each, each) if isinstance(each, int) else each
        assert begin == covered + 1
        covered = to
    assert covered == 60


async def test_a_pace_that_is_taken_away_gives_all_from_there_on(
    log: MemoryLog, node: Node
) -> None:
    connection, sink = connect()
    watch = await join(node, connection, 1, pace="1/s:1")
    node.hub.publish(1, log.write(1, 3))
    await turns()
    node.hub.publish(1, log.write(1, 3))
    await turns()
    assert told(sink) == [(1, 2), 3]
    node.pace(watch, None)
    await turns()

    assert told(sink) == [(1, 2), 3, 4, 5, 6]
    assert watch.live


async def test_a_room_whose_watchers_are_all_paced_works_in_slices(
    log: MemoryLog, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a room allows concerns everybody in it."""
    fed = 0
    real = Feeder.feed

    def counted(self: Feeder, watch: Watch) -> None:
        nonlocal fed
        fed += 1
        real(self, watch)

    sinks = []
    for _ in range(4 * SLICE_WRITES):
        connection, sink = connect()
        sinks.append(sink)
        await join(node, connection, 1, pace="1/s:1")
    await turns()
    monkeypatch.setattr(Feeder, "feed", counted)
    node.hub.publish(1, log.write(1))
    assert fed == 0
    while not node.scheduler.idle:
        before = fed
        await turns(1)
        assert fed - before <= SLICE_WRITES

    assert fed == len(sinks)
    assert all(seqs(sink) == [1] for sink in sinks)


@pytest.mark.source
async def test_who_paces_and_does_not_read_is_not_fed(
    log: MemoryLog, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, sink = connect(SlowSink(1))
    await join(node, connection, 1, pace="10/s:10")
    calls: list[Sequence[LogEvent]] = []
    real = feeder_module.chosen

    def counted(events: Sequence[LogEvent], most: int, **more: Any) -> Any:
        calls.append(events)
        return real(events, most, **more)

    monkeypatch.setattr(feeder_module, "chosen", counted)
    for _ in range(50):
        node.hub.publish(1, log.write(1, 2))
        await asyncio.sleep(0.1)
    assert len(calls) == 1
    sink.allow(None)
    await asyncio.sleep(2)

    assert told(sink)[-1] == 100
