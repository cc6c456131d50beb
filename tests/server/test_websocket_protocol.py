"""Our reading of frames beside uvicorn's own: the same bytes, the same outcome."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidState

from headgate.chat.consumer import DIRECT_TEXTS
from headgate.server import websocket_protocol
from headgate.server.websocket_protocol import (
    MOST_AT_ONCE,
    ChatWebSocketProtocol,
)

MAX_SIZE = 2000
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


class Transport(asyncio.Transport):
    """Keeps what is written, and whether it is to be read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.reading = asyncio.Event()
        self.reading.set()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def close(self) -> None:
        self.closed = True
        self.reading.set()

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading.clear()

    def resume_reading(self) -> None:
        self.reading.set()

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return 0


async def outcome(
    kind: type[WebSocketsSansIOProtocol],
    chunks: list[bytes],
    takes: Callable[[str], bool] | None = None,
) -> Any:
    """Return what the application got, and what was written.

    With `takes` it listens, takes the texts for which that is true, and is busy for a
    while with each of the others, in which it must not be offered any.
    """
    got: list[Any] = []
    ended = asyncio.Event()
    accepted = asyncio.Event()
    busy = asyncio.Lock()

    def heard(text: str) -> bool:
        assert not busy.locked()
        taken = takes is not None and takes(text)
        if taken:
            got.append({"type": "websocket.receive", "text": text})
        return taken

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        if takes is not None:
            scope["extensions"][DIRECT_TEXTS](receive, heard)
        accepted.set()
        while not ended.is_set():
            message = await receive()
            async with busy:
                got.append(message)
                await asyncio.sleep(0 if takes is None else 0.0001)
            if message["type"] == "websocket.disconnect":
                ended.set()

    config = Config(
        app,
        ws_max_size=MAX_SIZE,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
    )
    config.load()
    state = ServerState()
    protocol = kind(config, state, {})
    transport = Transport()
    protocol.connection_made(transport)
    protocol.data_received(REQUEST)
    await accepted.wait()
    head = len(transport.written)
    for chunk in chunks:
        await transport.reading.wait()
        if transport.closed:
            break
        protocol.data_received(chunk)
        await asyncio.sleep(0)
    await transport.reading.wait()
    if not transport.closed:
        protocol.eof_received()
    protocol.connection_lost(None)
    await ended.wait()
    await asyncio.gather(*state.tasks, return_exceptions=True)
    return got, transport.written[head:]


def frame(first: int, payload: bytes, *, mask: bytes | None, wide: bool) -> bytes:
    """Return a frame, with a length of eight bytes if `wide`."""
    flag = 0 if mask is None else 0x80
    size = len(payload)
    if wide:
        head = bytes((first, flag | 127)) + size.to_bytes(8, "big")
    elif size < 126:
        head = bytes((first, flag | size))
    else:
        head = bytes((first, flag | 126)) + size.to_bytes(2, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


texts = st.text(max_size=300).map(str.encode)
masks = st.binary(min_size=4, max_size=4)
usual = st.builds(frame, st.just(0x81), texts, mask=masks, wide=st.just(False))
short = st.builds(
    frame,
    st.just(0x81),
    st.sampled_from([b"", b"a", b"bb", b"ccc"]),
    mask=masks,
    wide=st.just(False),
)
unusual = st.one_of(
    st.builds(
        frame,
        st.sampled_from([0x01, 0x80, 0x00, 0x82, 0x02, 0xC1, 0x83, 0x81]),
        st.one_of(texts, st.binary(max_size=300)),
        mask=st.one_of(masks, st.none()),
        wide=st.booleans(),
    ),
    st.builds(
        frame,
        st.sampled_from([0x89, 0x8A]),
        st.binary(max_size=125),
        mask=masks,
        wide=st.just(False),
    ),
    st.just(frame(0x88, b"\x03\xe8bye", mask=b"abcd", wide=False)),
    st.just(frame(0x88, b"", mask=b"abcd", wide=False)),
    st.just(frame(0x81, b"x" * (MAX_SIZE + 1), mask=b"abcd", wide=False)),
    st.just(frame(0x81, b"x" * MAX_SIZE, mask=b"abcd", wide=False)),
    st.just(frame(0x89, b"y" * 126, mask=b"abcd", wide=False)),
    st.just(frame(0x81, b"\xff\xfe", mask=b"abcd", wide=False)),
    st.just(b"\x81\xff" + b"\xff" * 8),
)


@st.composite
def conversations(
    draw: st.DrawFn,
    kinds: st.SearchStrategy[bytes] = usual | usual | usual | unusual,
) -> tuple[list[bytes], list[bytes]]:
    """Frames, mostly usual, whole and cut into chunks anywhere."""
    frames = draw(st.lists(kinds, max_size=12))
    data = b"".join(frames)
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=8))
    edges = sorted({0, *cuts, len(data)})
    return frames, [data[a:b] for a, b in itertools.pairwise(edges)]


