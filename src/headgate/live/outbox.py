"""A connection's bounded queue of what goes out."""

from __future__ import annotations

import asyncio
from collections import deque

from headgate.live.frames import Frame

__all__ = ["Outbox"]


class Outbox:
    """Frames that wait for the way out to take them.

    Replies and control always go in: their number is bounded by the commands that a
    connection may have in flight. Events go in only while `roomy`; a connection
    whose outbox is not is behind, and is fed from the log as it drains.
    """

    __slots__ = ("_room", "frames", "limit_bytes", "lost", "size_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.frames: deque[Frame] = deque()
        self.size_bytes = 0
        self.limit_bytes = limit_bytes
        # Whether the client is gone, so that nothing needs to wait any more.
        self.lost = False
        # Set when what waits fell to half of the limit after having been over it.
        self._room: asyncio.Event | None = None

    @property
    def roomy(self) -> bool:
        """Whether another event may go in."""
        return self.size_bytes < self.limit_bytes

    def put(self, frame: Frame) -> None:
        """Add a frame; whoever puts an event asks `roomy` first."""
        if not self.lost:
            self.frames.append(frame)
            self.size_bytes += frame.size

    def take(self) -> Frame:
        """Remove and return the frame that waited longest; the outbox is not empty."""
        frame = self.frames.popleft()
        self.size_bytes -= frame.size
        return frame

    def take_all(self) -> list[Frame]:
        """Remove and return all."""
        frames = list(self.frames)
        self.frames.clear()
        self.size_bytes = 0
        return frames

    def took(self) -> None:
        """Be told, by a sink that took frames, that there may be room again."""
        if self._room is not None and self.size_bytes * 2 <= self.limit_bytes:
            self._room.set()
            self._room = None

    def abandon(self) -> None:
        """Be told, by a sink whose client is gone, that nothing will be taken."""
        self.lost = True
        self.take_all()
        self.took()

    async def room_in(self) -> None:
        """Wait, if it is full, until it has drained to half of its limit."""
        if self.roomy:
            return
        if self._room is None:
            self._room = asyncio.Event()
        await self._room.wait()
