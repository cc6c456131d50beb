from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headgate.live.event_stream_sink import HEARTBEAT_SECONDS, EventStreamSink
from headgate.live.frames import Mode, Shared, frame_of
from headgate.live.outbox import Outbox
from headgate.protocol.pushes import Author, Gap, Reset, TypingSignal
from tests.event_stream import Event, EventParser
from tests.live.parts import message, turns

GUS = Author("g:1", "guest", "Gus")
TYPING = TypingSignal(room="room-1", author=GUS, typing=True)
LONG = "x" * 9000


class Server:
    """The end of an HTTP answer that a server holds."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.writable = asyncio.Event()
        self.writable.set()
        self.gone: Exception | None = None
        self.parser = EventParser()
        self.events: list[Event] = []

    async def send(self, message: Any) -> None:
        await self.writable.wait()
        if self.gone is not None:
            raise self.gone
        self.sent.append(message)
        self.events += self.parser.feed(message.get("body", b""))


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def sink(server: Server) -> AsyncIterator[EventStreamSink]:
    sink = EventStreamSink(server.send)
    yield sink
    await sink.close()


def outbox_of(*pushes: object, limit_bytes: int = 100_000) -> Outbox:
    outbox = Outbox(limit_bytes)
    for push in pushes:
        outbox.put(frame_of(push, Mode.STREAM))
    return outbox


async def begin(sink: EventStreamSink, retry_ms: int = 1500) -> None:
    await sink.begin([(b"content-type", b"text/event-stream")], retry_ms=retry_ms)


async def test_the_answer_begins_with_its_head_and_when_to_come_back(
    server: Server, sink: EventStreamSink
) -> None:
    assert not sink.begun
    await begin(sink)

    assert sink.begun
    assert server.sent[0] == {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"text/event-stream")],
    }
    assert server.parser.retry_ms == 1500


async def test_nothing_goes_out_before_it_begins(
    server: Server, sink: EventStreamSink
) -> None:
    sink.flush(outbox_of(message(1, 1)))
    await turns()
    assert server.sent == []

    await begin(sink)
    await sink.drained()
    assert [event.said["seq"] for event in server.events] == [1]


async def test_an_event_is_a_push_with_all_places_after_it(
    server: Server, sink: EventStreamSink
) -> None:
    sink.positions.move("room-1", 4, "aa")
    sink.positions.move("room-2", 9, "bb")
    await begin(sink)
    pushes = [
        TYPING,
        message(1, 5),
        message(2, 10),
        TYPING,
        message(1, 6),
        Reset(room="room-2", oldest=1, head=3, epoch="cc"),
        message(2, 4),
        Gap(room="room-1", from_=7, to=9),
    ]
    sink.flush(outbox_of(*pushes))
    await sink.drained()

    assert [(event.name, event.last_id) for event in server.events] == [
        ("typing", "aa-4.bb-9"),
        ("message", "aa-5.bb-9"),
        ("message", "aa-5.bb-10"),
        ("typing", "aa-5.bb-10"),
        ("message", "aa-6.bb-10"),
        ("reset", "aa-6.cc-3"),
        ("message", "aa-6.cc-4"),
        ("gap", "aa-9.cc-4"),
    ]
    assert server.events[1].data.encode() == frame_of(pushes[1]).payload


async def test_an_event_that_changes_no_place_has_no_id(
    server: Server, sink: EventStreamSink
) -> None:
    sink.positions.move("room-1", 4, "aa")
    await begin(sink)
    sink.flush(outbox_of(TYPING, TYPING))
    await sink.drained()

    assert server.sent[-1]["body"].count(b"id: ") == 1


async def test_what_waits_goes_out_in_few_writes(
    server: Server, sink: EventStreamSink
) -> None:
    await begin(sink)
    before = len(server.sent)
    sink.flush(outbox_of(*[message(1, seq) for seq in range(1, 51)]))
    await sink.drained()

    assert len(server.sent) == before + 1
    assert [event.said["seq"] for event in server.events] == list(range(1, 51))


async def test_a_reader_that_takes_nothing_is_given_little(
    server: Server, sink: EventStreamSink
) -> None:
    for room in range(100):
        sink.positions.move(f"room-{room}", 2**53 - 1, "f" * 16)
    await begin(sink)
    server.writable.clear()
    outbox = outbox_of(*[message(1, seq, LONG) for seq in range(1, 10)])
    sink.flush(outbox)
    await turns()

    assert len(outbox.control) == 7  # two are on their way
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sink.drained(), 0.01)
    server.writable.set()
    await sink.drained()
    assert max(len(sent.get("body", b"")) for sent in server.sent) < 40_000
    assert [event.said["seq"] for event in server.events] == list(range(1, 10))


async def test_room_is_told_as_it_comes(server: Server, sink: EventStreamSink) -> None:
    await begin(sink)
    outbox = outbox_of(message(1, 1, LONG), message(1, 2, LONG), limit_bytes=100)
    waiting = asyncio.create_task(outbox.room_in())
    await turns()
    sink.flush(outbox)

    await waiting


async def test_heartbeats_come_while_nothing_else_does(
    server: Server, sink: EventStreamSink
) -> None:
    await begin(sink)
    await turns()
    await asyncio.sleep(HEARTBEAT_SECONDS - 1)
    assert server.parser.comments == []
    await asyncio.sleep(1)
    assert server.sent[-1]["body"] == b": heartbeat\n\n"
    await asyncio.sleep(HEARTBEAT_SECONDS)
    assert server.parser.comments == ["heartbeat"] * 2

    await asyncio.sleep(HEARTBEAT_SECONDS - 1)
    sink.flush(outbox_of(message(1, 1)))
    await turns()
    await asyncio.sleep(HEARTBEAT_SECONDS - 1)
    assert server.parser.comments == ["heartbeat"] * 2
    await asyncio.sleep(1)
    assert server.parser.comments == ["heartbeat"] * 3
    assert [event.said["seq"] for event in server.events] == [1]


async def test_all_goes_through_the_outbox_while_that_is_below_its_limit(
    sink: EventStreamSink,
) -> None:
    size = frame_of(message(1, 1), Mode.STREAM).size
    assert not sink.write(b"")
    assert sink.takes(outbox_of(message(1, 1), limit_bytes=size + 1))
    assert not sink.takes(outbox_of(message(1, 1), limit_bytes=size))


async def test_what_waits_is_another_number_with_each_write() -> None:
    taken = asyncio.Semaphore(2)  # the head, and when to come back

    async def send(message: Any) -> None:
        await taken.acquire()

    sink = EventStreamSink(send)
    await begin(sink)
    assert sink.waiting() == 0
    sink.flush(outbox_of(*[message(1, seq, LONG) for seq in range(1, 7)]))
    numbers = []
    for _ in range(3):  # two pushes in each
        await turns()
        numbers.append(sink.waiting())
        await turns()
        assert sink.waiting() == numbers[-1]
        taken.release()
    await sink.drained()

    assert len({*numbers, 0}) == 4
    assert sink.waiting() == 0
    await sink.close()


async def test_who_is_cut_off_gets_nothing_more(
    server: Server, sink: EventStreamSink
) -> None:
    sink.abort()  # nothing has begun
    await begin(sink)
    server.writable.clear()
    outbox = outbox_of(message(1, 1), message(1, 2))
    sink.flush(outbox)
    await turns()
    sink.abort()
    await turns()
    server.writable.set()
    sink.flush(outbox)
    await sink.drained()

    assert server.events == []
    assert sink.waiting() == 0


@pytest.mark.parametrize("gone", [OSError("gone"), RuntimeError("closed")])
async def test_a_client_that_is_gone_stops_nobody(
    server: Server, sink: EventStreamSink, gone: Exception
) -> None:
    await begin(sink)
    server.gone = gone
    outbox = outbox_of(message(1, 1), limit_bytes=10)
    waiting = asyncio.create_task(outbox.room_in())
    await turns()

    sink.flush(outbox)
    await sink.drained()
    await waiting

    assert outbox.lost
    sink.flush(outbox)  # later ones neither raise nor wait
    await sink.drained()


async def test_a_client_that_is_gone_at_a_heartbeat_ends_the_writing(
    server: Server, sink: EventStreamSink
) -> None:
    await begin(sink)
    await turns()
    server.gone = OSError("gone")
    await asyncio.sleep(HEARTBEAT_SECONDS)
    sink.flush(outbox_of(message(1, 1)))
    await sink.drained()

    assert server.events == []


async def test_a_closed_sink_writes_nothing_and_keeps_no_task(server: Server) -> None:
    before = asyncio.all_tasks()
    sink = EventStreamSink(server.send)
    await begin(sink)
    server.writable.clear()
    outbox = outbox_of(message(1, 1), message(1, 2))
    sink.flush(outbox)
    await turns()

    await sink.close()
    server.writable.set()
    sink.flush(outbox)
    await turns()

    assert server.events == []
    assert asyncio.all_tasks() == before


async def test_a_sink_that_never_began_closes(server: Server) -> None:
    sink = EventStreamSink(server.send)
    sink.flush(outbox_of(message(1, 1)))
    await sink.close()
    assert server.sent == []


async def test_lines_in_a_text_are_no_lines_of_the_stream(
    server: Server, sink: EventStreamSink
) -> None:
    text = "a\nb\r\nc\rd\n\ndata: {}\n\nevent: x\u2028y\u2029\x0b\x85👋\ufeff"
    await begin(sink)
    shared = Shared(message(1, 1, text)).frame(Mode.STREAM)
    assert shared is not None
    outbox = Outbox(1000)
    outbox.put(shared)
    sink.flush(outbox)
    await sink.drained()

    assert [event.said["text"] for event in server.events] == [text]
