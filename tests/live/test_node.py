from __future__ import annotations

import asyncio
import gc

import pytest

from headgate.limits.rates import Rate
from headgate.live.connection import Connection, Watch
from headgate.live.node import Node
from headgate.live.stalls import STALL_SECONDS
from headgate.protocol.pushes import Reset
from tests.live.parts import (
    MemoryLog,
    SlowSink,
    connect,
    join,
    seqs,
    turns,
    until,
)

FAST, SLOW = Rate.parse("10/s"), Rate.parse("1/day")


@pytest.mark.parametrize(
    ("after", "epoch", "visible_from", "place", "reset"),
    [
        (None, None, 1, 50, None),
        (None, "e0", 1, 50, None),
        (50, None, 1, 50, None),
        (50, "e1", 1, 50, None),
        (31, None, 1, 31, None),
        (30, None, 1, 30, None),
        (29, None, 1, 50, 1),
        (0, None, 1, 50, 1),
        (51, None, 1, 50, 1),
        (2**53 - 1, None, 1, 50, 1),
        (45, "e0", 1, 50, 1),
        (0, None, 41, 40, None),
        (45, None, 41, 45, None),
        (51, None, 41, 50, 41),
        (45, None, 51, 50, None),
        (3, "e0", 51, 50, 51),
        (3, "e0", 0, 50, 0),
    ],
)
async def test_where_a_watch_begins(
    log: MemoryLog,
    after: int | None,
    epoch: str | None,
    visible_from: int,
    place: int,
    reset: int | None,
) -> None:
    """At head 50 of epoch e1, where 20 events may be missed."""
    log.write(1, 50)
    node = Node(log, resume_limit=20, told=lambda _room, _events: None)
    connection, _ = connect()
    told = node.watch(
        connection,
        await node.open(1),
        after=after,
        epoch=epoch,
        visible_from=visible_from,
        rights="some",
    )

    watch = connection.watches[1]
    assert (watch.position, watch.rights, watch.live) == (place, "some", False)
    expected = None
    if reset is not None:
        expected = Reset(room="", oldest=reset, head=50, epoch="e1")
    assert told == expected
    node.close()


async def watched(node: Node, connection: Connection, room_id: int) -> Watch:
    """Begin to watch a room, with the reply still to come."""
    node.add(connection)
    node.watch(
        connection,
        await node.open(room_id),
        after=None,
        epoch=None,
        visible_from=1,
        rights=None,
    )
    return connection.watches[room_id]


@pytest.mark.parametrize("pace", [None, FAST])
async def test_nothing_flows_before_go(
    log: MemoryLog, node: Node, pace: Rate | None
) -> None:
    connection, sink = connect()
    watch = await watched(node, connection, 1)
    node.pace(watch, pace)
    node.hub.publish(1, log.write(1, 2))
    await turns()
    assert sink.taken == []

    node.go(connection, 1)
    node.go(connection, 1)
    await turns()
    node.hub.publish(1, log.write(1, 1))
    await turns()

    assert seqs(sink) == [1, 2, 3]


async def test_going_without_a_watch_is_nothing(node: Node) -> None:
    connection, _ = connect()

    node.go(connection, 1)

    assert not connection.behind


async def test_who_is_at_the_head_is_live_at_once(node: Node) -> None:
    connection, _ = connect()
    watch = await join(node, connection, 1)

    assert watch.live
    assert not (await join(node, connection, 1, pace="1/s")).live


async def test_nothing_of_a_room_goes_out_before_it_is_begun(
    log: MemoryLog, node: Node
) -> None:
    """Another room is being fed, and the reply to join is not said yet."""
    log.write(1, 3)
    log.write(2, 2)
    connection, sink = connect()
    await watched(node, connection, 2)
    watch = await join(node, connection, 1, after=0)
    await until(lambda: watch.live)
    node.hub.publish(2, log.write(2, 1))
    await turns()
    assert (seqs(sink, 1), seqs(sink, 2)) == ([1, 2, 3], [])

    node.go(connection, 2)
    await turns()
    assert seqs(sink, 2) == [3]


async def test_joining_again_replaces_the_place(log: MemoryLog, node: Node) -> None:
    connection, sink = connect()
    await join(node, connection, 1)
    node.hub.publish(1, log.write(1, 3))
    await turns()
    first = connection.watches[1]
    await join(node, connection, 1)
    node.hub.publish(1, log.write(1, 1))
    await turns()
    await join(node, connection, 1, after=2)
    await turns()
    node.hub.publish(1, log.write(1, 1))
    await turns()

    assert seqs(sink) == [1, 2, 3, 4, 3, 4, 5]
    assert first.ended
    assert list(node.hub.live_watches(1)) == [connection.watches[1]]


async def test_the_same_pace_goes_on_as_it_is(log: MemoryLog, node: Node) -> None:
    connection, _ = connect()
    watch = await join(node, connection, 1, pace="10/s")
    before = watch.pace
    node.pace(watch, FAST)
    assert watch.pace is before

    node.pace(watch, SLOW)
    assert watch.pace is not before
    node.pace(watch, None)
    node.pace(watch, None)
    await turns()
    assert (watch.pace, watch.live) == (None, True)


