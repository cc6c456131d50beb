"""Threads for the project's own functions, apart from those that read the log.

So a slow one of the project's holds up no reading. Each call is made once, and leaves
its connections to the database as a request does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import ParamSpec, TypeVar

from django.db import connections

from headgate.chat.django_thread import close_old_connections

__all__ = ["ProjectThreads"]

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 4
CLOSE_SECONDS = 2.0  # for what runs to end


class ProjectThreads:
    """Runs functions off the event loop; its threads start with the first."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    async def run(
        self,
        function: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Return what a function returns on one of the threads.

        What is cancelled before a thread was free for it is not run. A function that
        would end the process raises `RuntimeError`.
        """
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                THREADS, thread_name_prefix="headgate-project"
            )

        def call() -> R:
            close_old_connections()
            try:
                return function(*args, **kwargs)
            except SystemExit as exc:  # it would end the event loop, with everybody
                raise RuntimeError("it called sys.exit()") from exc
            finally:
                close_old_connections()

        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def close(self) -> None:
        """End the threads and close their connections; one that hangs is left."""
        if self._pool is None:
            return
        together = Barrier(THREADS)  # so that each thread runs it once

        def leave() -> None:
            with contextlib.suppress(BrokenBarrierError):
                together.wait(CLOSE_SECONDS)
            connections.close_all()

        loop = asyncio.get_running_loop()
        leaving = [loop.run_in_executor(self._pool, leave) for _ in range(THREADS)]
        await asyncio.wait(leaving, timeout=CLOSE_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)
