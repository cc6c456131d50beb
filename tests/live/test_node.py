from __future__ import annotations

import asyncio
import gc

import pytest

from headgate.live.connection import Connection, Watch
from headgate.live.frames import Frame
from headgate.live.node import Node
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


async def test_nothing_flows_before_go(log: MemoryLog, node: Node) -> None:
    connection, sink = connect()
    node.add(connection)
    room = await node.open(1)
    node.watch(
        connection,
        room,
        after=None,
        epoch=None,
        visible_from=1,
        rights=None,
    )
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

    assert connection.catching_up is None


async def test_all_of_one_turn_leaves_in_one_flush(log: MemoryLog, node: Node) -> None:
    connection, sink = connect()
    await join(node, connection, 1)
    flushes = sink.flushes

    for _ in range(10):
        node.hub.publish(1, log.write(1, 1))
        connection.put(Frame(b"{}"))
        node.touch(connection)
    await turns(1)

    assert sink.flushes == flushes + 1
    assert len(sink.taken) == 20


async def test_joining_again_replaces_the_place(log: MemoryLog, node: Node) -> None:
    connection, sink = connect()
    await join(node, connection, 1)
    node.hub.publish(1, log.write(1, 3))
    await join(node, connection, 1)
    node.hub.publish(1, log.write(1, 1))
    await join(node, connection, 1, after=2)
    await turns()
    node.hub.publish(1, log.write(1, 1))
    await turns()

    assert seqs(sink) == [1, 2, 3, 4, 3, 4, 5]
    assert len(node.hub.rooms[1].watches) == 1


async def test_a_closed_connection_gets_nothing_and_leaves_nothing(
    log: MemoryLog,
    node: Node,
) -> None:
    before = asyncio.all_tasks()
    log.write(2, 600)
    connection, sink = connect(SlowSink(3), limit_bytes=300)
    await join(node, connection, 1)
    await join(node, connection, 2, after=0)
    node.hub.publish(1, log.write(1, 3))
    await turns()

    await node.remove(connection)
    node.hub.publish(1, log.write(1, 3))
    connection.put_message(Reset(room="", oldest=1, head=1, epoch=""))
    node.touch(connection)
    taken = len(sink.taken)
    sink.allow(None)
    await turns()

    assert asyncio.all_tasks() == before
    assert (node.hub.rooms, node.connections) == ({}, set())
    assert len(seqs(sink)) <= taken
    node.touch(connect()[0])  # forget the last flush's list
    await turns()


async def test_removing_twice_is_nothing(node: Node) -> None:
    connection, _ = connect()
    await join(node, connection, 1)
    await node.remove(connection)

    await node.remove(connection)

    assert node.connections == set()


async def test_memory_of_those_who_left_is_given_back(
    log: MemoryLog,
    node: Node,
) -> None:
    for _ in range(20):
        connection, _ = connect(SlowSink(0), limit_bytes=300)
        await join(node, connection, 1)
        node.hub.publish(1, log.write(1, 5, "x" * 100))
        await turns()
        await node.remove(connection)
    del connection
    await turns()
    gc.collect()

    left = [o for o in gc.get_objects() if isinstance(o, Connection | Watch)]
    assert left == []


async def test_nothing_of_a_room_goes_out_before_it_is_begun(
    log: MemoryLog,
    node: Node,
) -> None:
    """A catch-up of another room is under way, and the reply to join is not."""
    log.write(1, 3)
    log.write(2, 2)
    connection, sink = connect()
    second = await node.open(2)
    node.watch(
        connection,
        second,
        after=0,
        epoch=None,
        visible_from=1,
        rights=None,
    )
    await join(node, connection, 1, after=0)
    await until(lambda: connection.watches[1].live)
    node.hub.publish(2, log.write(2, 1))
    await turns()
    assert (seqs(sink, 1), seqs(sink, 2)) == ([1, 2, 3], [])

    node.go(connection, 2)
    await until(lambda: seqs(sink, 2) == [1, 2, 3])
