"""WebSocket clients for load: many sockets, little work for each.

A benchmark's own client must not be what is measured. Frames are masked by hand,
and what comes back is counted by a mark in the bytes rather than parsed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable
from typing import Any


def masked(payload: bytes) -> bytes:
    """Return a client's text frame (RFC 6455, section 5.2) with a zero mask.

    A mask of zeros is as valid as any and costs the client nothing; the server
    unmasks as always.
    """
    size = len(payload)
    if size < 126:
        head = bytes((0x81, 0x80 | size))
    else:
        head = b"\x81\xfe" + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class Socket(asyncio.Protocol):
    """One WebSocket that counts marks in what it reads."""

    def __init__(self, mark: bytes, counted: Callable[[Socket, int], None]) -> None:
        self.mark = mark
        self.counted = counted
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport
        self.tail = b""
        self.lost: Exception | None = None

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Read the answer to the handshake, then count."""
        data = self.tail + data
        if not self.opened.done():
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                self.tail = data
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.opened.set_exception(ConnectionError(head.decode("latin-1")))
                return
            self.opened.set_result(None)
            data = rest
        count = data.count(self.mark)
        # A mark may be cut by the end of a read; one that was counted is not kept.
        keep = len(self.mark) - 1
        self.tail = data[-keep:] if keep and not data.endswith(self.mark) else b""
        if self.mark in self.tail:
            self.tail = b""
        if count:
            self.counted(self, count)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the handshake where it was not done."""
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("closed"))

    def send(self, message: dict[str, Any]) -> None:
        """Send one JSON message."""
        self.transport.write(masked(json.dumps(message).encode()))

    @classmethod
    async def open(
        cls,
        port: int,
        path: str,
        mark: bytes,
        counted: Callable[[Socket, int], None],
        subprotocol: str | None = None,
        source: str = "127.0.0.1",
    ) -> Socket:
        """Connect to 127.0.0.1 from an address of this machine, and shake hands."""
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_connection(
            lambda: cls(mark, counted),
            "127.0.0.1",
            port,
            local_addr=(source, 0),
        )
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
        socket.transport.write("\r\n".join([*lines, "", ""]).encode())
        await socket.opened
        return socket
