"""uvicorn's WebSocket protocol, with a faster way out and a faster way in.

Out: the hub's frames are made once for a whole room, so they go to the transport as
they are, all that waits for a connection in one write; plain ASGI `send` would
frame and write each of them for each connection. In: a whole text frame, which is
what chat consists of, is read here; all else goes to the parser of uvicorn's own
protocol, which keeps every rule of RFC 6455.

The consumer finds the way out in `scope["extensions"]`; on other servers it is not
there, and `send` is used.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from headgate.chat.consumer import READY_FRAMES
from headgate.live.outbox import Outbox

__all__ = ["ReadyFrameProtocol", "ReadyFrameSink"]


class ReadyFrameSink:
    """Writes ready frames to a transport, as long as it takes them."""

    def __init__(self, protocol: ReadyFrameProtocol) -> None:
        self._protocol = protocol
        self._outbox: Outbox | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def flush(self, outbox: Outbox) -> None:
        """Write all that waits, unless the client is not reading."""
        self._outbox = outbox
        protocol = self._protocol
        if protocol.disconnected or protocol.close_sent:
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


class ReadyFrameProtocol(WebSocketsSansIOProtocol):
    """uvicorn's sans-I/O protocol with a sink for ready frames."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sink: ReadyFrameSink | None = None

    def _make_sink(self) -> ReadyFrameSink:
        self._sink = ReadyFrameSink(self)
        return self._sink

    def handle_connect(self, event: Any) -> None:
        """Offer the sink to the application."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][READY_FRAMES] = self._make_sink

    def resume_writing(self) -> None:
        """Let the sink write again."""
        super().resume_writing()
        if self._sink is not None:
            self._sink.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let whoever waits for the sink go on."""
        super().connection_lost(exc)
        if self._sink is not None:
            self._sink.resume()
