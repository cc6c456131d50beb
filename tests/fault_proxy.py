"""A TCP proxy that knows WebSocket frames and commits one kind of fault or another.

It stands between a client and a server in tests that must notice what goes wrong:

    faults = Faults(drop=100, seed=7)
    async with FaultProxy("127.0.0.1", port, faults) as proxy:
        ...  # connect to proxy.port instead
    assert proxy.done["drop"] > 0

Each number means one in so many, at random; 0 is never. Pushes are what `is_push`
says. Extensions are taken out of the handshake, so that frames can be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Self

from tests.accepting import stop_accepting

__all__ = ["FaultProxy", "Faults", "is_message_push"]

TEXT, CLOSE = 0x1, 0x8
SWAP_WAITS_SECONDS = 0.2  # for a second push to change places with


def is_message_push(payload: bytes) -> bool:
    """Return whether a payload is a message of `headgate.v1`."""
    return payload.startswith(b'{"push":"message"')


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong, one time in so many.

    Attributes:
        drop: Pushes that do not arrive.
        double: Pushes that arrive twice.
        swap: Pushes that change places with the next one of their connection.
        alter: Pushes whose text has a letter changed.
        forge: `send` commands that the proxy answers itself, with a seq of its own
            making, and that never reach the server.
        cut: Pushes in whose place the connection ends, without a close.
        seed: The same seed, the same chances.
    """

    drop: int = 0
    double: int = 0
    swap: int = 0
    alter: int = 0
    forge: int = 0
    cut: int = 0
    seed: int = 0
    is_push: Callable[[bytes], bool] = is_message_push

    def one_in(self, number: int, fault: str) -> Faults:
        """Return the same with one fault, by name, one time in so many."""
        changed: dict[str, Any] = {fault: number}
        return replace(self, **changed)


class Frame:
    """One frame: its first byte, its payload in clear, and all its bytes."""

    __slots__ = ("first", "payload", "raw")

    def __init__(self, first: int, payload: bytes, raw: bytes) -> None:
        self.first = first
        self.payload = payload
        self.raw = raw

    @property
    def is_text(self) -> bool:
        return self.first == 0x80 | TEXT


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """Read one frame, masked or not."""
    raw = await reader.readexactly(2)
    first, size = raw[0], raw[1] & 0x7F
    masked = raw[1] & 0x80
    if size >= 126:
        wide = await reader.readexactly(2 if size == 126 else 8)
        size = int.from_bytes(wide, "big")
        raw += wide
    mask = await reader.readexactly(4) if masked else b""
    body = await reader.readexactly(size)
    payload = body
    if masked:
        payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))
    return Frame(first, payload, raw + mask + body)


def server_frame(payload: bytes) -> bytes:
    """Return a text frame as servers send it."""
    size = len(payload)
    if size < 126:
        header = bytes((0x81, size))
    elif size < 1 << 16:
        header = b"\x81\x7e" + size.to_bytes(2, "big")
    else:
        header = b"\x81\x7f" + size.to_bytes(8, "big")
    return header + payload


class FaultProxy:
    """Listens on a port of its own and passes connections on.

    Attributes:
        port: Where to connect.
        done: How often each fault was committed.
    """

    def __init__(self, host: str, port: int, faults: Faults) -> None:
        self.port = 0
        self.done: Counter[str] = Counter()
        self._upstream = (host, port)
        self._faults = faults
        self._chance = Random(faults.seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await stop_accepting(self._server)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _strikes(self, fault: str) -> bool:
        """Decide whether a fault happens now, and count it."""
        one_in: int = getattr(self._faults, fault)
        if one_in == 0 or self._chance.randrange(one_in):
            return False
        self.done[fault] += 1
        return True

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        pair = Pair(self, writer)
        try:
            upstream = await asyncio.open_connection(*self._upstream)
            await pair.run(reader, *upstream)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side of the pair ends as well
        finally:
            self._tasks.discard(task)
            pair.abort()


class Pair:
    """One connection through the proxy."""

    def __init__(self, proxy: FaultProxy, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._faults = proxy._faults
        self._client = client
        self._upstream: asyncio.StreamWriter | None = None
        self._held: Frame | None = None  # a push that waits to be swapped

    async def run(
        self,
        client: asyncio.StreamReader,
        server: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> None:
        """Pass on both ways until one side ends."""
        self._upstream = upstream
        head = await client.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        kept = [
            line
            for line in lines
            if not line.lower().startswith(b"sec-websocket-extensions")
        ]
        upstream.write(b"\r\n".join(kept))
        self._client.write(await server.readuntil(b"\r\n\r\n"))
        ways = [
            asyncio.ensure_future(self._to_client(server)),
            asyncio.ensure_future(self._to_server(client, upstream)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    def abort(self) -> None:
        """End both sides: what was written leaves first."""
        for writer in (self._client, self._upstream):
            if writer is not None:
                writer.close()

    async def _to_client(self, server: asyncio.StreamReader) -> None:
        while True:
            frame = await read_frame(server)
            if not (frame.is_text and self._faults.is_push(frame.payload)):
                self._client.write(frame.raw)
            elif self._strikes("cut"):
                self._client.transport.abort()
                return
            else:
                self._pass_push(frame)
            with contextlib.suppress(ConnectionError):
                await self._client.drain()

    def _strikes(self, fault: str) -> bool:
        return self._proxy._strikes(fault)

    def _pass_push(self, frame: Frame) -> None:
        """Pass a push on, or not, or twice, or after the next."""
        if self._held is not None:
            held, self._held = self._held, None
            self._client.write(frame.raw + held.raw)
            self._proxy.done["swap"] += 1
        elif self._strikes("drop"):
            pass
        elif self._strikes("double"):
            self._client.write(frame.raw + frame.raw)
        elif self._strikes("alter"):
            self._client.write(server_frame(altered(frame.payload)))
        elif self._strikes("swap"):
            self._proxy.done["swap"] -= 1  # counted when it is done
            self._held = frame
            loop = asyncio.get_running_loop()
            loop.call_later(SWAP_WAITS_SECONDS, self._release, frame)
        else:
            self._client.write(frame.raw)

    def _release(self, frame: Frame) -> None:
        """Let a push go that found nobody to change places with."""
        if self._held is frame:
            self._held = None
            self._client.write(frame.raw)

    async def _to_server(
        self, client: asyncio.StreamReader, upstream: asyncio.StreamWriter
    ) -> None:
        while True:
            frame = await read_frame(client)
            forged = self._forged(frame) if frame.is_text else None
            if forged is None:
                upstream.write(frame.raw)
                await upstream.drain()
            else:
                self._client.write(server_frame(forged))

    def _forged(self, frame: Frame) -> bytes | None:
        """Return an acknowledgement for a message that nobody will save."""
        if not self._faults.forge:
            return None
        try:
            command: Any = json.loads(frame.payload)
        except ValueError:
            return None
        if not isinstance(command, dict) or command.get("cmd") != "send":
            return None
        if not self._strikes("forge"):
            return None
        seq = 1_000_000 + self._proxy.done["forge"]
        saved = {"reply": command.get("id"), "seq": seq, "at": "2026-01-01T00:00:00Z"}
        return json.dumps(saved, separators=(",", ":")).encode()


def altered(payload: bytes) -> bytes:
    """Return a push whose text has one more letter."""
    push = json.loads(payload)
    push["text"] += "?"
    return json.dumps(push, separators=(",", ":"), ensure_ascii=False).encode()
