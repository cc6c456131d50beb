"""Threads for what is sync in handlers: none of them holds up another handler.

A sync function runs on one of the few threads of its handler. What an async one calls
by `sync_to_async`, as Django's ORM does, runs on a thread of that call alone: asgiref
would have one for the whole process, with a connection that nobody ever looks after.

Nothing can end a thread from outside. What hangs keeps the thread that it runs on; with
as many as a handler may have, it is called no more until one is free.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import Executor, Future, wait
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import connections

from headgate.chat.project_functions import ProjectFunction
from headgate.chat.project_threads import THREADS, ProjectThreads
from headgate.outbound.handler_errors import TryAgain

__all__ = ["HandlerThreads", "Hangs"]

logger = logging.getLogger("headgate.outbound")

AGAIN_SECONDS = 30.0  # until it is looked whether a thread is free
GRACE_SECONDS = 1.0  # for a call that was cancelled to leave its thread


class Hangs(TryAgain):
    """Earlier calls of the handler hang, and hold all of its threads."""

    def __init__(self) -> None:
        super().__init__(AGAIN_SECONDS)
        text = (
            f"{THREADS} earlier calls of it hang, and hold all of its threads: mend "
            "it, and start the worker anew."
        )
        self.args = (text,)


class HandlerThreads:
    """The threads of all handlers; used on one event loop."""

    def __init__(self) -> None:
        self._threads: dict[str, ProjectThreads] = {}
        self._lock = threading.Lock()
        self._hanging: Counter[str] = Counter()  # whose calls have ended without them
        self._left: dict[Future[None], str] = {}  # not looked at yet

    @asynccontextmanager
    async def calling(self, handler: str) -> AsyncIterator[None]:
        """Have what one call of a handler does by `sync_to_async` run on its thread.

        Raises:
            Hangs: Too many threads of the handler hang.
        """
        with self._lock:
            if self._hanging[handler] >= THREADS:
                raise Hangs
        context = ThreadSensitiveContext()
        async with context:
            try:
                yield
            finally:
                # Taken away from the context, which would wait for what hangs.
                used = SyncToAsync.context_to_thread_executor.pop(context, None)
                if used is not None:
                    self._leave(handler, used)

    async def run(self, handler: str, function: ProjectFunction, *args: Any) -> None:
        """Call a sync function on a thread of its handler."""
        threads = self._threads.setdefault(handler, ProjectThreads())
        ended: Future[None] = Future()

        def call() -> None:
            ended.set_running_or_notify_cancel()
            try:
                function.call(*args)
            finally:
                ended.set_result(None)

        try:
            await threads.run(call)
        except asyncio.CancelledError:
            if ended.running():
                self._look_later(handler, ended)
            raise

    async def close(self) -> None:
        """End the threads; those that hang are left, and told."""
        await asyncio.gather(*(each.close() for each in self._threads.values()))
        if self._left:
            await asyncio.to_thread(wait, tuple(self._left), GRACE_SECONDS)
        for ended in tuple(self._left):
            self._look(ended)

    def _leave(self, handler: str, used: Executor) -> None:
        """End a thread behind what it does, and close its connections."""
        ended = used.submit(connections.close_all)
        used.shutdown(wait=False)
        self._look_later(handler, ended)

    def _look_later(self, handler: str, ended: Future[None]) -> None:
        """Look in a moment whether a thread has come to its end."""
        self._left[ended] = handler
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._look, ended)

    def _look(self, ended: Future[None]) -> None:
        handler = self._left.pop(ended, None)
        if handler is None or ended.done():
            return
        with self._lock:
            self._hanging[handler] += 1
            held = self._hanging[handler]
        logger.warning(
            "handler_hangs handler=%s threads=%d of=%d", handler, held, THREADS
        )
        since = time.monotonic() - GRACE_SECONDS
        ended.add_done_callback(partial(self._ended_late, handler, since))

    def _ended_late(self, handler: str, since: float, _: Future[None]) -> None:
        with self._lock:
            self._hanging[handler] -= 1
        late = time.monotonic() - since
        logger.warning("handler_ended_late handler=%s late=%.0fs", handler, late)
