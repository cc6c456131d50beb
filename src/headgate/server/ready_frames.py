"""The way out through uvicorn's transport, past ASGI `send`.

The hub's frames are made once for a whole room, so they go to the transport as they
are, all that waits for a connection in one write; `send` would frame and write each
of them for each connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from headgate.live.frames import text_frame
from headgate.live.outbox import Outbox
from headgate.live.run import RUN_MAX_BYTES

__all__ = ["ReadyFrameSink"]


_NO_LINGER = struct.pack("ii", 1, 0)  # on, for 0 s


def _next(outbox: Outbox) -> bytes:
    """Take frames for one write: no more than one that is not read may be large."""
    if outbox.size_bytes <= RUN_MAX_BYTES:
        return b"".join([text_frame(frame.payload) for frame in outbox.take_all()])
    frames, size = [], 0
    while size < RUN_MAX_BYTES and not outbox.empty:
        frame = outbox.take()
        frames.append(text_frame(frame.payload))
        size += frame.size
    return b"".join(frames)


class ReadyFrameSink:
    """Writes ready frames to a transport, as long as it takes them.

    The transport has a buffer of its own, which is bounded: past its high-water mark
    nothing is written.
    """

    def __init__(self, protocol: WebSocketsSansIOProtocol) -> None:
        self._protocol = protocol
        self._write = protocol.transport.write
        self._outbox: Outbox | None = None
        # Whether nothing waits for the transport, and who waits for that.
        self.idle = True
        self._drained: asyncio.Event | None = None

    @property
    def _gone(self) -> bool:
        protocol = self._protocol
        return (
            protocol.disconnected
            or protocol.close_sent
            or protocol.transport.is_closing()
        )

    def write(self, frames: bytes) -> bool:
        """Write frames, unless the client is not reading."""
        # Once for each delivery: every call and look-up here is felt.
        protocol = self._protocol
        if not protocol.writable.is_set():
            return False
        if not protocol.close_sent and not protocol.disconnected:
            self._write(frames)
        return True

    def takes(self, outbox: Outbox) -> bool:  # noqa: ARG002 - the interface's
        """Return whether the transport takes more."""
        return self._protocol.writable.is_set()

    def flush(self, outbox: Outbox) -> None:
        """Write what waits, as long as the client reads."""
        self._outbox = outbox
        if self._gone:
            outbox.abandon()
            self._is_idle()
            return
        writable = self._protocol.writable.is_set
        while outbox.size_bytes and writable():
            self._write(_next(outbox))
        if outbox.size_bytes:
            self.idle = False
            return
        self._is_idle()
        if writable():
            outbox.took()

    def resume(self) -> None:
        """Go on writing: the transport takes more, or the client is gone."""
        if self._outbox is not None:
            self.flush(self._outbox)

    def waiting(self) -> int:
        """Return the bytes in the transport's buffer."""
        return self._protocol.transport.get_write_buffer_size()

    def abort(self) -> None:
        """Reset the connection; what waits in the transport and the kernel is given up.

        Otherwise the kernel would go on offering what it has to a client that does not
        read, and the client would not learn that it was cut off.
        """
        transport = self._protocol.transport
        lying_under = transport.get_extra_info("socket")
        if lying_under is not None:
            # It may be closed already, which its connection is still to hear.
            with contextlib.suppress(OSError):
                lying_under.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()

    def _is_idle(self) -> None:
        self.idle = True
        if self._drained is not None:
            self._drained.set()
            self._drained = None

    async def drained(self) -> None:
        """Wait until the transport has all, or the client is gone."""
        if self.idle:
            return
        if self._drained is None:
            self._drained = asyncio.Event()
        await self._drained.wait()

    async def close(self) -> None:
        """Write nothing any more."""
        self._outbox = None
