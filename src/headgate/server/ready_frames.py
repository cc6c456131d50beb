"""The way out through uvicorn's transport, past ASGI `send`.

The hub's frames are made once for a whole room, so they go to the transport as they
are, all that waits for a connection in one write; `send` would frame and write each
of them for each connection.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from headgate.live.outbox import Outbox

__all__ = ["ReadyFrameSink"]


class ReadyFrameSink:
    """Writes ready frames to a transport, as long as it takes them."""

    def __init__(self, protocol: WebSocketsSansIOProtocol) -> None:
        self._protocol = protocol
        self._outbox: Outbox | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def flush(self, outbox: Outbox) -> None:
        """Write all that waits, unless the client is not reading."""
        self._outbox = outbox
        protocol = self._protocol
        gone = protocol.disconnected or protocol.close_sent
        if gone or protocol.transport.is_closing():
            outbox.abandon()
            self._idle.set()
        elif protocol.writable.is_set():
            frames = outbox.take_all()
            if len(frames) == 1:
                protocol.transport.write(frames[0].ready)
            else:
                protocol.transport.write(b"".join([frame.ready for frame in frames]))
            outbox.took()
            self._idle.set()
        else:
            self._idle.clear()

    def resume(self) -> None:
        """Go on writing: the transport takes more, or the client is gone."""
        if self._outbox is not None and (self._outbox.frames or not self.idle):
            self.flush(self._outbox)

    @property
    def idle(self) -> bool:
        """Whether nothing waits for the transport."""
        return self._idle.is_set()

    async def drained(self) -> None:
        """Wait until the transport has all, or the client is gone."""
        await self._idle.wait()

    async def close(self) -> None:
        """Write nothing any more."""
        self._outbox = None
