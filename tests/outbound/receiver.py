"""A receiver of webhooks that can be as nasty as any, and notes what it was sent.

`with Receiver() as receiver:` and call `receiver.url("200")`, or have one path answer
in turn: `receiver.answers("hook", "500", "hang", "200")`, of which the last stays.

What comes after the path's last slash, or was given to `answers`, is a mode:

    200, 410, 500, …   that status, with a short text
    200-big            a status with a gigabyte after it; 200-drip: with a drip
    200-crumbs         a text of 64 KiB in chunks of a byte
    100-ever           that the answer is still to come, again and again
    429?after=5        with Retry-After, once for each `after`; 503 likewise
    hang               no answer
    drip               an answer of which a byte comes each second
    reset, close       the connection is reset; is closed without an answer
    garbage            no HTTP
    redirect?to=URL    302, to itself where no URL is given
    bomb               a gzip of 64 MiB of zeros
    abort              400, and asks to be called no more with this
    slow?seconds=1     200 after that time
    last               200, and closes the connection; 200-close: without saying so
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.accepting import stop_accepting

__all__ = ["Received", "Receiver"]

GIGABYTE = 1 << 30
_PIECE = b"x" * 65_536
_CRUMBS = b"1\r\nx\r\n" * 65_536 + b"0\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n" * 1000
_BOMB = gzip.compress(bytes(64 << 20), 9)


@dataclass(frozen=True)
class Received:
    """One call as it came; `in_flight` counts those of its path, with itself."""

    at: float  # seconds since 1970
    path: str
    id: str
    headers: dict[str, str]
    body: bytes
    in_flight: int
    connection: int  # which connection it came by, from 0
    server_name: str | None  # what the client asked for by TLS


@dataclass
class Receiver:
    """A server on this machine, in a thread of its own.

    Attributes:
        tls: With a certificate, for https.
        host: Its address.
        port: Any that is free, where it is 0.
        received: What came, in its order.
        connections: How many connections were taken.
        open: How many of them are open.
        most_in_flight: At once, by path.
        sent_bytes: Of answers, by path: less than was meant where the caller hung up.
    """

    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_in_flight: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    sent_bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self._in_flight: dict[str, int] = defaultdict(int)
        self._answers: dict[str, list[str]] = {}
        self._changed = threading.Condition()
        self._names: dict[ssl.SSLObject, str | None] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        if self.tls is not None:
            self.tls.sni_callback = self._named
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def url(self, path: str, host: str | None = None) -> str:
        """Return the URL of a path."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{host or self.host}:{self.port}/{path.lstrip('/')}"

    def answers(self, path: str, *modes: str) -> str:
        """Have a path answer in these modes, one after the other; return its URL."""
        self._answers["/" + path.lstrip("/")] = list(modes)
        return self.url(path)

    def wait_for(
        self, count: int, *, seconds: float = 30, path: str | None = None
    ) -> list[Received]:
        """Return what came, once it is so many calls."""

        def those() -> list[Received]:
            return [each for each in self.received if path in {None, each.path}]

        with self._changed:
            came = self._changed.wait_for(lambda: len(those()) >= count, seconds)
            assert came, f"{len(those())} of {count} calls came in {seconds} s"
            return those()

    def wait_for_open(self, count: int, *, seconds: float = 30) -> None:
        """Wait until no more connections than that are open."""
        with self._changed:
            fell = self._changed.wait_for(lambda: self.open <= count, seconds)
            assert fell, f"{self.open} are still open"

    def _count_open(self, change: int) -> None:
        with self._changed:
            self.open += change
            self._changed.notify_all()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(
            self._accept,
            self.host,
            self.port,
            ssl=self.tls,
            limit=1 << 20,
            backlog=1000,
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        await stop_accepting(server)
        # Connections that are just being accepted get their task a moment later: one
        # whose accepting is cancelled would be closed by nobody.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(others, timeout=0.05)
        await asyncio.sleep(0.01)  # for transports to close

    def _named(self, sock: Any, name: str | None, _: ssl.SSLContext) -> None:
        self._names[sock] = name

    def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        number = self.connections
        self.connections += 1
        task = self._loop.create_task(self._connection(reader, writer, number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Not in the task: one that is cancelled before it began does nothing.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self._count_open(1)
        try:
            while await self._request(reader, writer, number):
                pass
        except (OSError, asyncio.IncompleteReadError):
            pass  # the caller hung up
        finally:
            self._count_open(-1)

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        _, target, _ = first.split(" ")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = urlsplit(target).path
        self._in_flight[path] += 1
        at_once = self._in_flight[path]
        self.most_in_flight[path] = max(self.most_in_flight[path], at_once)
        tls: Any = writer.get_extra_info("ssl_object")
        with self._changed:
            self.received.append(
                Received(
                    at=time.time(),
                    path=path,
                    id=headers.get("webhook-id", ""),
                    headers=headers,
                    body=body,
                    in_flight=at_once,
                    connection=number,
                    server_name=self._names.get(tls),
                ),
            )
            self._changed.notify_all()
        try:
            mode = self._mode(path, target)
            return await self._answer(mode, path, reader, writer)
        finally:
            self._in_flight[path] -= 1

    def _mode(self, path: str, target: str) -> str:
        modes = self._answers.get(path)
        if not modes:
            return target.rpartition("/")[2]
        return modes[0] if len(modes) == 1 else modes.pop(0)

    async def _answer(  # noqa: C901, PLR0912 - a case for each mode
        self,
        mode: str,
        path: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer, and return whether the connection goes on."""
        name, _, query = mode.partition("?")
        given = parse_qs(query, keep_blank_values=True)
        send = self._sender(path, writer)
        if name == "hang":
            await reader.read()  # until the caller hangs up
        elif name == "drip":
            for byte in _head(200, length=4) + b"done":
                await send(bytes([byte]))
                await asyncio.sleep(1)
        elif name == "200-drip":
            await send(_head(200, length=1000))
            while True:
                await send(b"x")
                await asyncio.sleep(1)
        elif name == "200-big":
            await send(_head(200, length=GIGABYTE))
            while self.sent_bytes[path] < GIGABYTE:
                await send(_PIECE)
        elif name == "200-crumbs":
            await send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await send(_CRUMBS)
        elif name == "100-ever":
            while self.sent_bytes[path] < GIGABYTE:
                await send(_CONTINUE)
        elif name == "reset":
            sock: socket.socket = writer.get_extra_info("socket")
            linger = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            return False
        elif name == "close":
            return False
        elif name == "garbage":
            await send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n" * 100)
            return False
        elif name == "redirect":
            to = given.get("to", [path])[0]
            await send(_head(302, f"Location: {to}", length=0))
        elif name == "bomb":
            await send(_head(200, "Content-Encoding: gzip", length=len(_BOMB)) + _BOMB)
        elif name == "abort":
            await send(_head(400, "webhook-delivery: abort-message", length=0))
        elif name == "200-close":
            await send(_head(200, length=0))
            return False
        elif name == "last":
            await send(_head(200, "Connection: close", length=0))
            return False
        else:
            if name == "slow":
                await asyncio.sleep(float(given["seconds"][0]))
                name = "200"
            after = [f"Retry-After: {value}" for value in given.get("after", ())]
            await send(_head(int(name), *after, length=4) + b"text")
        return True

    def _sender(
        self, path: str, writer: asyncio.StreamWriter
    ) -> Callable[[bytes], Any]:
        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()
            self.sent_bytes[path] += len(data)

        return send


def _head(status: int, *lines: str, length: int) -> bytes:
    said = [f"HTTP/1.1 {status} Whatever", *lines, f"Content-Length: {length}"]
    return "\r\n".join([*said, "", ""]).encode("latin-1")
