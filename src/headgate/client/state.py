"""What the client is doing about its connection, and who is told of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["State", "States", "Status"]


class Status(StrEnum):
    """The four things that a client may be doing."""

    CONNECTING = "connecting"
    ONLINE = "online"
    WAITING = "waiting"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class State:
    """A status and what belongs to it.

    `next_try_at` is set while waiting, on the client's clock (`time.monotonic`);
    `reason` says why there is no connection.
    """

    status: Status
    next_try_at: float | None = None
    reason: str | None = None


class States:
    """The state, from one to the next.

    Args:
        on_state: Called with each new one; must not raise.

    Attributes:
        now: The present one.
    """

    def __init__(self, on_state: Callable[[State], None] | None) -> None:
        self.now = State(Status.CONNECTING)
        self._on_state = on_state
        self._moved = asyncio.Event()  # set once: each state has its own

    def move(self, state: State) -> None:
        """Go over to another state."""
        self.now = state
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        if self._on_state is not None:
            self._on_state(state)

    async def each(self) -> AsyncIterator[State]:
        """Yield the present state and those that follow, up to the closed one.

        Whoever is slow misses what has passed, and always gets the latest.
        """
        while True:
            state = self.now
            yield state
            if state.status is Status.CLOSED:
                return
            while self.now == state:
                await self._moved.wait()
