from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from headgate.live.hub import Hub
from headgate.live.node import Node
from headgate.live.ports import LogUnavailable
from headgate.protocol.pushes import LogEvent, TypingSignal
from tests.live.parts import (
    GUS,
    MemoryLog,
    SlowSink,
    connect,
    join,
    message,
    seqs,
    turns,
    until,
)

TYPING = TypingSignal(room="room-1", author=GUS, typing=True)


@pytest.fixture
async def sink(log: MemoryLog, node: Node) -> SlowSink:
    """What a watcher of room 1, whose log has five events, hears from now on."""
    log.write(1, 5)
    connection, sink = connect()
    await join(node, connection, 1)
    return sink


async def test_what_fits_goes_out_at_once_and_reads_nothing(
    log: MemoryLog,
    node: Node,
    sink: SlowSink,
) -> None:
    node.hub.publish(1, log.write(1, 3))
    await turns(1)

    assert seqs(sink) == [6, 7, 8]
    assert log.reads == []


async def test_what_came_already_does_not_come_again(
    log: MemoryLog,
    node: Node,
    sink: SlowSink,
) -> None:
    run = log.write(1, 3)
    for hint in (run, run, run[:2], run[2:]):
        node.hub.publish(1, hint)
    node.hub.publish(1, run[1:] + log.write(1, 1))
    await turns()

    assert seqs(sink) == [6, 7, 8, 9]


@pytest.mark.parametrize("kept", [[2], [1, 2], [0, 2]])
async def test_a_hole_is_filled_from_the_log(
    log: MemoryLog,
    node: Node,
    sink: SlowSink,
    kept: list[int],
) -> None:
    run = log.write(1, 3)

    node.hub.publish(1, [run[place] for place in kept])
    await until(lambda: seqs(sink) == [6, 7, 8])

    assert log.reads == [(1, 5, 8)]


async def test_hints_in_any_order_end_in_order(
    log: MemoryLog,
    node: Node,
    sink: SlowSink,
) -> None:
    first, second, third = log.write(1, 2), log.write(1, 2), log.write(1, 2)
    log.held = True
    node.hub.publish(1, third)
    node.hub.publish(1, first)
    node.hub.publish(1, second)
    await turns()
    assert seqs(sink) == []
    log.held = False
    log.release()
    await until(lambda: len(seqs(sink)) == 6)

    assert seqs(sink) == [6, 7, 8, 9, 10, 11]


async def test_a_hint_without_events_is_enough(
    log: MemoryLog,
    node: Node,
    sink: SlowSink,
) -> None:
    log.write(1, 450)

    node.hub.reach(1, 455)
    await until(lambda: len(seqs(sink)) == 450)

    assert seqs(sink) == list(range(6, 456))
    assert len(log.reads) == 3  # pages of 200


