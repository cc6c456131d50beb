from __future__ import annotations

import asyncio
import weakref

import pytest

from headgate.live import pages as pages_module
from headgate.live.node import Node
from headgate.live.pages import PAGE_EVENTS
from headgate.live.run import RUN_MAX_BYTES
from headgate.live.scheduler import SLICE_WRITES
from headgate.live.tail import KEPT_EVENTS
from headgate.protocol.codes import Close
from headgate.protocol.pushes import LogEvent
from tests.live.parts import (
    MemoryLog,
    SlowSink,
    connect,
    join,
    seqs,
    turns,
    until,
)

BOTH = pytest.mark.parametrize("straight", [True, False])


@BOTH
async def test_whoever_was_away_gets_what_was_missed_and_goes_live(
    log: MemoryLog,
    node: Node,
    straight: bool,  # noqa: FBT001
) -> None:
    log.write(1, 600)
    connection, sink = connect(SlowSink(straight=straight))
    watch = await join(node, connection, 1, after=3)
    await until(lambda: watch.live)

    node.hub.publish(1, log.write(1, 1))
    await turns()

    assert seqs(sink) == list(range(4, 602))
    assert log.reads == [(1, 0, 600), (1, PAGE_EVENTS, 600), (1, 2 * PAGE_EVENTS, 600)]
    assert not connection.behind


class FaultySink(SlowSink):
    """One whose writes fail, as no write should."""

    def write(self, frames: bytes) -> bool:
        """Fail."""
        raise RuntimeError("the handler is closed")


