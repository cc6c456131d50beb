from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from headgate.live import hub as hub_module
from headgate.live.hub import HOLD_SECONDS, MOST_HELD
from headgate.live.node import Node
from headgate.live.pages import PAGE_EVENTS, RETRY_SECONDS
from headgate.live.ports import LogUnavailable
from headgate.live.signals import Signal
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

TYPING = Signal(("typing", "g:1"), TypingSignal(room="room-1", author=GUS, typing=True))


@pytest.fixture
async def sink(log: MemoryLog, node: Node) -> SlowSink:
    """What a watcher of room 1, whose log has five events, hears from now on."""
    log.write(1, 5)
    connection, sink = connect()
    await join(node, connection, 1)
    return sink


# --- hints ---


async def test_what_fits_goes_out_at_once_and_reads_nothing(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    node.hub.publish(1, log.write(1, 3))
    await turns(1)

    assert seqs(sink) == [6, 7, 8]
    assert log.reads == []
    assert (node.meters.events, node.meters.deliveries) == (3, 3)


async def test_what_came_already_does_not_come_again(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    run = log.write(1, 3)
    for hint in (run, run, run[:2], run[2:]):
        node.hub.publish(1, hint)
    node.hub.publish(1, run[1:] + log.write(1, 1))
    await turns()

    assert seqs(sink) == [6, 7, 8, 9]


@pytest.mark.parametrize("kept", [[2], [1, 2], [0, 2]])
async def test_a_hole_is_filled_from_the_log(
    log: MemoryLog, node: Node, sink: SlowSink, kept: list[int]
) -> None:
    run = log.write(1, 3)

    node.hub.publish(1, [run[place] for place in kept])
    await asyncio.sleep(HOLD_SECONDS * 0.9)
    assert log.reads == []
    await asyncio.sleep(HOLD_SECONDS * 0.2)

    assert seqs(sink) == [6, 7, 8]
    after = 6 if 0 in kept else 5
    assert log.reads == [(1, after, 8)]


async def test_what_fills_a_hole_by_itself_costs_no_read(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    first, second, third = log.write(1, 2), log.write(1, 2), log.write(1, 2)
    for hint in (third, second, third):
        node.hub.publish(1, hint)
    await asyncio.sleep(HOLD_SECONDS / 2)
    assert seqs(sink) == []
    node.hub.publish(1, first)
    await asyncio.sleep(HOLD_SECONDS * 3)

    assert seqs(sink) == [6, 7, 8, 9, 10, 11]
    assert log.reads == []
    assert node.hub.rooms[1].held == {}


async def test_each_hole_is_waited_for(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    """One is filled in time, and one that shows meanwhile is not."""
    run = log.write(1, 6)
    node.hub.publish(1, run[1:2])
    await asyncio.sleep(HOLD_SECONDS * 0.6)
    node.hub.publish(1, run[:1])
    node.hub.publish(1, run[4:5])
    await asyncio.sleep(HOLD_SECONDS)

    assert seqs(sink) == [6, 7, 8, 9, 10]
    assert log.reads == [(1, 7, 10)]


async def test_past_the_bound_a_hole_is_not_waited_for(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    run = log.write(1, MOST_HELD + 2)
    node.hub.publish(1, run[1:-1])
    await turns()
    assert (len(node.hub.rooms[1].held), log.reads) == (MOST_HELD, [])
    node.hub.publish(1, run[-1:])
    assert node.hub.rooms[1].held == {}
    await turns()

    assert len(seqs(sink)) == len(run)


async def test_hints_in_any_order_end_in_order(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    """Also where the log is being read meanwhile."""
    first, second, third = log.write(1, 2), log.write(1, 2), log.write(1, 2)
    log.held = True
    node.hub.publish(1, third)
    await asyncio.sleep(HOLD_SECONDS * 2)
    node.hub.publish(1, first)
    node.hub.publish(1, second)
    await turns()
    assert seqs(sink) == []
    log.release()
    await turns()

    assert seqs(sink) == [6, 7, 8, 9, 10, 11]


async def test_a_fill_that_fails_is_tried_again(
    log: MemoryLog, node: Node, sink: SlowSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is: nobody would be told of the hole."""
    events = log.events

    async def fails(*_args: object, **_more: object) -> list[LogEvent]:
        monkeypatch.setattr(log, "events", events)
        raise ValueError("odd row")

    monkeypatch.setattr(log, "events", fails)
    log.write(1, 2)
    node.hub.reach(1, 7)
    await asyncio.sleep(2 * RETRY_SECONDS)

    assert seqs(sink) == [6, 7]


async def test_a_hint_without_events_is_enough(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    log.write(1, 600)

    node.hub.reach(1, 605)
    await until(lambda: len(seqs(sink)) == 600)

    assert seqs(sink) == list(range(6, 606))
    assert len(log.reads) == -(-600 // PAGE_EVENTS)


async def test_a_log_that_is_away_is_asked_until_it_is_back(
    log: MemoryLog, node: Node, sink: SlowSink, caplog: pytest.LogCaptureFixture
) -> None:
    log.away = True
    log.write(1, 2)
    node.hub.reach(1, 7)
    await asyncio.sleep(RETRY_SECONDS * 3.5)
    assert (seqs(sink), len(log.reads)) == ([], 4)

    log.away = False
    await asyncio.sleep(RETRY_SECONDS)

    assert seqs(sink) == [6, 7]
    assert "fill_waits room=1" in caplog.text


async def test_a_hint_from_beyond_the_log_is_given_up(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    node.hub.publish(1, [message(1, 9)])
    await asyncio.sleep(HOLD_SECONDS * 2)
    assert node.hub.rooms[1].filling is None
    assert node.hub.rooms[1].target == 5

    node.hub.publish(1, log.write(1, 1))
    await turns()
    assert seqs(sink) == [6]


async def test_rooms_that_nobody_watches_cost_nothing(
    log: MemoryLog, node: Node
) -> None:
    node.hub.publish(7, log.write(7, 3))
    node.hub.reach(7, 3)
    node.hub.signal(7, TYPING)

    assert node.hub.rooms == {}
    assert log.reads == []


# --- opening and leaving ---


async def test_what_comes_while_a_room_opens_is_not_lost(
    log: MemoryLog, node: Node
) -> None:
    """The head was read, and before it is known there are two events more."""
    log.write(1, 3)
    log.held, log.late = True, True
    connection, sink = connect()
    joining = asyncio.create_task(join(node, connection, 1))
    await turns()
    node.hub.publish(1, log.write(1, 2))
    log.release()
    await joining
    await turns()

    assert seqs(sink) == [4, 5]


async def test_two_who_open_a_room_at_once_share_it(log: MemoryLog, node: Node) -> None:
    log.held = True
    joined = [connect() for _ in range(3)]
    joining = [asyncio.create_task(join(node, c, 1)) for c, _ in joined]
    await turns()
    log.release()
    await asyncio.gather(*joining)

    node.hub.publish(1, log.write(1, 1))
    await turns()
    assert [seqs(sink) for _, sink in joined] == [[1], [1], [1]]


async def test_who_has_seen_more_than_this_process_has_the_log_asked(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    log.write(1, 3)

    room = await node.open(1, seen=8)
    assert room.head == 8
    assert (await node.open(1, seen=7)).head == 8
    assert (await node.open(1, seen=99)).head == 8  # there is no more
    await turns()
    assert seqs(sink) == [6, 7, 8]


async def test_opening_says_when_the_log_is_away(log: MemoryLog, node: Node) -> None:
    log.away = True

    with pytest.raises(LogUnavailable):
        await node.open(1)
    node.hub.sweep()
    assert node.hub.rooms == {}


async def test_a_room_that_is_swept_while_it_opens_is_opened_all_the_same(
    log: MemoryLog, node: Node
) -> None:
    log.held = True
    connection, sink = connect()
    joining = asyncio.create_task(join(node, connection, 1))
    await turns()
    node.hub.sweep()
    log.release()
    await joining

    node.hub.publish(1, log.write(1, 1))
    await turns()
    assert seqs(sink) == [1]


async def test_the_last_to_leave_takes_the_room_and_its_reading_along(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    (connection,) = node.connections
    log.held = True
    node.hub.reach(1, log.write(1, 3)[-1].seq)
    filling = node.hub.rooms[1].filling
    assert filling is not None
    await turns()

    node.hub.leave(connection.watches[1])
    await asyncio.gather(filling, return_exceptions=True)

    assert filling.cancelled()
    assert node.hub.rooms == {}
    assert list(node.hub.live_watches(1)) == []


async def test_a_hole_of_a_room_that_is_gone_is_not_filled(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    (connection,) = node.connections
    node.hub.publish(1, log.write(1, 3)[2:])
    node.hub.leave(connection.watches[1])
    await asyncio.sleep(HOLD_SECONDS * 2)

    assert log.reads == []


async def test_it_is_said_which_rooms_are_watched_here(log: MemoryLog) -> None:
    said: list[tuple[int, bool]] = []
    node = Node(
        log,
        resume_limit=10,
        told=lambda _room, _events: None,
        watched=lambda room_id, begins: said.append((room_id, begins)),
    )
    first, _ = connect()
    second, _ = connect()
    log.held = True
    joining = asyncio.create_task(join(node, first, 1))
    await turns()
    assert said == [(1, True)]  # before the head is known, so that nothing is missed
    log.release()
    await joining
    await join(node, second, 1)
    await join(node, first, 1)
    node.remove(first)
    assert said == [(1, True)]
    node.remove(second)
    await node.open(2)
    node.hub.sweep()

    assert said == [(1, True), (1, False), (2, True), (2, False)]
    node.close()


# --- before it goes out ---


async def test_each_run_is_told_before_it_goes_out(log: MemoryLog) -> None:
    told: list[tuple[int, list[int], int]] = []
    connection, sink = connect()

    def on_told(room_id: int, events: Sequence[LogEvent]) -> None:
        told.append((room_id, [event.seq for event in events], len(sink.taken)))

    node = Node(log, resume_limit=10, told=on_told)
    await join(node, connection, 1)
    node.hub.publish(1, log.write(1, 2))
    await turns()
    log.write(1, 2)
    node.hub.reach(1, 4)
    await turns()

    assert told == [(1, [1, 2], 0), (1, [3, 4], 2)]
    assert len(sink.taken) == 4
    node.close()


async def test_who_is_cut_by_what_is_told_gets_nothing_of_it(log: MemoryLog) -> None:
    node: Node
    connection, sink = connect()

    def cut(room_id: int, events: Sequence[LogEvent]) -> None:
        if events[-1].seq == 3:
            node.hub.leave(connection.watches[room_id])

    node = Node(log, resume_limit=10, told=cut)
    await join(node, connection, 1)
    node.hub.publish(1, log.write(1, 2))
    await turns()
    log.write(1, 1)
    node.hub.reach(1, 3)
    await turns()

    assert node.hub.rooms == {}
    assert seqs(sink) == [1, 2]
    node.close()


async def test_who_is_finished_gets_what_is_on_its_way_and_nothing_after(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    (connection,) = node.connections
    other, other_sink = connect()
    await join(node, other, 1)
    run = log.write(1, 4)
    node.hub.publish(1, run[:2])  # not sent yet
    node.hub.finish(connection.watches[1], run[2:3])
    node.hub.publish(1, run[2:])
    await turns()

    assert seqs(sink) == [6, 7, 8]
    assert seqs(other_sink) == [6, 7, 8, 9]
    assert connection.watches == {}


async def test_who_is_behind_is_finished_without_a_word(
    log: MemoryLog, node: Node
) -> None:
    log.write(1, 5)
    log.held = True
    connection, sink = connect()
    joining = asyncio.create_task(join(node, connection, 1, after=1))
    await turns()
    log.release()
    await joining
    node.hub.finish(connection.watches[1], log.write(1, 1))
    await turns()

    assert seqs(sink) == []


@pytest.mark.parametrize("pace", [None, "10/s"])
async def test_who_is_not_live_is_finished_without_what_is_on_its_way(
    log: MemoryLog, node: Node, pace: str | None
) -> None:
    """Somebody with a pace, and somebody whose reply has not been said yet."""
    connection, sink = connect()
    watch = await join(node, connection, 1, pace=pace)
    if pace is None:
        watch.begun = watch.live = False
    run = log.write(1, 3)
    node.hub.publish(1, run[:2])
    node.hub.finish(watch, run[2:])
    await turns()

    assert sink.taken == []


async def test_leaving_by_an_earlier_watch_is_nothing(
    log: MemoryLog, node: Node, sink: SlowSink
) -> None:
    (connection,) = node.connections
    earlier = connection.watches[1]
    watch = await join(node, connection, 1)
    node.hub.leave(earlier)
    node.hub.publish(1, log.write(1))
    await turns()

    assert seqs(sink) == [6]
    assert connection.watches == {1: watch}


# --- memory ---


async def test_all_tails_together_are_bounded(
    log: MemoryLog, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "TAILS_MAX_BYTES", 20_000)
    sinks: dict[int, SlowSink] = {}
    for room_id in range(10):
        connection, sinks[room_id] = connect()
        await join(node, connection, room_id)
    for number in range(100):
        room_id = number % 9 if number < 99 else 9
        node.hub.publish(room_id, log.write(room_id, 3, "x" * 300))
        sizes = [room.tail.memory_bytes for room in node.hub.rooms.values()]
        assert sum(sizes) <= max(20_000, *sizes)
        if number % 5 == 0:
            await turns()
    await turns(100)

    assert node.hub.rooms[9].tail.size_bytes > 0  # the busiest are kept
    for room_id, sink in sinks.items():
        assert seqs(sink, room_id) == list(range(1, log.end(room_id) + 1))


async def test_a_tail_that_is_forgotten_before_it_was_sent_is_read_again(
    log: MemoryLog, node: Node, sink: SlowSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "TAILS_MAX_BYTES", 300)
    other, other_sink = connect()
    await join(node, other, 2)
    node.hub.publish(1, log.write(1, 2))
    node.hub.publish(2, log.write(2, 2))  # the first room's tail goes
    assert node.hub.rooms[1].tail.size_bytes == 0
    await turns()

    assert node.scheduler.idle
    assert seqs(sink) == [6, 7]
    assert seqs(other_sink, 2) == [1, 2]
    assert node.meters.fell_behind == 1