@settings(max_examples=300, deadline=None)
@given(conversations())
def test_the_same_bytes_have_the_same_outcome(
    conversation: tuple[list[bytes], list[bytes]],
) -> None:
    """The outcome is uvicorn's for whole frames.

    Where a bad frame comes in one chunk with good ones, uvicorn forgets the good ones
    and sometimes raises; what it has been handed by then is lost here too, but what
    was read before is not, and nothing raises.
    """
    frames, chunks = conversation

    async def outcomes() -> list[Any]:
        found = [
            await outcome(ChatWebSocketProtocol, chunks),
            await outcome(WebSocketsSansIOProtocol, frames),
        ]
        with contextlib.suppress(InvalidState):
            found.append(await outcome(WebSocketsSansIOProtocol, chunks))
        return found

    ours, by_frames, *by_chunks = asyncio.run(outcomes())
    if by_chunks == [by_frames]:
        assert ours == by_frames
    else:
        received = ours[0][:-1]
        assert received == by_frames[0][: len(received)]
        assert ours[0][-1]["type"] == "websocket.disconnect"


@settings(max_examples=200, deadline=None)
@given(conversations() | conversations(short), st.integers(1, 3))
def test_a_listener_hears_the_same_in_the_same_order(
    conversation: tuple[list[bytes], list[bytes]],
    each: int,
) -> None:
    """Whatever it takes, and however long the application is busy with the rest."""
    chunks = conversation[1]

    async def outcomes() -> list[Any]:
        return [
            await outcome(ChatWebSocketProtocol, chunks),
            await outcome(
                ChatWebSocketProtocol, chunks, lambda text: len(text) % each == 0
            ),
        ]

    queued, heard = asyncio.run(outcomes())
    assert heard == queued


async def test_reading_is_paused_only_for_what_is_not_taken() -> None:
    paused: list[str] = []

    class Watched(Transport):
        def pause_reading(self) -> None:
            paused.append(heard[-1])
            super().pause_reading()

    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        scope["extensions"][DIRECT_TEXTS](
            receive, lambda text: heard.append(text) is None and text != "no"
        )
        while (await receive())["type"] != "websocket.disconnect":
            pass

    config = Config(app, ws_ping_interval=None, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    protocol = ChatWebSocketProtocol(config, state, {})
    protocol.connection_made(Watched())
    protocol.data_received(REQUEST)
    for text in (b"yes", b"no", b"yes"):
        for _ in range(3):  # the application waits again
            await asyncio.sleep(0)
        protocol.data_received(frame(0x81, text, mask=b"abcd", wide=False))
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)

    assert heard == ["yes", "no", "yes"]
    assert paused == ["no"]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, MAX_SIZE])