@pytest.mark.parametrize("pace", [None, FAST])
async def test_another_pace_ends_the_rest_of_the_one_before(
    log: MemoryLog, node: Node, pace: Rate | None
) -> None:
    connection, sink = connect()
    watch = await join(node, connection, 1, pace="1/day")
    for _ in range(2):
        node.hub.publish(1, log.write(1, 2))
        await turns()
    assert seqs(sink) == [2]
    before = watch.pace
    assert before is not None
    assert before.timer is not None
    node.pace(watch, pace)
    assert before.timer is None
    await asyncio.sleep(1.0)  # a faster pace begins with what the slow one has left

    assert seqs(sink) == [2, 3, 4]


async def test_a_watch_that_has_ended_takes_no_pace(node: Node) -> None:
    connection, _ = connect()
    watch = await join(node, connection, 1)
    node.hub.leave(watch)
    node.pace(watch, FAST)

    assert watch.pace is None


async def test_a_closed_connection_gets_nothing_and_leaves_nothing(
    log: MemoryLog, node: Node
) -> None:
    before = asyncio.all_tasks()
    log.write(2, 600)
    connection, sink = connect(SlowSink(3), limit_bytes=300)
    await join(node, connection, 1)
    await join(node, connection, 2, after=0)
    node.hub.publish(1, log.write(1, 3))
    await turns()

    node.remove(connection)
    node.hub.publish(1, log.write(1, 3))
    connection.put_message(Reset(room="", oldest=1, head=1, epoch=""))
    node.touch(connection)
    taken = len(sink.taken)
    await turns()

    assert asyncio.all_tasks() == before
    assert (node.hub.rooms, node.connections) == ({}, set())
    assert len(sink.taken) == taken
    assert (connection.watches, connection.behind) == ({}, {})


async def test_removing_twice_is_nothing(node: Node) -> None:
    connection, _ = connect()
    await join(node, connection, 1)
    node.remove(connection)

    node.remove(connection)

    assert node.connections == set()


async def test_a_watch_that_ended_from_the_side_is_no_longer_paced(
    log: MemoryLog, node: Node
) -> None:
    connection, sink = connect()
    other, _ = connect()
    await join(node, other, 1)
    await join(node, connection, 1, pace="1/s")
    node.remove(connection)
    node.hub.publish(1, log.write(1, 5))
    await asyncio.sleep(3)

    assert sink.taken == []


@pytest.mark.parametrize("pace", [None, "1/day:1"])
async def test_memory_of_those_who_left_is_given_back(
    log: MemoryLog, node: Node, pace: str | None
) -> None:
    """Also of those who were to be told more tomorrow."""
    other, _ = connect()
    await join(node, other, 1)
    for leaves in (True, False) * 10:
        connection, _ = connect(SlowSink(0, straight=False), limit_bytes=300)
        await join(node, connection, 1, pace=pace)
        for _ in range(2):
            node.hub.publish(1, log.write(1, 5, "x" * 100))
            await turns()
        if leaves:
            node.hub.leave(connection.watches[1])
        node.remove(connection)
    del connection
    await asyncio.sleep(2)  # until nobody is in the last look at all connections
    gc.collect()

    left = [o for o in gc.get_objects() if isinstance(o, Connection | Watch)]
    assert {id(each) for each in left} == {id(other), id(other.watches[1])}


async def test_who_does_not_read_at_all_is_cut_off(log: MemoryLog, node: Node) -> None:
    slow, slow_sink = connect(SlowSink(1), limit_bytes=300)
    quick, quick_sink = connect()
    for each in (slow, quick):
        await join(node, each, 1)
    for _ in range(int(STALL_SECONDS) + 3):
        node.hub.publish(1, log.write(1, 5))
        await asyncio.sleep(1)

    assert slow_sink.aborted
    assert slow.closed
    assert not quick_sink.aborted
    assert node.meters.stalled == 1


async def test_a_closed_node_does_nothing_by_itself(log: MemoryLog) -> None:
    before = asyncio.all_tasks()
    node = Node(log, resume_limit=10, told=lambda _room, _events: None)
    connection, sink = connect(SlowSink(1))
    await join(node, connection, 1)
    node.hub.publish(1, log.write(1, 5))
    await turns()
    assert sink.waiting()
    node.close()
    await asyncio.sleep(10 * STALL_SECONDS)

    assert not sink.aborted
    assert asyncio.all_tasks() == before


async def test_who_joins_again_has_no_new_burst(log: MemoryLog, node: Node) -> None:
    """Nor who leaves in between, or wishes for a faster pace."""
    connection, sink = connect()
    for pace in ("3/day", "3/day", "3/h", "3/day"):
        await join(node, connection, 1, pace=pace)
        node.hub.publish(1, log.write(1, 10))
        await turns()
        node.hub.leave(connection.watches[1])

    assert len([said for said in sink.heard if said["push"] == "message"]) == 3


async def test_paces_that_are_remembered_are_bounded(
    log: MemoryLog, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.live.node.MOST_PACES", 5)
    connection, _ = connect()
    for room_id in range(20):
        await join(node, connection, room_id, pace="3/day")

    assert list(connection.paces) == list(range(15, 20))


async def test_it_is_still_when_all_has_gone_out(log: MemoryLog, node: Node) -> None:
    connection, sink = connect()
    await join(node, connection, 1)
    await turns()
    assert node.still
    for _ in range(2):
        node.hub.publish(1, log.write(1, 1))
        assert not node.still
    await until(lambda: node.still)

    assert seqs(sink) == [1, 2]
