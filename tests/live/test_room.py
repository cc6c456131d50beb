from __future__ import annotations

import asyncio

import pytest

from headgate.live import scheduler
from headgate.live.frames import Mode
from headgate.live.node import Node
from headgate.live.outbox import MOST_SIGNALS
from headgate.live.room import TICK_MAX_SECONDS
from headgate.live.scheduler import SLICE_SECONDS, SLICE_WRITES
from headgate.live.signals import Signal
from headgate.protocol.pushes import TypingSignal
from tests.live.jumping_loop import jumping_loop
from tests.live.parts import (
    GUS,
    MemoryLog,
    SlowSink,
    connect,
    frames_in,
    join,
    seqs,
    turns,
    until,
)


def typing(who: str = "u:9", **whom: str) -> Signal:
    push = TypingSignal(room="room-1", author=GUS, typing=True)
    return Signal(("typing", who), push, **whom)


async def crowd(
    node: Node, room_id: int, count: int, seconds: float = 0.0
) -> list[SlowSink]:
    """Have so many watch a room, to each of whom a frame takes so long."""
    sinks = [SlowSink(seconds=seconds) for _ in range(count)]
    for sink in sinks:
        await join(node, connect(sink)[0], room_id)
    return sinks


@pytest.fixture
async def timed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have slices measured by the time that frames take."""
    monkeypatch.setattr(scheduler, "_clock", jumping_loop().time)


# --- the tick ---------------------------------------------------------------------


async def test_a_quiet_room_is_sent_at_once(log: MemoryLog, node: Node) -> None:
    sinks = await crowd(node, 1, 3, seconds=0.001)
    for count in range(1, 5):
        node.hub.publish(1, log.write(1))
        await turns(1)
        assert [len(seqs(sink)) for sink in sinks] == [count] * 3
        await asyncio.sleep(0.1)

    assert node.meters.tick_wait_longest_seconds == 0


async def test_what_comes_while_a_room_rests_goes_out_in_one_write(
    log: MemoryLog, node: Node
) -> None:
    (sink,) = await crowd(node, 1, 1, seconds=0.01)
    node.hub.publish(1, log.write(1))
    await turns(1)
    for _ in range(9):
        node.hub.publish(1, log.write(1))
        await turns(3)
    assert seqs(sink) == [1]  # it rests as long as that pass took
    before = jumping_loop().time()
    await asyncio.sleep(0.0101)

    assert seqs(sink) == list(range(1, 11))
    assert sink.writes == 2
    assert len(frames_in(sink.written[1])) == 9
    assert 0.009 < node.meters.tick_wait_longest_seconds < 0.011
    assert jumping_loop().time() > before


class FaultySink(SlowSink):
    """One whose first write fails, as no write should."""

    def write(self, frames: bytes) -> bool:
        """Fail once."""
        if self.writes == 0:
            self.writes = 1
            raise RuntimeError("the handler is closed")
        return super().write(frames)


async def test_one_watchers_fault_is_not_the_rooms(
    log: MemoryLog, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    sinks = [SlowSink(), FaultySink(), SlowSink()]
    for sink in sinks:
        await join(node, connect(sink)[0], 1)

    node.hub.publish(1, log.write(1))
    await until(lambda: all(seqs(sink) == [1] for sink in sinks))
    node.hub.publish(1, log.write(1))
    await until(lambda: all(seqs(sink) == [1, 2] for sink in sinks))

    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_the_rest_is_never_longer_than_that(
    log: MemoryLog, node: Node, timed: None
) -> None:
    (sink,) = await crowd(node, 1, 1, seconds=0.5)
    node.hub.publish(1, log.write(1))
    await turns(1)
    sink.seconds = 0.0
    node.hub.publish(1, log.write(1))
    await asyncio.sleep(TICK_MAX_SECONDS * 0.9)
    assert seqs(sink) == [1]
    await asyncio.sleep(TICK_MAX_SECONDS * 0.2)

    assert seqs(sink) == [1, 2]
    assert node.meters.tick_wait_longest_seconds <= TICK_MAX_SECONDS * 1.001


async def test_a_busy_room_is_joined_and_not_late(
    log: MemoryLog, node: Node, timed: None
) -> None:
    """100 watchers, 0.05 ms for each write, and an event each ms for a second."""
    sinks = await crowd(node, 1, 100)
    for sink in sinks:
        slow_down(sink, 0.00005)
    for _ in range(1000):
        node.hub.publish(1, log.write(1))
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.2)

    for sink in sinks:
        assert seqs(sink) == list(range(1, 1001))
        assert sink.writes < 200
    assert node.meters.passes < 200
    assert node.meters.tick_wait_longest_seconds <= TICK_MAX_SECONDS
    mean = node.meters.tick_wait_seconds / node.meters.tick_waits
    assert 0 < mean < TICK_MAX_SECONDS / 2


def slow_down(sink: SlowSink, seconds: float) -> None:
    """Have each write take time, however many frames it has."""
    write = sink.write

    def slow(frames: bytes) -> bool:
        jumping_loop().spend(seconds)
        return write(frames)

    sink.write = slow  # type: ignore[method-assign]


async def test_more_than_goes_out_at_once_is_not_waited_for(
    log: MemoryLog, node: Node
) -> None:
    (sink,) = await crowd(node, 1, 1, seconds=0.01)
    node.hub.publish(1, log.write(1, 20, "x" * 20_000))
    await turns(10)

    assert seqs(sink) == list(range(1, 21))
    assert sink.writes > 4  # a run is at most 64 KiB, and an event


# --- slices -----------------------------------------------------------------------


async def test_a_room_of_ten_thousand_never_works_longer_than_a_slice(
    log: MemoryLog, node: Node
) -> None:
    sinks = await crowd(node, 1, 10_000)
    node.hub.publish(1, log.write(1))
    before = reached = 0
    while reached < 10_000:
        await turns(1)
        reached = sum(sink.writes for sink in sinks)
        assert 0 < reached - before <= SLICE_WRITES
        before = reached


async def test_a_slice_ends_in_time(log: MemoryLog, node: Node, timed: None) -> None:
    """Each write takes 0.05 ms, and the clock is looked at every 32."""
    sinks = await crowd(node, 1, 1_000, seconds=0.00005)
    node.hub.publish(1, log.write(1))
    while any(not sink.writes for sink in sinks):
        before = jumping_loop().time()
        await turns(1)
        assert jumping_loop().time() - before <= SLICE_SECONDS + 32 * 0.00005


async def test_a_quiet_room_beside_a_saturated_one_gets_its_turn(
    log: MemoryLog, node: Node, timed: None
) -> None:
    await crowd(node, 1, 2_000, seconds=0.00005)  # a pass takes 100 ms
    (sink,) = await crowd(node, 2, 1)
    for number in range(1, 100):
        node.hub.publish(1, log.write(1))
        node.hub.publish(2, log.write(2))
        await turns(2)
        assert len(seqs(sink, 2)) == number


async def test_saturated_rooms_take_turns(log: MemoryLog, node: Node) -> None:
    crowds = [await crowd(node, room_id, 1_000) for room_id in range(4)]
    for room_id in range(4):
        node.hub.publish(room_id, log.write(room_id))
    await turns(8)

    reached = [sum(sink.writes for sink in sinks) for sinks in crowds]
    assert min(reached) >= SLICE_WRITES // 2


async def test_who_joins_during_a_pass_gets_what_comes_after(
    log: MemoryLog, node: Node
) -> None:
    await crowd(node, 1, 600)
    node.hub.publish(1, log.write(1, 3))
    await turns(1)
    connection, sink = connect()
    await join(node, connection, 1)
    other, other_sink = connect()
    await join(node, other, 1, after=1)
    node.hub.publish(1, log.write(1, 2))
    await turns()

    assert seqs(sink) == [4, 5]
    assert seqs(other_sink) == [2, 3, 4, 5]


async def test_who_leaves_during_a_pass_gets_nothing_more(
    log: MemoryLog, node: Node
) -> None:
    sinks = await crowd(node, 1, 600)
    node.hub.publish(1, log.write(1))
    await turns(1)
    gone = []
    for watch in list(node.hub.live_watches(1)):
        if not watch.connection.sink.taken:  # type: ignore[attr-defined]
            gone.append(watch.connection.sink)
            node.hub.leave(watch)
    await turns()

    assert 0 < len(gone) < 600
    assert sum(len(sink.taken) for sink in sinks) == 600 - len(gone)


async def test_a_room_without_watchers_ends_its_pass(
    log: MemoryLog, node: Node
) -> None:
    await crowd(node, 1, 600)
    node.hub.publish(1, log.write(1))
    await turns(1)
    for watch in list(node.hub.live_watches(1)):
        node.hub.leave(watch)
    await turns()

    assert node.scheduler.idle
    assert node.hub.rooms == {}


# --- what goes out ----------------------------------------------------------------


async def test_all_who_are_at_one_place_get_the_same_bytes(
    log: MemoryLog, node: Node
) -> None:
    sinks = await crowd(node, 1, 3)
    node.hub.publish(1, log.write(1, 2))
    await turns(2)

    assert len(seqs(sinks[0])) == 2
    first = sinks[0].written[0]
    assert all(sink.written[0] is first for sink in sinks)


async def test_frames_are_shared_by_all_who_get_them_through_an_outbox(
    log: MemoryLog, node: Node
) -> None:
    sinks = [SlowSink(straight=False) for _ in range(3)]
    for sink in sinks:
        await join(node, connect(sink)[0], 1)
    node.hub.publish(1, log.write(1, 2))
    await turns(3)

    for one, other, third in zip(*[sink.taken for sink in sinks], strict=True):
        assert one is other is third


@pytest.mark.parametrize("straight", [True, False])
async def test_each_gets_it_in_their_mode(
    log: MemoryLog,
    node: Node,
    straight: bool,  # noqa: FBT001
) -> None:
    sinks = {mode: SlowSink(straight=straight) for mode in Mode}
    for mode, sink in sinks.items():
        await join(node, connect(sink, mode=mode)[0], 1)
    node.hub.publish(1, log.write(1) + log.delete(1, 1))
    await turns(3)

    said = {mode: [f.text for f in sink.taken] for mode, sink in sinks.items()}
    assert [text[:17] for text in said[Mode.V1]] == [
        '{"push":"message"',
        '{"push":"deleted"',
    ]
    assert [text[:12] for text in said[Mode.STREAM]] == ["event: messa", "event: delet"]
    assert said[Mode.PLAIN] == []  # the text was gone before it was sent


@pytest.mark.parametrize("mode", [Mode.V1, Mode.PLAIN])
async def test_what_waits_is_not_overtaken(
    log: MemoryLog, node: Node, mode: Mode
) -> None:
    connection, sink = connect(mode=mode)
    await join(node, connection, 1)
    connection.put_in_order(TypingSignal(room="room-1", author=GUS, typing=True))
    node.hub.publish(1, log.write(1))
    await turns(2)

    first, second = sink.heard
    assert "typing" in first
    assert second["seq"] == 1


async def test_deliveries_are_counted(log: MemoryLog, node: Node) -> None:
    sinks = await crowd(node, 1, 5)
    slow = SlowSink(straight=False)
    await join(node, connect(slow)[0], 1)
    node.hub.publish(1, log.write(1, 3))
    await turns(3)

    assert node.meters.deliveries == 6 * 3
    size = sum(frame.size for frame in sinks[0].taken)
    assert node.meters.delivered_bytes == 6 * size
    assert (node.meters.events, node.meters.passes) == (3, 1)


# --- signals ----------------------------------------------------------------------


async def test_signals_reach_those_who_are_there_and_meant(
    log: MemoryLog, node: Node
) -> None:
    log.write(1, 5)
    (first, first_sink), (other, other_sink) = (
        connect(owner="u:1"),
        connect(owner="u:2"),
    )
    for each in (first, other):
        await join(node, each, 1)
    behind, behind_sink = connect(owner="u:3")
    log.held = True
    await join(node, behind, 1, after=2)
    await turns()

    node.hub.signal(1, typing(but="u:2"))
    node.hub.signal(1, typing("u:8", but="u:1"))
    await turns()

    assert [said["push"] for said in first_sink.heard] == ["typing"]
    assert [said["push"] for said in other_sink.heard] == ["typing"]
    assert behind_sink.heard == []
    assert node.meters.signals_dropped == {"behind": 2}
    log.release()


async def test_who_has_a_pace_gets_signals(log: MemoryLog, node: Node) -> None:
    connection, sink = connect()
    await join(node, connection, 1, pace="1/s")
    node.hub.signal(1, typing())
    await turns()

    assert [said["push"] for said in sink.heard] == ["typing"]


async def test_what_is_said_again_while_a_room_rests_is_said_once(
    log: MemoryLog, node: Node
) -> None:
    (sink,) = await crowd(node, 1, 1, seconds=0.02)
    node.hub.publish(1, log.write(1))
    await turns(1)
    for _ in range(5):
        node.hub.signal(1, typing())
    node.hub.publish(1, log.write(1))
    await asyncio.sleep(0.05)

    assert [said["push"] for said in sink.heard] == ["message", "message", "typing"]
    assert node.meters.signals_dropped == {"joined": 4}


async def test_who_does_not_read_is_spared_signals(log: MemoryLog, node: Node) -> None:
    connection, sink = connect(SlowSink(1))
    await join(node, connection, 1)
    node.hub.publish(1, log.write(1, 2))
    await turns()
    node.hub.signal(1, typing())
    await turns()

    assert node.meters.signals_dropped == {"behind": 1}
    sink.allow(None)
    await turns()
    assert seqs(sink) == [1, 2]


async def test_signals_of_one_connection_are_bounded(
    log: MemoryLog, node: Node
) -> None:
    connection, _ = connect(SlowSink(0, straight=False))
    await join(node, connection, 1)
    for number in range(MOST_SIGNALS + 3):
        node.hub.signal(1, typing(f"u:{number}"))
    await turns()

    assert len(connection.outbox.signals) == MOST_SIGNALS
    assert node.meters.signals_dropped == {"connection": 3}


async def test_signals_come_after_events_of_the_same_pass(
    log: MemoryLog, node: Node
) -> None:
    connection, sink = connect(SlowSink(straight=False))
    await join(node, connection, 1)
    node.hub.signal(1, typing())
    node.hub.publish(1, log.write(1))
    await turns(5)

    assert [said["push"] for said in sink.heard] == ["message", "typing"]
