"""Things of which each event loop has its own, such as connections to Redis."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["PerLoop"]

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One thing for each event loop and key; for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[asyncio.AbstractEventLoop, dict[Hashable, T]] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the running loop's thing, made at its first use."""
        loop = asyncio.get_running_loop()
        mine = self._made.get(loop)
        if mine is None:
            with self._lock:
                # Loops that ended without `take_all`, such as those of async_to_sync.
                for each in [each for each in self._made if each.is_closed()]:
                    del self._made[each]
                mine = self._made[loop] = {}
        found = mine.get(key)
        if found is None:
            found = mine[key] = make()
        return found

    def take_all(self) -> list[T]:
        """Return all things of the running loop, and forget them."""
        with self._lock:
            return list(self._made.pop(asyncio.get_running_loop(), {}).values())
