"""The bounds of our protocol, frame by frame, on a transport that the test holds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from headgate.chat.consumer import READY_FRAMES, REST_KEEPALIVE
from headgate.server import websocket_protocol
from headgate.server.websocket_protocol import (
    MAX_WRITE_BYTES,
    MOST_AT_ONCE,
    ChatWebSocketProtocol,
)
from tests.server.hostile import (
    CONTINUATION,
    FIN,
    PING,
    PONG,
    TEXT,
    client_frame,
)
from tests.server.test_websocket_protocol import REQUEST, Transport

CLOSE = 0x8


class Held(Transport):
    """A transport whose buffer the test fills and drains."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self.writes: list[bytes] = []
        self.aborted = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        self.writes.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.size

    def abort(self) -> None:
        self.aborted.set()
        self.closed = True


class Wire:
    """One connection: what the application got, and the ends of the wire."""

    def __init__(
        self,
        *,
        accepts: bool = True,
        sink: bool = False,
        ping_seconds: float | None = None,
    ) -> None:
        self.extensions: dict[str, Any] = {}
        self.got: list[Any] = []
        self.transport = Held()
        self.accept = asyncio.Event()
        self.receives = asyncio.Event()
        self.receives.set()
        self._sink = sink
        self.sends: Any = None
        if accepts:
            self.accept.set()
        config = Config(
            self._app,
            interface="asgi3",
            ws_ping_interval=ping_seconds,
            ws_max_size=64 * 1024,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
        )
        config.load()
        self.state = ServerState()
        self.protocol = ChatWebSocketProtocol(config, self.state, {})
        self.protocol.connection_made(self.transport)
        self.protocol.data_received(REQUEST)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.sends = send
        await receive()
        await self.accept.wait()
        await send({"type": "websocket.accept"})
        if self._sink:
            scope["extensions"][READY_FRAMES](send)
        self.extensions = scope["extensions"]
        while not self.got or self.got[-1]["type"] != "websocket.disconnect":
            await self.receives.wait()
            self.got.append(await receive())

    async def opened(self) -> Wire:
        await turns(3)
        self.transport.writes.clear()
        return self

    def stall(self, size: int = 70_000) -> None:
        """Fill the transport's buffer: the client is not reading."""
        self.transport.size = size
        self.protocol.pause_writing()

    def drain(self) -> None:
        self.transport.size = 0
        self.protocol.resume_writing()

    async def end(self) -> None:
        self.receives.set()
        self.protocol.connection_lost(None)
        await asyncio.gather(*self.state.tasks)


