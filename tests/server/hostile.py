"""Clients that mean harm: bare sockets that send frames by the thousand.

They block, as the attacks are short, and they may be run from a thread.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Self

from websockets.frames import apply_mask  # type: ignore[attr-defined]

__all__ = [
    "CONTINUATION",
    "FIN",
    "PING",
    "PONG",
    "TEXT",
    "Hostile",
    "client_frame",
]

TEXT, CONTINUATION, PING, PONG, FIN = 0x1, 0x0, 0x9, 0xA, 0x80
LIMIT_SECONDS = 30.0
_MASK = bytes(4)  # as valid as any (RFC 6455, section 5.3)

_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n{more}\r\n"
)


def client_frame(first: int, payload: bytes = b"", mask: bytes = _MASK) -> bytes:
    """Return a masked frame, its length in as few bytes as it takes."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + mask + bytes(apply_mask(payload, mask))


class Hostile:
    """One WebSocket whose client does as it likes.

    Attributes:
        head: The answer to the handshake, as it came.
        socket: Its blocking socket.
    """

    def __init__(
        self,
        port: int,
        path: str = "/",
        *,
        more: str = "",
        receive_bytes: int | None = None,
    ) -> None:
        """Connect and shake hands.

        `more` are further header lines, each with its end; `receive_bytes` is the
        kernel's buffer for what the client does not read.
        """
        self.socket = socket.socket()
        self.socket.settimeout(LIMIT_SECONDS)
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(_REQUEST.format(path=path, port=port, more=more).encode())
        self.head = b""
        while b"\r\n\r\n" not in self.head:
            got = self.socket.recv(1)
            if not got:
                raise ConnectionError(self.head.decode())
            self.head += got
        if not self.head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(self.head.decode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send all of it, or raise after `LIMIT_SECONDS`."""
        self.socket.sendall(data)

    def push(self, data: bytes, *, most: int, stuck_seconds: float = 0.5) -> int:
        """Send it over and over without reading, and return how many bytes went.

        It ends at `most` bytes, or when the server took none for `stuck_seconds`, or
        has ended the connection.
        """
        sent, at, last = 0, 0, time.monotonic()
        self.socket.setblocking(False)
        try:
            while sent < most and time.monotonic() - last < stuck_seconds:
                try:
                    count = self.socket.send(memoryview(data)[at:])
                except BlockingIOError:
                    time.sleep(0.005)
                    continue
                except ConnectionError:
                    break
                sent, at, last = (
                    sent + count,
                    (at + count) % len(data),
                    time.monotonic(),
                )
        finally:
            self.socket.settimeout(LIMIT_SECONDS)
        return sent

    def read_exactly(self, count: int) -> bytes:
        """Read so many bytes."""
        data = bytearray()
        while len(data) < count:
            got = self.socket.recv(count - len(data))
            if not got:
                raise ConnectionError(f"closed after {bytes(data)!r}")
            data += got
        return bytes(data)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield opcodes and payloads until the server ends the connection."""
        with contextlib.suppress(ConnectionError):
            while True:
                first, size = self.read_exactly(2)
                if size == 126:
                    size = int.from_bytes(self.read_exactly(2), "big")
                elif size == 127:
                    size = int.from_bytes(self.read_exactly(8), "big")
                yield first & 0x0F, self.read_exactly(size)
