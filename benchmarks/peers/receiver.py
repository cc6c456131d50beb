"""A fast receiver of webhooks: python -m benchmarks.peers.receiver PORT.

`GET /count` tells how many different ids have come, and how many came again. Any POST
is answered with 200 at once; only its `webhook-id` and its length are looked at.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

_id = re.compile(rb"\r\nwebhook-id: *([^\r]+)\r\n", re.IGNORECASE).search
_length = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE).search
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

seen: set[bytes] = set()
again = 0


class Receiver(asyncio.Protocol):
    """One connection; requests may follow each other."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[: end + 2]
            found = _length(head)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self.buffer) < size:
                return
            self.buffer = self.buffer[size:]
            self.answer(head)

    def answer(self, head: bytes) -> None:
        """Count a call, or tell what was counted."""
        global again  # noqa: PLW0603 - one process, one count
        if head.startswith(b"GET"):
            told = json.dumps({"calls": len(seen), "again": again}).encode()
            length = b"content-length: %d\r\n\r\n" % len(told)
            self.transport.write(b"HTTP/1.1 200 OK\r\n" + length + told)
            return
        found = _id(head)
        if found is not None:
            again += found[1] in seen
            seen.add(found[1])
        self.transport.write(_OK)


async def serve(port: int) -> None:
    """Receive until stopped."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
