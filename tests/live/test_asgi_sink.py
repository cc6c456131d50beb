from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest

from headgate.live.asgi_sink import AsgiSink
from headgate.live.frames import Frame, text_frame
from headgate.live.outbox import Outbox
from tests.live.parts import turns


class Server:
    """Takes what is sent while its flow control lets it."""

    def __init__(self) -> None:
        self.sent: list[MutableMapping[str, Any]] = []
        self.writable = asyncio.Event()
        self.writable.set()
        self.gone: Exception | None = None

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.writable.wait()
        if self.gone is not None:
            raise self.gone
        self.sent.append(message)

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.sent]


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def sink(server: Server) -> AsyncIterator[AsgiSink]:
    sink = AsgiSink(server.send)
    yield sink
    await sink.close()


def outbox_of(*texts: str) -> Outbox:
    outbox = Outbox(100)
    for text in texts:
        outbox.put(Frame(text.encode()))
    return outbox


async def test_all_is_sent_in_order(server: Server, sink: AsgiSink) -> None:
    outbox = outbox_of("a", "b", "ц")

    sink.flush(outbox)
    await sink.drained()

    assert server.sent[0] == {"type": "websocket.send", "text": "a"}
    assert server.texts == ["a", "b", "ц"]
    assert outbox.size_bytes == 0


async def test_what_comes_while_it_writes_is_sent_too(
    server: Server,
    sink: AsgiSink,
) -> None:
    outbox = outbox_of("a")
    server.writable.clear()
    sink.flush(outbox)
    await turns()
    outbox.put(Frame(b"b"))
    sink.flush(outbox)
    server.writable.set()

    await sink.drained()

    assert server.texts == ["a", "b"]


async def test_flushing_never_waits_for_the_client(
    server: Server,
    sink: AsgiSink,
) -> None:
    server.writable.clear()
    outbox = outbox_of("a", "b", "c")
    sink.flush(outbox)
    await turns()

    assert [frame.text for frame in outbox.control] == ["b", "c"]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sink.drained(), 0.01)


async def test_room_is_told_as_it_comes(server: Server, sink: AsgiSink) -> None:
    outbox = outbox_of("x" * 60, "y" * 60)
    waiting = asyncio.create_task(outbox.room_in())
    await turns()

    sink.flush(outbox)
    await waiting

    assert server.texts[0] == "x" * 60


async def test_all_goes_through_the_outbox_while_that_is_below_its_limit(
    sink: AsgiSink,
) -> None:
    assert not sink.write(text_frame(b"a"))
    assert sink.takes(outbox_of("x" * 99))
    assert not sink.takes(outbox_of("x" * 100))


async def test_what_waits_is_another_number_with_each_frame() -> None:
    taken = asyncio.Semaphore(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        await taken.acquire()

    sink = AsgiSink(send)
    assert sink.waiting() == 0
    sink.flush(outbox_of("a", "b", "c"))
    numbers = []
    for _ in range(3):
        await turns()
        numbers.append(sink.waiting())
        await turns()
        assert sink.waiting() == numbers[-1]
        taken.release()
    await sink.drained()

    assert len({*numbers, 0}) == 4
    assert sink.waiting() == 0
    await sink.close()


async def test_who_is_cut_off_gets_nothing_more(server: Server, sink: AsgiSink) -> None:
    server.writable.clear()
    outbox = outbox_of("a", "b")
    sink.flush(outbox)
    await turns()
    sink.abort()
    await turns()
    server.writable.set()
    sink.flush(outbox)
    await sink.drained()

    assert server.sent == []
    assert sink.waiting() == 0


@pytest.mark.parametrize("gone", [OSError("gone"), RuntimeError("closed")])
async def test_a_client_that_is_gone_stops_nobody(
    server: Server,
    sink: AsgiSink,
    gone: Exception,
) -> None:
    server.gone = gone
    outbox = outbox_of("x" * 200, "b")
    waiting = asyncio.create_task(outbox.room_in())
    await turns()

    sink.flush(outbox)
    await sink.drained()
    await waiting

    assert outbox.lost
    sink.flush(outbox)  # later ones neither raise nor wait
    await sink.drained()


async def test_a_closed_sink_writes_nothing_and_keeps_no_task(server: Server) -> None:
    before = asyncio.all_tasks()
    sink = AsgiSink(server.send)
    server.writable.clear()
    outbox = outbox_of("a", "b")
    sink.flush(outbox)
    await turns()

    await sink.close()
    server.writable.set()
    sink.flush(outbox)
    await turns()

    assert server.sent == []
    assert asyncio.all_tasks() == before