async def turns(count: int) -> None:
    """Let the loop turn so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def read_all(wire: Wire) -> None:
    """Wait until all that came was read, the rests included."""
    async with asyncio.timeout(60):
        await wire.transport.reading.wait()


def pong(text: bytes) -> bytes:
    return bytes((FIN | PONG, len(text))) + text


# --- pings ---


async def test_pings_of_one_read_are_answered_in_one_write() -> None:
    wire = await Wire().opened()
    texts = [b"", b"a", b"x" * 125]
    masked = [client_frame(FIN | PING, text, b"\x01\x02\x03\x04") for text in texts]
    wire.protocol.data_received(b"".join(masked))

    assert wire.transport.writes == [b"".join(map(pong, texts))]
    await wire.end()


async def test_who_does_not_read_gets_the_newest_pong_alone() -> None:
    """And is not read until then: a ping more would wait in the kernel, and theirs."""
    wire = await Wire().opened()
    wire.stall()
    pings = [client_frame(FIN | PING, b"%d" % number) for number in range(10)]
    wire.protocol.data_received(b"".join(pings[:1]))
    await turns(5)
    assert wire.transport.writes == []
    assert not wire.transport.reading.is_set()

    wire.drain()
    assert wire.transport.writes == [pong(b"0")]
    assert wire.transport.reading.is_set()
    await wire.end()


@pytest.mark.parametrize("more", [[], [b"9"]])
async def test_of_pings_that_met_a_full_buffer_the_newest_is_answered(
    more: list[bytes],
) -> None:
    wire = await Wire().opened()
    for number in range(3):
        wire.protocol._ping_received(pong(b"%d" % number))
    wire.protocol.writable.clear()
    wire.protocol._answer_pings()
    for text in more:
        wire.protocol._ping_received(pong(text))
    assert wire.transport.writes == []

    wire.drain()
    assert wire.transport.writes == [pong(more[0] if more else b"2")]
    await wire.end()


async def test_texts_of_who_does_not_read_are_read_all_the_same() -> None:
    """What they are answered with is bounded elsewhere."""
    wire = await Wire().opened()
    wire.stall()
    wire.protocol.data_received(client_frame(FIN | TEXT, b"hi"))
    await turns(5)

    assert [each["text"] for each in wire.got] == ["hi"]
    assert wire.transport.reading.is_set()
    await wire.end()


async def test_pongs_of_the_client_cost_nothing() -> None:
    wire = await Wire().opened()
    wire.protocol.data_received(client_frame(FIN | PONG, b"x") * 1000)
    await read_all(wire)

    assert wire.transport.writes == []
    assert wire.got == []
    await wire.end()


async def test_a_ping_before_a_close_is_answered_before_it() -> None:
    wire = await Wire().opened()
    close = client_frame(FIN | CLOSE, b"\x03\xe8")
    wire.protocol.data_received(client_frame(FIN | PING, b"a") + close)

    assert wire.transport.writes == [pong(b"a"), b"\x88\x02\x03\xe8"]
    await wire.end()


async def test_keepalive_is_for_who_is_connected_and_not_at_rest() -> None:
    wire = await Wire(ping_seconds=25).opened()
    keepalive = wire.protocol._keepalive
    assert keepalive is not None
    found = [len(keepalive)]
    for resting in (True, True, False, False):
        wire.extensions[REST_KEEPALIVE](resting)
        found.append(len(keepalive))
    await wire.end()
    wire.extensions[REST_KEEPALIVE](False)

    assert [*found, len(keepalive)] == [1, 0, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("waiting", "aborted"),
    [(0, False), (1, True)],
)
async def test_who_is_given_up_gets_a_close_if_it_can_leave(
    waiting: int,
    aborted: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    wire = await Wire().opened()
    wire.transport.size = waiting
    wire.protocol.give_up()

    assert wire.transport.closed
    assert wire.transport.aborted.is_set() is aborted
    assert ((1011).to_bytes(2, "big") in wire.transport.written) is not aborted
    await wire.end()


async def test_pings_to_who_does_not_read_are_not_written() -> None:
    """They would not be read; that the buffer drains is a sign of life as well."""
    wire = await Wire().opened()
    wire.stall()
    wire.protocol.ask()
    assert wire.transport.writes == []
    assert not wire.protocol.answered()

    wire.drain()
    assert wire.protocol.answered()
    wire.protocol.ask()
    assert wire.transport.writes == [b"\x89\x00"]
    await wire.end()


async def test_who_does_not_read_is_judged_though_the_application_waits() -> None:
    """It may wait for just that: that they read."""
    wire = await Wire().opened()
    wire.protocol.data_received(client_frame(FIN | TEXT, b"hi"))  # and it has not come
    wire.protocol.ask()
    assert wire.protocol.answered()

    wire.stall()
    assert not wire.protocol.answered()
    await wire.end()


# --- what waits to be written ---


async def test_a_chat_whose_buffer_is_far_too_full_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(websocket_protocol, "LINGER_SECONDS", 0.01)
    wire = await Wire(sink=True).opened()
    wire.stall(MAX_WRITE_BYTES + 1)
    async with asyncio.timeout(30):
        await wire.transport.aborted.wait()

    (record,) = caplog.records
    assert record.getMessage() == (
        f"write_buffer_full client=None bytes={MAX_WRITE_BYTES + 1}"
    )
    await wire.end()


@pytest.mark.parametrize(
    ("size", "left", "sink"),
    [
        (MAX_WRITE_BYTES, MAX_WRITE_BYTES, True),  # as much as it may have
        (10 * MAX_WRITE_BYTES, 1000, True),  # a client that reads
        (10 * MAX_WRITE_BYTES, 10 * MAX_WRITE_BYTES, False),  # a project's own socket
    ],
)
async def test_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    left: int,
    sink: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    monkeypatch.setattr(websocket_protocol, "LINGER_SECONDS", 0.01)
    wire = await Wire(sink=sink).opened()
    wire.stall(size)
    wire.transport.size = left
    await asyncio.sleep(0.03)

    assert not wire.transport.aborted.is_set()
    await wire.end()


async def test_a_close_that_nobody_reads_ends_by_itself() -> None:
    """uvicorn closes the transport, which waits for its buffer, for ever."""
    wire = await Wire().opened()
    wire.protocol.close_timeout = 0.01
    wire.transport.size = 1
    await wire.sends({"type": "websocket.close", "code": 4000})
    async with asyncio.timeout(30):
        await wire.transport.aborted.wait()
    await wire.end()


# --- tiny frames ---


@pytest.mark.parametrize(
    "chunk",
    [
        client_frame(FIN | PING) * 10_000,
        client_frame(FIN | PONG) * 10_000,
        client_frame(FIN | TEXT) * 10_000,
        client_frame(TEXT) + client_frame(CONTINUATION) * 10_000,
        client_frame(TEXT) + client_frame(CONTINUATION, b"a") * 10_000,
        (client_frame(TEXT) + client_frame(FIN | CONTINUATION)) * 5_000,
        client_frame(TEXT)
        + (client_frame(CONTINUATION, b"a") + client_frame(FIN | PING)) * 5_000,
        client_frame(FIN | 0x2) * 10_000,
    ],
    ids=[
        "pings",
        "pongs",
        "texts",
        "empty fragments",
        "fragments",
        "messages in fragments",
        "pings between fragments",
        "bytes",
    ],
)
async def test_no_chunk_of_tiny_frames_holds_the_loop(chunk: bytes) -> None:
    """64 KiB in one read: others have their turn after a few frames."""
    wire = await Wire().opened()
    wire.receives.clear()  # and the application is busy
    began = time.thread_time()
    wire.protocol.data_received(chunk)
    longest = time.thread_time() - began
    for _ in range(40):
        began = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - began)

    assert not wire.transport.reading.is_set()  # the rest waits, and no more comes
    assert len(wire.protocol.queue._events) <= 1
    assert longest < 0.02
    await wire.end()


async def test_a_turn_ends_by_time_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each frame takes long: the one that takes it past its time is the last."""
    wire = await Wire().opened()
    heard: list[str] = []
    wire.protocol._listener = lambda text: heard.append(text) is None
    each_seconds = websocket_protocol.TURN_SECONDS / 3.5
    monkeypatch.setattr(websocket_protocol, "_clock", lambda: len(heard) * each_seconds)
    wire.protocol.data_received(client_frame(FIN | TEXT, b"a") * 9)
    turn = len(heard)
    await read_all(wire)

    assert turn == 4
    assert len(heard) == 9
    await wire.end()