@pytest.mark.parametrize("wide", [False, True])
async def test_texts_of_all_lengths_are_read(
    size: int,
    wide: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    data = frame(0x81, b"z" * size, mask=b"\x01\x02\x03\x04", wide=wide)

    got, written = await outcome(ChatWebSocketProtocol, [data, data[:3], data[3:]])

    assert [message["text"] for message in got[:-1]] == ["z" * size] * 2
    assert written == b""


async def test_too_large_a_text_closes_with_1009() -> None:
    data = frame(0x81, b"z" * (MAX_SIZE + 1), mask=b"abcd", wide=False)

    got, written = await outcome(ChatWebSocketProtocol, [data[:50], data[50:]])

    assert [message["type"] for message in got] == ["websocket.disconnect"]
    assert (1009).to_bytes(2, "big") in written


async def test_one_who_sends_many_at_once_is_read_in_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others get their turn meanwhile, and no more than one read is kept."""
    monkeypatch.setattr(websocket_protocol, "_clock", lambda: 0.0)  # no turn is slow
    heard: list[str] = []
    calls: list[str] = []

    class Watched(Transport):
        def pause_reading(self) -> None:
            super().pause_reading()
            calls.append("pause")

        def resume_reading(self) -> None:
            super().resume_reading()
            calls.append("resume")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        scope["extensions"][DIRECT_TEXTS](
            receive, lambda text: heard.append(text) is None
        )
        while (await receive())["type"] != "websocket.disconnect":
            pass

    config = Config(app, ws_ping_interval=None, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    protocol = ChatWebSocketProtocol(config, state, {})
    protocol.connection_made(Watched())
    protocol.data_received(REQUEST)
    for _ in range(3):  # the application waits
        await asyncio.sleep(0)
    texts = [f"{number}" for number in range(3 * MOST_AT_ONCE + 5)]
    chunk = b"".join(
        frame(0x81, text.encode(), mask=b"abcd", wide=False) for text in texts
    )
    turns = []
    protocol.data_received(chunk)
    while len(heard) < len(texts):
        turns.append(len(heard))
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)

    assert turns == [MOST_AT_ONCE, 2 * MOST_AT_ONCE, 3 * MOST_AT_ONCE]
    assert heard == texts
    assert calls == ["pause", "resume"]


async def test_what_is_not_taken_waits_as_it_came() -> None:
    """An application that is busy has one message waiting for it, not thousands."""
    data = frame(0x81, b"hi", mask=b"abcd", wide=False) * 1000
    go_on = asyncio.Event()
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        got.append(await receive())
        await go_on.wait()
        while got[-1]["type"] != "websocket.disconnect":
            got.append(await receive())

    config = Config(app, ws_ping_interval=None, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    protocol = ChatWebSocketProtocol(config, state, {})
    protocol.connection_made(Transport())
    protocol.data_received(REQUEST)
    for _ in range(3):
        await asyncio.sleep(0)
    protocol.data_received(data)
    for _ in range(10):
        await asyncio.sleep(0)
    waiting = len(protocol.queue._events)
    go_on.set()
    while len(got) < 1000:  # noqa: ASYNC110 - the application's loop, not ours
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)

    assert waiting == 1
    assert [each["type"] for each in got] == [
        *["websocket.receive"] * 1000,
        "websocket.disconnect",
    ]


async def test_who_sends_on_and_on_after_a_close_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was on its way is thrown away; a flood is not read, and soon cut off."""
    monkeypatch.setattr(websocket_protocol, "LINGER_SECONDS", 0.01)
    aborted = asyncio.Event()

    class Watched(Transport):
        def abort(self) -> None:
            aborted.set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000})

    config = Config(app, ws_ping_interval=None, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    protocol = ChatWebSocketProtocol(config, state, {})
    transport = Watched()
    protocol.connection_made(transport)
    protocol.data_received(REQUEST)
    await asyncio.gather(*state.tasks)
    chunk = frame(0x81, b"x" * 100, mask=b"abcd", wide=False) * 100
    read = []
    for _ in range(10):
        protocol.data_received(chunk)
        for _ in range(20):
            await asyncio.sleep(0)
        read.append(transport.reading.is_set())
    async with asyncio.timeout(30):
        await aborted.wait()
    protocol.connection_lost(None)

    # 64 KiB are six chunks of it.
    assert read == [*[True] * 6, *[False] * 4]
    assert transport.written.endswith(b"\x88\x02\x0f\xa0")
