"""How late the event loop is: what one timer sees."""

from __future__ import annotations

import asyncio

from headgate.chat.histogram import Histogram

__all__ = ["LoopLag"]

LOOK_SECONDS = 0.25
BOUNDS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)


class LoopLag:
    """Notes by how much each call of a timer is late, as long as the loop runs.

    Attributes:
        seen: By how many seconds.
    """

    def __init__(self) -> None:
        self.seen = Histogram(BOUNDS_SECONDS)
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._wait()

    def _wait(self) -> None:
        self._due = self._loop.time() + LOOK_SECONDS
        self._loop.call_at(self._due, self._called)

    def _called(self) -> None:
        self.seen.add(max(self._loop.time() - self._due, 0.0))
        self._wait()
