"""An event loop on which waiting costs no time.

Its clock stands still while anything can be done, and jumps to the next timer where
an ordinary loop would wait for it. So ticks, holds, retries and paces are the real
ones, and a test of an hour ends at once; and one program has one course.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

__all__ = ["JumpingLoop", "StandstillError", "jumping_loop"]


MOST_TURNS = 3_000  # of the loop at one instant; what takes more goes round in circles


class StandstillError(RuntimeError):
    """Time will not go on: a test waits for what never comes, or something spins."""


class _Selector(selectors.DefaultSelector):
    """Looks at sockets, and lets the loop's time pass instead of waiting."""

    loop: JumpingLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        """Return what is ready; otherwise it is `timeout` seconds later at once."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise StandstillError("nothing is to be done, ever")
            self.loop.turned(max(timeout, 0.0))
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """Begins at the time 1000.0 s."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._turns = 0  # at this instant
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Return the time, in seconds."""
        return self._now

    def spend(self, seconds: float) -> None:
        """Let time pass, as work does that takes so long."""
        self._now += seconds

    def turned(self, seconds: float) -> None:
        """Let time pass after a turn of the loop; raises `StandstillError`."""
        self._turns = 0 if seconds else self._turns + 1
        if self._turns > MOST_TURNS:
            self._turns = 0
            raise StandstillError(f"{MOST_TURNS} turns of the loop at one instant")
        self._now += seconds


def jumping_loop() -> JumpingLoop:
    """Return the running loop, which is one of these."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    return loop
