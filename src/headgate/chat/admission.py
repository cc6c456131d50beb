"""Letting people in no faster than this process can: for storms of returns.

Whoever comes in costs the database some reads, whoever is in costs it little. So a few
are let in at once, the next wait in line, and when the line is longer than anybody
would wait for, the others are told when to come back. Those who are in do not notice.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["LONGEST_WAIT_SECONDS", "MOST_AT_ONCE", "Admission", "Crowded"]

MOST_AT_ONCE = 16  # more would only wait for the reader's threads
LONGEST_WAIT_SECONDS = 5.0  # in line; whoever would wait longer is to come back
_GUESS_SECONDS = 0.005  # between two who are let in, until that is known
_REMEMBERED = 64  # who left while others waited: how fast the line moves
_ENOUGH = 8  # of them to tell


class Crowded(Exception):  # noqa: N818 - a state of the world, not a fault
    """Too many are coming in; `retry_after_ms` says when to come back."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(f"come back in {retry_after_ms} ms")
        self.retry_after_ms = retry_after_ms


class Admission:
    """The door of one event loop. Used on that loop only.

    Attributes:
        admitted: How many were let in.
        sent_away: How many were told to come back.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._inside = 0
        self._line: deque[asyncio.Future[None]] = deque()
        # When somebody left, since there is a line.
        self._left_at: deque[float] = deque(maxlen=_REMEMBERED)
        self.admitted = 0
        self.sent_away = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn, and have it until the block ends; raises `Crowded`."""
        await self._enter()
        try:
            self.admitted += 1
            yield
        finally:
            self._leave()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    @property
    def wait_seconds(self) -> float:
        """For how long whoever comes now would stand in line."""
        known = len(self._left_at)
        each_seconds = _GUESS_SECONDS
        if known >= _ENOUGH:
            each_seconds = (self._loop.time() - self._left_at[0]) / known
        return len(self._line) * each_seconds

    async def _enter(self) -> None:
        if self._inside < MOST_AT_ONCE and not self._line:
            self._inside += 1
            return
        wait_seconds = self.wait_seconds
        if wait_seconds > LONGEST_WAIT_SECONDS:
            self.sent_away += 1
            # When the line is through, spread over as long again.
            raise Crowded(round(1000 * wait_seconds * random.uniform(1, 2)))  # noqa: S311
        turn = self._loop.create_future()
        self._line.append(turn)
        try:
            # Twice as long: a guess may be wrong, and the database away.
            async with asyncio.timeout(2 * LONGEST_WAIT_SECONDS):
                await self._wait(turn)
        except TimeoutError:
            self.sent_away += 1
            raise Crowded(round(1000 * LONGEST_WAIT_SECONDS)) from None

    async def _wait(self, turn: asyncio.Future[None]) -> None:
        """Stand in line until whoever leaves hands their place on."""
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # it was handed on to somebody who is gone
            elif turn in self._line:
                self._line.remove(turn)
            raise

    def _leave(self) -> None:
        if self._line:
            self._left_at.append(self._loop.time())
        else:
            self._left_at.clear()
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._inside -= 1
