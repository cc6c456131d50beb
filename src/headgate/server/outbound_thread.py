"""The worker of services beside the chat, in a thread with an event loop of its own.

Code of the project that is called there, and a service that is slow, never hold up the
loop on which people are served.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.outbound.worker import Worker

__all__ = ["OutboundThread", "loop_factory", "work"]

logger = logging.getLogger("headgate.outbound")

AGAIN_SECONDS = 5.0  # after the worker ended by a fault of ours
# Between two turns beside the chat: at 200 calls a second that halves the CPU time.
# With more, more is noted in one turn, which on SQLite whoever writes waits for.
REST_SECONDS = 0.01


async def work(
    made: Callable[[Worker], None], *, stop_seconds: float, rest_seconds: float = 0.0
) -> None:
    """Make the calls that are owed until the worker is told to stop.

    Args:
        made: Given the worker before it begins, on the running loop.
        stop_seconds: How long calls that are on their way may take then.
        rest_seconds: Between two turns of the worker.
    """
    from django.db import router

    from headgate.chat.engine import close_engine
    from headgate.outbound.models import Delivery
    from headgate.outbound.senders import make_senders
    from headgate.outbound.worker import Worker

    senders = make_senders()
    using = router.db_for_write(Delivery)
    worker = Worker(
        senders, using=using, stop_seconds=stop_seconds, rest_seconds=rest_seconds
    )
    made(worker)
    try:
        await worker.run()
    finally:
        for each in senders.values():
            await each.close()
        await close_engine()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes a worker's loop: uvloop's, where that is installed."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class OutboundThread:
    """A worker in a thread; all methods may be called from any other.

    Args:
        stop_seconds: How long calls that are on their way may take at the end.

    Attributes:
        worker: That makes calls now, or None.
    """

    def __init__(self, *, stop_seconds: float) -> None:
        self.worker: Worker | None = None
        self._stop_seconds = stop_seconds
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        # A daemon: what hangs in the project's code does not keep the process.
        self._thread = threading.Thread(
            target=self._run, name="headgate-outbound", daemon=True
        )

    def start(self) -> None:
        """Begin to make calls."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no more calls; what is on its way is finished."""
        with self._lock:
            self._stopping.set()
            worker = self.worker
        if worker is not None:
            worker.stop()

    def join(self, timeout_seconds: float) -> bool:
        """Wait until all has ended; return whether it has."""
        if self._thread.ident is None:
            return True  # it never began
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with asyncio.Runner(loop_factory=loop_factory()) as runner:
                    runner.run(
                        work(
                            self._made,
                            stop_seconds=self._stop_seconds,
                            rest_seconds=REST_SECONDS,
                        )
                    )
            # `SystemExit` of a task that a handler began comes out of the loop.
            except (Exception, SystemExit):
                logger.exception("outbound_worker_failed")
                self._stopping.wait(AGAIN_SECONDS)
            finally:
                self.worker = None

    def _made(self, worker: Worker) -> None:
        with self._lock:
            self.worker = worker
            stopping = self._stopping.is_set()
        if stopping:
            worker.stop()