async def test_one_clients_fault_is_not_its_neighbours(
    log: MemoryLog, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    log.write(1, 3)
    faulty, well = FaultySink(), SlowSink()
    connection, _ = connect(faulty)
    await join(node, connection, 1, after=0)
    await join(node, connect(well)[0], 1, after=0)

    await until(lambda: seqs(well) == [1, 2, 3])

    assert faulty.aborted
    assert connection.ending == Close.UNAVAILABLE
    assert [record.message for record in caplog.records] == ["feed_failed"]


async def test_what_was_just_missed_is_in_memory(log: MemoryLog, node: Node) -> None:
    await join(node, connect()[0], 1)
    node.hub.publish(1, log.write(1, KEPT_EVENTS))
    connection, sink = connect()
    watch = await join(node, connection, 1, after=0)
    await turns()

    assert watch.live
    assert seqs(sink) == list(range(1, KEPT_EVENTS + 1))
    assert log.reads == []


async def test_a_storm_of_those_who_come_back_costs_one_read_per_page(
    log: MemoryLog, node: Node
) -> None:
    log.write(1, 2 * PAGE_EVENTS)
    sinks = []
    for number in range(1000):
        connection, sink = connect()
        sinks.append((sink, number % 100))
        await join(node, connection, 1, after=number % 100)
    await until(lambda: all(watch.live for watch in node.hub.live_watches(1)))

    assert len(log.reads) == 2
    for sink, after in sinks[::50]:
        assert seqs(sink) == list(range(after + 1, 2 * PAGE_EVENTS + 1))


async def test_many_are_fed_in_slices(log: MemoryLog, node: Node) -> None:
    log.write(1, 10)
    sinks = []
    for _ in range(3 * SLICE_WRITES):
        connection, sink = connect()
        sinks.append(sink)
        await join(node, connection, 1, after=0)
    before = fed = 0
    while fed < len(sinks):
        await turns(1)
        fed = sum(bool(sink.taken) for sink in sinks)
        assert fed - before <= SLICE_WRITES
        before = fed


async def test_what_comes_meanwhile_comes_after(log: MemoryLog, node: Node) -> None:
    log.write(1, 5)
    connection, sink = connect()
    watch = await join(node, connection, 1, after=1)
    log.held, log.late = True, True
    await turns()
    node.hub.publish(1, log.write(1, 2))
    await turns()
    assert seqs(sink) == []
    log.release()
    await turns()

    assert seqs(sink) == [2, 3, 4, 5, 6, 7]
    assert watch.live


@BOTH
async def test_one_who_takes_a_frame_at_a_time_is_given_no_more(
    log: MemoryLog,
    node: Node,
    straight: bool,  # noqa: FBT001
) -> None:
    log.write(1, 700, "x" * 1000)
    connection, sink = connect(SlowSink(0, straight=straight), limit_bytes=5_000)
    await join(node, connection, 1, after=0)
    bound = 5_000 + RUN_MAX_BYTES + 2_000
    for count in range(1, 701):
        sink.allow(1)
        await turns(4)
        waits = connection.outbox.size_bytes + sum(f.size for f in sink.buffer)
        assert waits <= bound
        assert len(sink.taken) <= count
    sink.allow(None)
    await until(lambda: len(seqs(sink)) == 700)

    assert seqs(sink) == list(range(1, 701))


@BOTH
async def test_whoever_reads_nothing_is_behind_and_keeps_the_place(
    log: MemoryLog,
    node: Node,
    straight: bool,  # noqa: FBT001
) -> None:
    slow, sink = connect(SlowSink(0, straight=straight), limit_bytes=500)
    quick, quick_sink = connect()
    watch = await join(node, slow, 1)
    await join(node, quick, 1)

    for _ in range(100):
        node.hub.publish(1, log.write(1, 3, "x" * 50))
        await turns(1)
    assert len(seqs(quick_sink)) == 300
    assert not watch.live
    assert slow.outbox.size_bytes < 500 + 3 * 250
    assert log.reads == []  # it waits for room, and asks for nothing
    assert node.meters.fell_behind == 1

    sink.allow(None)
    await until(lambda: watch.live)
    await turns()
    assert seqs(sink) == list(range(1, 301))


class Page(list[LogEvent]):
    """A list that can be referred to weakly."""


async def test_whoever_reads_nothing_keeps_no_page_of_the_log(
    log: MemoryLog, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page may have a megabyte, and there may be thousands who do not read."""
    pages: list[weakref.ref[Page]] = []
    read = log.events

    async def events(*where: int, **more: int) -> Page:
        page = Page(await read(*where, **more))
        pages.append(weakref.ref(page))
        return page

    monkeypatch.setattr(log, "events", events)
    monkeypatch.setattr(pages_module, "KEPT_MAX_BYTES", 0)
    log.write(1, 400, "x" * 1000)
    slow, _ = connect(SlowSink(0, straight=False), limit_bytes=500)
    await join(node, slow, 1, after=0)
    await until(lambda: not slow.outbox.roomy)
    await turns()

    assert [page() for page in pages] == [None]
    assert len(slow.behind) == 1  # its place is all that is kept


async def test_somebody_can_fall_behind_again_and_again(
    log: MemoryLog, node: Node
) -> None:
    slow, sink = connect(SlowSink(0), limit_bytes=300)
    await join(node, slow, 1)

    for _ in range(30):
        node.hub.publish(1, log.write(1, 4, "x" * 50))
        await turns(3)
        sink.allow(5)
        await turns(3)
    sink.allow(None)
    await until(lambda: len(seqs(sink)) == 120)

    assert seqs(sink) == list(range(1, 121))


async def test_several_rooms_are_fed_in_turn(log: MemoryLog, node: Node) -> None:
    """None waits until another has all of its log."""
    other, _ = connect()
    connection, sink = connect()
    for room_id in (1, 2, 3):
        log.write(room_id, 250, "x" * 1000)
        await join(node, other, room_id)
    log.held = True
    for room_id in (1, 2, 3):
        await join(node, connection, room_id, after=room_id)
    await turns()
    log.release()
    await until(lambda: all(watch.live for watch in connection.watches.values()))

    for room_id in (1, 2, 3):
        assert seqs(sink, room_id) == list(range(room_id + 1, 251))
    rooms = [said["room"] for said in sink.heard]
    assert len(set(rooms[: len(rooms) // 2])) == 3


async def test_an_away_log_is_waited_for(log: MemoryLog, node: Node) -> None:
    log.write(1, 5)
    connection, sink = connect()
    await join(node, connection, 1, after=0)
    log.away = True
    await asyncio.sleep(3)
    assert seqs(sink) == []

    log.away = False
    await asyncio.sleep(1)
    await turns()
    assert seqs(sink) == [1, 2, 3, 4, 5]


async def test_what_was_read_for_a_room_left_meanwhile_is_dropped(
    log: MemoryLog, node: Node
) -> None:
    other, _ = connect()
    connection, sink = connect()
    for room_id in (1, 2):
        log.write(room_id, 5)
        await join(node, other, room_id)
    log.held = True
    await join(node, connection, 1, after=0)
    await join(node, connection, 2, after=0)
    await turns()

    node.hub.leave(connection.watches[1])
    log.release()
    await until(lambda: seqs(sink, 2) == [1, 2, 3, 4, 5])

    assert seqs(sink, 1) == []
    assert (1, 0, 5) in log.reads


async def test_who_leaves_while_in_line_holds_up_nobody(
    log: MemoryLog, node: Node
) -> None:
    sinks = []
    connections = []
    log.write(1, 5)
    for _ in range(4):
        connection, sink = connect()
        connections.append(connection)
        sinks.append(sink)
        await join(node, connection, 1, after=0)
    node.hub.leave(connections[0].watches[1])
    node.remove(connections[1])
    await turns()

    assert [seqs(sink) for sink in sinks] == [[], [], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]


async def test_what_was_read_before_somebody_came_back_is_dropped(
    log: MemoryLog, node: Node
) -> None:
    """Left and joined again while a page was read: the new place counts."""
    log.write(1, 5)
    connection, sink = connect()
    await join(node, connect()[0], 1)
    log.held = True
    await join(node, connection, 1, after=0)
    await turns()
    assert log.waiting
    watch = await join(node, connection, 1, after=3)
    log.release()
    await until(lambda: watch.live)
    await turns()

    assert seqs(sink) == [4, 5]


async def test_a_lost_client_is_fed_no_more(log: MemoryLog, node: Node) -> None:
    log.write(1, 900)
    connection, sink = connect(SlowSink(0), limit_bytes=300)
    await join(node, connection, 1, after=0)
    await until(lambda: not connection.sink.takes(connection.outbox))
    node.remove(connection)
    sink.allow(None)
    await turns()

    assert len(log.reads) <= 1
    assert len(sink.taken) < 900
    assert node.scheduler.idle


async def test_a_log_that_is_gone_does_not_keep_the_loop_busy(
    log: MemoryLog, node: Node
) -> None:
    """The room was deleted while somebody was behind in it."""
    log.write(1, 5)
    connection, sink = connect()
    watch = await join(node, connection, 1, after=2)
    del log.rooms[1]
    await turns(50)

    assert seqs(sink) == []
    assert watch.live
    assert len(log.reads) < 5
    assert node.scheduler.idle


async def test_what_the_room_was_not_told_of_is_not_fed(
    log: MemoryLog, node: Node
) -> None:
    """It may end somebody's right to it."""
    log.write(1, 5)
    connection, sink = connect()
    await join(node, connection, 1, after=0)
    log.write(1, 5)
    await turns()
    assert seqs(sink) == [1, 2, 3, 4, 5]

    node.hub.reach(1, 10)
    await turns()
    assert seqs(sink) == list(range(1, 11))
