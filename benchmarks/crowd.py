"""Thousands of clients of one server in one thread, each of them cheap.

A load must not be what is measured, so there are no tasks and no parsed frames: one
epoll, one buffer, and a count of marks in what was read (`benchmarks.dialects`).
"""

from __future__ import annotations

import base64
import os
import re
import select
import socket
import time
from collections.abc import Callable

from benchmarks.dialects import DIGITS, MARK, Dialect
from benchmarks.sockets import masked

__all__ = ["Client", "Crowd"]

BUFFER_BYTES = 256 * 1024
EVENTS = 256  # of one poll, so that nobody waits long for a turn
OPEN_SECONDS = 120.0
CLIENTS_OF_AN_ADDRESS = 20_000  # of the 28,000 ports that a machine has by default
_BIND_ADDRESS_NO_PORT = (
    24  # IP_BIND_ADDRESS_NO_PORT of Linux; ports are told by both ends
)
_KEEP = len(MARK) - 1
_NUMBER = re.compile(re.escape(MARK) + rb"(\d{%d})" % DIGITS)
# A ping (RFC 6455, section 5.5.2) in front of or between other frames: they are not
# parsed, so 0x89 behind the byte that announces a long length is that length. What is
# taken for a ping and was none leads to a pong that nobody asked for, which is allowed.
_PING = re.compile(rb"(?<!\x7e)(?<!\x7e.)\x89([\x00-\x10])", re.DOTALL)


class Client:
    """One connection.

    Attributes:
        number: Its place in the order of opening.
        marks: How many messages it has seen, of those that it watches.
        joined: Whether it is in.
        began: When it began to connect, as `time.perf_counter` counts.
        opening: What it read up to the moment in which it was in.
        sampled: Whether the numbers of its messages are read.
    """

    __slots__ = (
        "began",
        "greeting",
        "joined",
        "marks",
        "number",
        "opening",
        "sampled",
        "shaken",
        "socket",
        "tail",
        "unsent",
        "watches",
    )

    def __init__(
        self, number: int, sock: socket.socket, greeting: bytes, *, watches: bool
    ) -> None:
        self.number = number
        self.socket = sock
        self.greeting = greeting
        self.watches = watches
        self.began = time.perf_counter()
        self.marks = 0
        self.joined = False
        self.sampled = False
        self.shaken = False
        self.opening = b""
        self.tail = b""
        self.unsent = bytearray()

    def send(self, data: bytes) -> None:
        """Send, or keep what the socket does not take for the next time."""
        self.unsent += data
        try:
            del self.unsent[: self.socket.send(self.unsent)]
        except BlockingIOError:
            return