async def test_a_connection_that_fills_its_turns_rests_between_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A burst does not: only who goes on does."""
    monkeypatch.setattr(websocket_protocol, "_clock", lambda: 0.0)  # no turn is slow
    wire = await Wire().opened()
    heard: list[str] = []
    wire.protocol._listener = lambda text: heard.append(text) is None
    wire.protocol.data_received(client_frame(FIN | TEXT, b"a") * 1000)
    await turns(200)
    burst = len(heard)
    assert 4 * MOST_AT_ONCE <= burst <= 12 * MOST_AT_ONCE

    await read_all(wire)
    assert len(heard) == 1000
    await wire.end()


async def test_a_message_in_fragments_is_one_piece_while_it_comes() -> None:
    wire = await Wire().opened()
    wire.protocol.data_received(
        client_frame(TEXT, "Zoë".encode()[:3], b"abcd")
        + client_frame(FIN | PING, b"!")
        + client_frame(CONTINUATION, "Zoë".encode()[3:], b"efgh")
    )
    for _ in range(100):
        wire.protocol.data_received(client_frame(CONTINUATION, b"-"))
    assert len(wire.protocol.frames) == 1
    wire.protocol.data_received(client_frame(FIN | CONTINUATION))
    await turns(3)

    assert wire.got == [{"type": "websocket.receive", "text": "Zoë" + "-" * 100}]
    assert wire.transport.writes == [pong(b"!")]
    await wire.end()


async def test_bytes_in_fragments_are_bytes() -> None:
    wire = await Wire().opened()
    wire.protocol.data_received(
        client_frame(0x2, b"a") + client_frame(FIN | CONTINUATION, b"b")
    )
    await turns(3)

    assert wire.got == [{"type": "websocket.receive", "bytes": b"ab"}]
    assert type(wire.got[0]["bytes"]) is bytes
    await wire.end()


async def test_a_text_in_the_middle_of_a_message_is_refused() -> None:
    wire = await Wire().opened()
    heard: list[str] = []
    wire.protocol._listener = lambda text: heard.append(text) is None
    begun, text = client_frame(TEXT, b"a"), client_frame(FIN | TEXT, b"b")
    wire.protocol.data_received(begun + text)
    await turns(3)

    assert (1002).to_bytes(2, "big") in wire.transport.written
    assert heard == []
    await wire.end()


async def test_fragments_are_bounded_together() -> None:
    """The last is refused by its head, before it is taken into memory."""
    wire = await Wire().opened()
    wire.protocol.data_received(client_frame(TEXT, b"x" * 40_000))
    wire.protocol.data_received(client_frame(CONTINUATION, b"y" * 30_000)[:100])
    await turns(3)

    assert (1009).to_bytes(2, "big") in wire.transport.written
    assert [each["type"] for each in wire.got] == ["websocket.disconnect"]
    await wire.end()


async def test_texts_after_a_message_in_fragments_are_heard_at_once() -> None:
    """The parser does not keep what comes after it."""
    wire = await Wire().opened()
    heard: list[str] = []
    wire.protocol._listener = lambda text: heard.append(text) is None
    message = client_frame(TEXT, b"a") + client_frame(FIN | CONTINUATION, b"b")
    wire.protocol.data_received(message)
    await turns(3)
    wire.protocol.data_received(client_frame(FIN | TEXT, b"c"))

    assert [each["text"] for each in wire.got] == ["ab"]
    assert heard == ["c"]
    await wire.end()


async def test_what_comes_before_the_answer_to_the_handshake_waits_as_it_came() -> None:
    wire = await Wire(accepts=False).opened()
    wire.protocol.data_received(client_frame(FIN | TEXT, b"early") * 100)
    await turns(3)
    assert not wire.transport.reading.is_set()
    assert wire.protocol.queue.empty()

    wire.accept.set()
    await read_all(wire)
    await turns(3)
    assert [each["text"] for each in wire.got] == ["early"] * 100
    await wire.end()


async def test_what_was_held_at_a_close_does_not_hide_the_clients_close() -> None:
    wire = await Wire().opened()
    wire.receives.clear()
    wire.protocol.data_received(
        client_frame(FIN | TEXT, b"hi") * 100 + client_frame(FIN | CLOSE, b"\x0f\xa0")
    )
    await turns(3)
    await wire.sends({"type": "websocket.close", "code": 4000})
    assert not wire.transport.closed
    await turns(300)
    assert wire.transport.closed
    await wire.end()