async def test_a_log_that_is_away_is_asked_until_it_is_back(
    log: MemoryLog,
    node: Node,
    sink: SlowSink,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log.away = True
    log.write(1, 2)
    node.hub.reach(1, 7)
    await turns()
    assert seqs(sink) == []

    log.away = False
    await until(lambda: seqs(sink) == [6, 7])

    assert "fill_waits room=1" in caplog.text


async def test_a_hint_from_beyond_the_log_is_given_up(
    log: MemoryLog,
    node: Node,
    sink: SlowSink,
) -> None:
    node.hub.publish(1, [message(1, 9)])
    await until(lambda: node.hub.rooms[1].filling is None)
    assert node.hub.rooms[1].target == 5

    node.hub.publish(1, log.write(1, 1))
    await turns()
    assert seqs(sink) == [6]


async def test_what_comes_while_a_room_opens_is_not_lost(
    log: MemoryLog,
    node: Node,
) -> None:
    """The head was read, and before it is known there are two events more."""
    log.write(1, 3)
    log.held, log.late = True, True
    connection, sink = connect()
    joining = asyncio.create_task(join(node, connection, 1))
    await turns()
    node.hub.publish(1, log.write(1, 2))
    log.held = False
    log.release()
    await joining
    await until(lambda: seqs(sink) == [4, 5])


async def test_two_who_open_a_room_at_once_share_it(
    log: MemoryLog,
    node: Node,
) -> None:
    log.held = True
    joined = [connect() for _ in range(3)]
    joining = [asyncio.create_task(join(node, c, 1)) for c, _ in joined]
    await turns()
    log.held = False
    log.release()
    await asyncio.gather(*joining)

    node.hub.publish(1, log.write(1, 1))
    await turns()
    assert [seqs(sink) for _, sink in joined] == [[1], [1], [1]]


async def test_opening_says_when_the_log_is_away(log: MemoryLog, node: Node) -> None:
    log.away = True

    with pytest.raises(LogUnavailable):
        await node.open(1)
    node.hub.sweep()
    assert node.hub.rooms == {}


async def test_a_room_that_is_swept_while_it_opens_is_opened_all_the_same(
    log: MemoryLog,
    node: Node,
) -> None:
    log.held = True
    connection, sink = connect()
    joining = asyncio.create_task(join(node, connection, 1))
    await turns()
    node.hub.sweep()
    log.held = False
    log.release()
    await joining

    node.hub.publish(1, log.write(1, 1))
    await turns()
    assert seqs(sink) == [1]


async def test_the_last_to_leave_takes_the_room_and_its_reading_along(
    log: MemoryLog,
    node: Node,
    sink: SlowSink,
) -> None:
    (connection,) = node.connections
    log.held = True
    node.hub.publish(1, log.write(1, 3)[2:])
    filling = node.hub.rooms[1].filling
    assert filling is not None
    await turns()

    node.hub.leave(connection.watches[1])
    await asyncio.gather(filling, return_exceptions=True)

    assert filling.cancelled()
    assert node.hub.rooms == {}
    assert list(node.hub.live_watches(1)) == []


async def test_rooms_that_nobody_watches_cost_nothing(
    log: MemoryLog,
    node: Node,
) -> None:
    node.hub.publish(7, log.write(7, 3))
    node.hub.reach(7, 3)
    node.hub.signal(7, TYPING)

    assert node.hub.rooms == {}
    assert log.reads == []


async def test_events_are_encoded_once_for_a_room(
    log: MemoryLog,
    node: Node,
    sink: SlowSink,
) -> None:
    other, other_sink = connect()
    await join(node, other, 1)

    node.hub.publish(1, log.write(1, 2))
    await turns(2)

    assert seqs(sink) == [6, 7]
    for ours, theirs in zip(sink.taken, other_sink.taken, strict=True):
        assert ours is theirs


async def test_signals_reach_those_who_are_live_and_meant(
    log: MemoryLog,
    node: Node,
    sink: SlowSink,
) -> None:
    (first,) = node.connections
    other, other_sink = connect()
    await join(node, other, 1)
    behind, behind_sink = connect()
    log.held = True
    await join(node, behind, 1, after=2)

    node.hub.signal(1, TYPING, to=lambda connection: connection is not other)
    node.hub.signal(1, TYPING, to=lambda connection: connection is not first)
    await turns()

    assert [said["push"] for said in sink.heard] == ["typing"]
    assert [said["push"] for said in other_sink.heard] == ["typing"]
    assert behind_sink.heard == []
    await node.remove(behind)


async def test_each_run_is_told_before_it_goes_out(log: MemoryLog) -> None:
    told: list[tuple[int, list[int], list[int]]] = []
    connection, sink = connect()

    def on_told(room_id: int, events: Sequence[LogEvent]) -> None:
        waiting = [frame.size for frame in connection.outbox.frames]
        told.append((room_id, [event.seq for event in events], waiting))

    node = Node(log, resume_limit=10, told=on_told)
    await join(node, connection, 1)
    node.hub.publish(1, log.write(1, 2))
    await turns()
    log.write(1, 2)
    node.hub.reach(1, 4)
    await until(lambda: len(sink.taken) == 4)

    assert told == [(1, [1, 2], []), (1, [3, 4], [])]


async def test_who_is_cut_by_what_is_told_gets_nothing_of_it(log: MemoryLog) -> None:
    node: Node
    connection, sink = connect()

    def cut(room_id: int, events: Sequence[LogEvent]) -> None:
        if events[-1].seq == 3:
            node.hub.leave(connection.watches[room_id])

    node = Node(log, resume_limit=10, told=cut)
    await join(node, connection, 1)
    node.hub.publish(1, log.write(1, 2))
    log.write(1, 1)
    node.hub.reach(1, 3)
    await until(lambda: not node.hub.rooms)
    await turns()

    assert seqs(sink) == [1, 2]


async def test_a_hub_needs_no_node(log: MemoryLog) -> None:
    touched: list[object] = []
    hub = Hub(
        log,
        touched=touched.append,
        behind=lambda _: None,
        told=lambda _room, _events: None,
    )
    room = await hub.open(1)

    assert (room.head, room.epoch) == (0, "e1")
    hub.sweep()
    assert hub.rooms == {}
