"""A wire to a server that a test can cut: nothing goes through, as in a partition.

async with wire(url) as cable:
    ...  # connect to cable.url instead
    cable.cut()
    cable.mend()
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from tests.accepting import stop_accepting

__all__ = ["Wire", "wire"]


class Wire:
    """Passes TCP connections on until it is cut.

    Attributes:
        url: Where to connect.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._parts = parts
        self._whole = True
        self._open: set[asyncio.StreamWriter] = set()
        self.url = ""

    def listens(self, port: int) -> None:
        """Take the port by which it can be reached."""
        who = self._parts.netloc.rpartition("@")[0]
        self.url = self._parts._replace(netloc=f"{who}@127.0.0.1:{port}").geturl()

    def cut(self) -> None:
        """End what is open, and let nothing new through."""
        self._whole = False
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        """Let new connections through."""
        self._whole = True

    async def serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Pass one connection on."""
        if not self._whole:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self._host, self._port)
        self._open |= {writer, back}
        with contextlib.suppress(OSError):
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        self._open -= {writer, back}


async def _pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """Lay a wire to the server of a URL; it is gone afterwards."""
    cable = Wire(url)
    server = await asyncio.start_server(cable.serve, "127.0.0.1", 0)
    cable.listens(server.sockets[0].getsockname()[1])
    try:
        yield cable
    finally:
        cable.cut()
        await stop_accepting(server)
