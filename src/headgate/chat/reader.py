"""Database reads off the event loop, on a few threads that keep their connections.

Not `sync_to_async`: its one thread for the whole process would make every read wait
behind every other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connections

from headgate.live.ports import LogUnavailable

__all__ = ["Reader"]

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 4


class Reader:
    """Runs functions that use the ORM, several at a time."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="headgate-reader")

    async def run(
        self,
        function: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Return what a function that reads returns on one of the threads.

        Raises:
            LogUnavailable: When the database is away. A connection that broke while
                it was idle is opened anew first, so the function may run twice.
        """
        asked = partial(function, *args, **kwargs)

        def call() -> R:
            try:
                return asked()
            except (OperationalError, InterfaceError):
                connections.close_all()  # this thread's own
            return _once(asked)

        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def run_once(
        self,
        function: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Return what a function that writes returns on one of the threads.

        Raises:
            LogUnavailable: When the database is away; it may have been written.
        """
        asked = partial(function, *args, **kwargs)

        def call() -> R:
            for each in connections.all(initialized_only=True):
                if each.connection is not None and not each.is_usable():
                    each.close()  # it broke while it was idle
            return _once(asked)

        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def close(self) -> None:
        """End the threads and close their connections."""
        together = Barrier(THREADS)  # so that each thread runs it once

        def leave() -> None:
            together.wait()
            connections.close_all()

        await asyncio.gather(*[self.run(leave) for _ in range(THREADS)])
        await asyncio.to_thread(self._pool.shutdown)


def _once(asked: Callable[[], R]) -> R:
    try:
        return asked()
    except (OperationalError, InterfaceError) as exc:
        connections.close_all()
        raise LogUnavailable(str(exc)) from exc
