"""A connection's bounded queue of what goes out, in lanes by importance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from headgate.live.frames import Frame

__all__ = ["MOST_SIGNALS", "Outbox"]

MOST_SIGNALS = 64  # that wait for one connection; past it the oldest is left out


class Outbox:
    """Frames that wait for the way out to take them.

    Three lanes, of which an earlier one goes out first: `control` for replies and
    whatever is for this connection alone; `stream` for events, and for what must not
    overtake them; `signals`, of which only the latest of each key is kept.

    Control always goes in: there is no more of it than answers to the commands that a
    connection may have in flight, and who does not read these is not heard. Events go
    in as long as the way out says so; after that their connection is behind.
    """

    __slots__ = (
        "_room",
        "_when_roomy",
        "control",
        "limit_bytes",
        "lost",
        "signals",
        "size_bytes",
        "stream",
    )

    def __init__(self, limit_bytes: int) -> None:
        # Lists, since they are short or empty: an empty deque takes ten times as much.
        self.control: list[Frame] = []
        self.stream: list[Frame] = []
        self.signals: dict[object, Frame] = {}
        self.size_bytes = 0  # of all lanes
        self.limit_bytes = limit_bytes
        # Whether the client is gone, so that nothing needs to wait any more.
        self.lost = False
        # Told when what waits has fallen to half of the limit.
        self._room: asyncio.Event | None = None
        self._when_roomy: Callable[[], None] | None = None

    @property
    def roomy(self) -> bool:
        """Whether it is below its limit."""
        return self.size_bytes < self.limit_bytes

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self.size_bytes  # no frame is empty

    def put(self, frame: Frame) -> None:
        """Add what is for this connection alone."""
        if not self.lost:
            self.control.append(frame)
            self.size_bytes += frame.size

    def put_in_order(self, frames: Sequence[Frame], size_bytes: int) -> None:
        """Add events, or what must not overtake them."""
        if not self.lost:
            self.stream.extend(frames)
            self.size_bytes += size_bytes

    def put_signal(self, key: object, frame: Frame) -> bool:
        """Add a signal in place of an earlier one; False where another is left out."""
        if self.lost:
            return True
        earlier = self.signals.pop(key, None)
        whole = earlier is not None or len(self.signals) < MOST_SIGNALS
        if not whole:
            earlier = self.signals.pop(next(iter(self.signals)))
        self.signals[key] = frame
        self.size_bytes += frame.size - (0 if earlier is None else earlier.size)
        return whole

    def take(self) -> Frame:
        """Remove and return the frame whose turn it is; the outbox is not empty."""
        if self.control:
            frame = self.control.pop(0)
        elif self.stream:
            frame = self.stream.pop(0)
        else:
            frame = self.signals.pop(next(iter(self.signals)))
        self.size_bytes -= frame.size
        return frame

    def take_all(self) -> list[Frame]:
        """Remove and return all, in the order in which they go out."""
        frames, self.control = self.control, []
        if self.stream:
            frames += self.stream
            self.stream.clear()
        if self.signals:
            frames += self.signals.values()
            self.signals.clear()
        self.size_bytes = 0
        return frames

    def took(self) -> None:
        """Be told, by a sink that took frames, that there may be room again."""
        if self.size_bytes * 2 > self.limit_bytes:
            return
        if self._room is not None:
            self._room.set()
            self._room = None
        if self._when_roomy is not None:
            told, self._when_roomy = self._when_roomy, None
            told()

    def abandon(self) -> None:
        """Be told, by a sink whose client is gone, that nothing will be taken."""
        self.lost = True
        self.take_all()
        self.took()

    def when_roomy(self, told: Callable[[], None]) -> None:
        """Have a function called, once, when a sink has taken what waits, or most."""
        self._when_roomy = told

    async def room_in(self) -> None:
        """Wait, if it is full, until it has drained to half of its limit."""
        if self.roomy:
            return
        if self._room is None:
            self._room = asyncio.Event()
        await self._room.wait()
