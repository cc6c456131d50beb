from __future__ import annotations

import asyncio
import weakref

import pytest

from headgate.live.node import Node
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


async def test_whoever_was_away_gets_what_was_missed_and_goes_live(
    log: MemoryLog,
    node: Node,
) -> None:
    log.write(1, 450)
    connection, sink = connect()
    await join(node, connection, 1, after=3)
    await until(lambda: connection.watches[1].live)

    node.hub.publish(1, log.write(1, 1))
    await turns()

    assert seqs(sink) == list(range(4, 452))
    assert log.reads == [(1, 3, 450), (1, 203, 450), (1, 403, 450)]
    assert connection.catching_up is None


async def test_what_comes_meanwhile_comes_after(log: MemoryLog, node: Node) -> None:
    log.write(1, 5)
    log.held, log.late = True, True
    connection, sink = connect()
    log.held = False
    await join(node, connection, 1, after=1)
    log.held = True
    await turns()
    node.hub.publish(1, log.write(1, 2))
    await turns()
    assert seqs(sink) == []
    log.held = False
    log.release()
    await until(lambda: len(seqs(sink)) == 6)

    assert seqs(sink) == [2, 3, 4, 5, 6, 7]
    assert connection.watches[1].live


async def test_whoever_reads_nothing_is_behind_and_keeps_the_place(
    log: MemoryLog,
    node: Node,
) -> None:
    slow, sink = connect(SlowSink(0), limit_bytes=500)
    quick, quick_sink = connect()
    await join(node, slow, 1)
    await join(node, quick, 1)

    for _ in range(100):
        node.hub.publish(1, log.write(1, 3, "x" * 50))
        await turns(1)
    assert len(seqs(quick_sink)) == 300
    assert not slow.watches[1].live
    assert slow.outbox.size_bytes < 500 + 200
    assert log.reads == []  # it waits for room, and asks for nothing

    sink.allow(None)
    await until(lambda: slow.watches[1].live)
    await turns()
    assert seqs(sink) == list(range(1, 301))


class Page(list[LogEvent]):
    """A list that can be referred to weakly."""


async def test_whoever_reads_nothing_keeps_no_page_of_the_log(
    log: MemoryLog,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One page may have megabytes, and there may be thousands who do not read."""
    pages: list[weakref.ref[Page]] = []
    read = log.events

    async def events(*where: int) -> Page:
        page = Page(await read(*where))
        pages.append(weakref.ref(page))
        return page

    monkeypatch.setattr(log, "events", events)
    log.write(1, 400, "x" * 50)
    slow, _ = connect(SlowSink(0), limit_bytes=500)
    await join(node, slow, 1, after=0)
    await until(lambda: not slow.outbox.roomy)
    await turns()

    assert [page() for page in pages] == [None]


async def test_somebody_can_fall_behind_again_and_again(
    log: MemoryLog,
    node: Node,
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


async def test_several_rooms_are_caught_up_one_after_the_other(
    log: MemoryLog,
    node: Node,
) -> None:
    connection, sink = connect()
    for room_id in (1, 2, 3):
        log.write(room_id, 250)
        await join(node, connection, room_id, after=room_id)
    await until(lambda: all(watch.live for watch in connection.watches.values()))
    await turns()

    for room_id in (1, 2, 3):
        assert seqs(sink, room_id) == list(range(room_id + 1, 251))
    assert connection.catching_up is None


async def test_an_away_log_is_waited_for(
    log: MemoryLog,
    node: Node,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log.write(1, 5)
    connection, sink = connect()
    await join(node, connection, 1, after=0)
    log.away = True
    await turns()
    assert seqs(sink) == []

    log.away = False
    await until(lambda: seqs(sink) == [1, 2, 3, 4, 5])

    assert "catch_up_waits room=1" in caplog.text


async def test_what_was_read_for_a_room_left_meanwhile_is_dropped(
    log: MemoryLog,
    node: Node,
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
    log.held = False
    log.release()
    await until(lambda: seqs(sink, 2) == [1, 2, 3, 4, 5])

    assert seqs(sink, 1) == []
    assert (1, 0, 5) in log.reads


async def test_what_was_read_before_somebody_came_back_is_dropped(
    log: MemoryLog,
    node: Node,
) -> None:
    """Left and joined again while a page was read: the new place counts."""
    log.write(1, 5)
    connection, sink = connect()
    other, _ = connect()
    await join(node, other, 1)
    log.held = True
    await join(node, connection, 1, after=0)
    await turns()
    assert log.waiting
    await join(node, connection, 1, after=3)
    log.held = False
    log.release()
    await until(lambda: connection.watches[1].live)
    await turns()

    assert seqs(sink) == [4, 5]


async def test_a_lost_client_is_fed_no_more(log: MemoryLog, node: Node) -> None:
    log.write(1, 900)
    connection, _ = connect(SlowSink(0), limit_bytes=300)
    await join(node, connection, 1, after=0)
    await until(lambda: not connection.outbox.roomy)
    feeding = connection.catching_up

    await node.remove(connection)

    assert feeding is not None
    assert feeding.done()
    assert len(log.reads) == 1


async def test_a_log_that_is_gone_does_not_keep_the_loop_busy(
    log: MemoryLog,
    node: Node,
) -> None:
    """The room was deleted while somebody was behind in it."""
    log.write(1, 5)
    connection, sink = connect()
    await join(node, connection, 1, after=2)
    del log.rooms[1]

    await until(lambda: connection.catching_up is None, most=200)

    assert seqs(sink) == []
    assert len(log.reads) < 5


async def test_a_failure_is_logged_and_nothing_is_left_out(
    log: MemoryLog,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug in reading is no reason for a hole that nobody is told of."""
    monkeypatch.setattr("headgate.live.catch_up.RETRY_SECONDS", 0)
    log.write(1, 2)
    connection, sink = connect()
    real, failed = log.events, asyncio.Event()

    async def broken(*_: object) -> list[object]:
        failed.set()
        raise KeyError("a bug")

    monkeypatch.setattr(log, "events", broken)
    await join(node, connection, 1, after=0)
    await failed.wait()
    monkeypatch.setattr(log, "events", real)

    await until(lambda: seqs(sink) == [1, 2])
    assert "catch_up_failed room=1" in caplog.text