class Crowd:
    """Clients of one server; `read` gives each of them its turn.

    Attributes:
        on_marks: Called with a watcher and how many messages it has just seen.
        on_numbers: Called with a sampled watcher and which messages it has just seen.
        on_joined: Called with a client that is in.
        on_lost: Called with a client whose connection ended; by default an error.
        on_turn: Called after each read, for what else the load has to do.
    """

    def __init__(self, port: int, dialect: Dialect) -> None:
        self.port = port
        self.dialect = dialect
        self.clients: dict[int, Client] = {}
        self.on_marks: Callable[[Client, int], None] = _no_marks
        self.on_numbers: Callable[[Client, list[int]], None] = _no_numbers
        self.on_joined: Callable[[Client], None] = _nothing
        self.on_lost: Callable[[Client], None] = _cut_off
        self.on_turn: Callable[[], None] = _no_turn
        self._poll = select.epoll()
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._opened = 0
        self._waiting: set[Client] = set()

    def begin(
        self,
        *,
        publisher: bool = False,
        greeting: bytes | None = None,
        receive_bytes: int | None = None,
    ) -> Client:
        """Connect one more client, whose handshake goes on in `read`.

        `greeting` stands for the dialect's own. `receive_bytes` is the size of the
        kernel's buffer of what the client did not read.
        """
        number, self._opened = self._opened, self._opened + 1
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        sock.bind((f"127.0.1.{1 + number // CLIENTS_OF_AN_ADDRESS}", 0))
        sock.connect(("127.0.0.1", self.port))
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        dialect = self.dialect
        path = dialect.publish if publisher else dialect.watch
        if greeting is None:
            greeting = dialect.greeting
        client = Client(number, sock, greeting, watches=not publisher)
        self.clients[sock.fileno()] = client
        self._waiting.add(client)
        self._poll.register(sock, select.EPOLLIN)
        if path:
            client.send(_handshake(self.port, path, dialect.subprotocol))
        else:
            client.shaken = True
            client.send(client.greeting)
        return client

    def open(
        self,
        count: int,
        *,
        at_once: int = 64,
        publisher: bool = False,
        receive_bytes: int | None = None,
    ) -> list[Client]:
        """Connect clients, so many at a time, and return them when all are in.

        Raises:
            TimeoutError: When that takes too long.
        """
        found: list[Client] = []
        until = time.monotonic() + OPEN_SECONDS
        while len(found) < count or self._waiting:
            while len(found) < count and len(self._waiting) < at_once:
                found.append(
                    self.begin(publisher=publisher, receive_bytes=receive_bytes)
                )
            self.read(1.0)
            if time.monotonic() > until:
                said = next(iter(self._waiting)).opening[-300:]
                raise TimeoutError(
                    f"{len(self._waiting)} clients are not in; one was told {said!r}"
                )
        return found

    def read(self, timeout_seconds: float) -> None:
        """Wait for something to read, at most so long, and read it."""
        buffer, view, clients = self._buffer, self._view, self.clients
        for fd, _ in self._poll.poll(max(0.0, timeout_seconds), EVENTS):
            client = clients[fd]
            size = self._receive(client)
            if not size:
                continue
            if client.tail or client.sampled or not client.joined:
                self._read_on(client, bytes(view[:size]))
                continue
            marks = buffer.count(MARK, 0, size)
            if buffer[size - 1] in MARK:
                client.tail = _tail(bytes(view[max(0, size - _KEEP) : size]))
            self._keep_alive(client, size)
            if marks and client.watches:
                client.marks += marks
                self.on_marks(client, marks)
        self.on_turn()

    def publishers(self, watchers: list[Client], count: int) -> list[Client]:
        """Return so many who can publish: watchers, or others where they cannot."""
        if not self.dialect.publish:
            return watchers[:count]
        return self.open(count, publisher=True)

    def rest(self, seconds: float) -> None:
        """Read whatever comes for so long."""
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            self.read(left)

    def stall(self, client: Client) -> None:
        """Read nothing of a client from now on; its connection stays open."""
        self._poll.unregister(client.socket)

    def drop(self, client: Client) -> None:
        """End a client's connection."""
        del self.clients[client.socket.fileno()]
        self._waiting.discard(client)
        client.socket.close()  # which takes it out of the epoll

    def close(self) -> None:
        """End all connections."""
        for client in list(self.clients.values()):
            self.drop(client)
        self._poll.close()

    def _receive(self, client: Client) -> int:
        """Read into the buffer; return how much, and 0 if that is all for now."""
        try:
            size = client.socket.recv_into(self._buffer)
        except BlockingIOError:
            return 0
        except ConnectionError:
            size = 0
        if not size:
            self.drop(client)
            self.on_lost(client)
        return size

    def _read_on(self, client: Client, data: bytes) -> None:
        """Read in the way that takes longer: whatever is not a mark, or cut in two."""
        if not client.joined:
            rest = self._let_in(client, data)
            if rest is None:
                return
            data = rest
        else:
            self._keep_alive(client, len(data))
        data = client.tail + data
        marks = data.count(MARK)
        if client.sampled:
            numbers = _NUMBER.findall(data)
            marks = len(numbers)
            at = data.rfind(MARK)
            cut = at >= 0 and len(data) - at < len(MARK) + DIGITS
            client.tail = data[at:] if cut else _tail(data[-_KEEP:])
            if numbers:
                self.on_numbers(client, list(map(int, numbers)))
        else:
            client.tail = _tail(data[-_KEEP:])
        if marks and client.watches:
            client.marks += marks
            self.on_marks(client, marks)

    def _let_in(self, client: Client, data: bytes) -> bytes | None:
        """Go on with getting in; return what came after that, or None if it is not."""
        client.opening += data
        if not client.shaken:
            head, end, rest = client.opening.partition(b"\r\n\r\n")
            if not end:
                return None
            if not head.startswith(b"HTTP/1.1 101"):
                self.drop(client)
                self.on_lost(client)
                return None
            client.shaken = True
            client.opening = rest
            if client.greeting:
                client.send(client.greeting)
        at = client.opening.find(self.dialect.ready)  # 0 where there is none
        if at < 0:
            return None
        client.joined = True
        self._waiting.discard(client)
        self.on_joined(client)
        if client.socket.fileno() < 0:  # dropped there
            return None
        return client.opening[at + len(self.dialect.ready) :]

    def _keep_alive(self, client: Client, size: int) -> None:
        """Answer the pings in what was just read into the buffer."""
        if self._buffer.find(0x89, 0, size) >= 0 and self.dialect.watch:
            _pong(client, bytes(self._view[:size]))
        alive = self.dialect.alive
        if alive is not None and self._buffer.find(alive[0], 0, size) >= 0:
            client.send(alive[1])


def _tail(end: bytes) -> bytes:
    for size in range(min(_KEEP, len(end)), 0, -1):
        if end.endswith(MARK[:size]):
            return MARK[:size]
    return b""


def _pong(client: Client, data: bytes) -> None:
    for ping in _PING.finditer(data):
        payload = data[ping.end() : ping.end() + ping[1][0]]
        frame = bytearray(masked(payload))
        frame[0] = 0x8A
        client.send(bytes(frame))


def _handshake(port: int, path: str, subprotocol: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *([f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _no_marks(_client: Client, _marks: int) -> None:
    return


def _no_numbers(_client: Client, _numbers: list[int]) -> None:
    return


def _nothing(_client: Client) -> None:
    return


def _no_turn() -> None:
    return


def _cut_off(client: Client) -> None:
    when = "" if client.joined else f" on its way in, told {client.opening[-300:]!r}"
    raise ConnectionError(f"client {client.number} was cut off{when}")
