"""What the application has not read yet: a bounded queue with an end.

Nothing is dropped here. Who wants to put something in waits for space first; that
is what stops the reading of the socket while the application is busy.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inbox"]

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue of `limit` items.

    `put` never refuses, so that a putter that has waited for space cannot fail;
    the few notices that do not wait are bounded by their own number.
    """

    def __init__(self, limit: int = 10_000) -> None:
        if limit < 1:
            raise ValueError("limit must be positive")
        self.limit = limit
        self._items: deque[T] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether putting something in must wait."""
        return len(self._items) >= self.limit

    async def space(self, hurry: Callable[[], bool] | None = None) -> bool:
        """Wait until there is space, and return whether there is.

        `hurry` ends the wait early; who makes it true calls `stir`.
        """
        while self.is_full and not (hurry is not None and hurry()):
            await self._change()
        return not self.is_full

    def stir(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()

    def put(self, item: T) -> None:
        """Add an item."""
        self._items.append(item)
        self.stir()

    async def get(self) -> T:
        """Return the next item, waiting for it.

        After the end and the last item, raises the error given to `end`, every time,
        or StopAsyncIteration.
        """
        while not self._items:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            await self._change()
        item = self._items.popleft()
        self.stir()
        return item

    def end(self, error: BaseException | None = None) -> None:
        """Let the readers come to an end; what was put in before is still read."""
        if not self._ended:
            self._ended = True
            self._error = error
            self.stir()

    async def _change(self) -> None:
        # Clearing for one waiter does no harm to another: `set` has woken all who
        # waited, and each looks again for itself.
        self._changed.clear()
        await self._changed.wait()
