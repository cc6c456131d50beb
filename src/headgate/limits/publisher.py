"""Publishing whom this process refuses, and following resets, on a thread of its own.

The thread begins at the first refusal and rests while nobody is refused. While
somebody is, it looks once a second: it writes a report where that has changed, and
forgets the keys that somebody asked to have reset.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable

from headgate.limits.limiter import Limiter
from headgate.limits.memory import MemoryStore
from headgate.limits.refusals import Refused
from headgate.limits.reports import Report, Reports, ReportsUnusable

__all__ = ["Publisher"]

logger = logging.getLogger("headgate.limits")

EVERY_SECONDS = 1.0


class Publisher:
    """Publishes the refusals of a limiter, from its first one on.

    In a process that is forked off it begins anew, with refusals of its own.

    Args:
        limiter: Whose refusals they are, and where keys are forgotten.
        reports: Where to write, and where resets are asked for.
    """

    def __init__(
        self,
        limiter: Limiter,
        reports: Reports,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limiter = limiter
        self._reports = reports
        self._clock = clock
        self._begin()
        limiter.refusals.changed = self._changed
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_renewing(weakref.ref(self)))

    def _begin(self) -> None:
        self._since = self._clock()
        self._done: set[str] = set()  # resets
        self._written: list[Refused] = []
        self._failed = False
        self._closed = False
        self._wake = threading.Event()
        self._pause = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def renew(self) -> None:
        """Begin anew in a child: no thread came with it, and perhaps a held lock."""
        self._limiter.refusals.renew()
        self._begin()

    def close(self) -> None:
        """Stop; what was written stays."""
        self._closed = True
        self._pause.set()
        self._wake.set()

    def publish(self) -> bool:
        """Follow resets and write what has changed; return whether to look again."""
        self._follow()
        found = self._limiter.refusals.report()
        if found != self._written:
            host, process = socket.gethostname(), os.getpid()
            self._reports.write(Report(host, process, self._clock(), tuple(found)))
            self._written = found
        return bool(found)

    def _follow(self) -> None:
        """Forget the keys of resets that are new."""
        found = self._reports.resets(self._since)
        for reset in found:
            if reset.name not in self._done:
                store = self._limiter.store
                if isinstance(store, MemoryStore):  # Redis was reset itself
                    store.reset_all(reset.key)
                self._limiter.refusals.forget(reset.key)
        self._done = {reset.name for reset in found}

    # --- the thread ---

    def _changed(self) -> None:
        """Wake the thread; called where a decision was made, so nothing waits here."""
        self._wake.set()
        with self._lock:
            if self._thread is not None or self._closed:
                return
            self._thread = threading.Thread(
                target=self._run, name="headgate-refusals", daemon=True
            )
            # The interpreter may be ending: then nobody asks any more.
            with contextlib.suppress(RuntimeError):
                self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            self._wake.clear()
            if self._tried():
                self._pause.wait(EVERY_SECONDS)
            else:
                self._wake.wait()
        self._reports.close()

    def _tried(self) -> bool:
        """Publish; where that fails, say so once, and try again."""
        try:
            again = self.publish()
        except ReportsUnusable as exc:
            if not self._failed:
                logger.warning("limits_report_failed error=%r", str(exc))
            self._failed = True
            return True
        except Exception:
            if not self._failed:
                logger.exception("limits_report_failed")
            self._failed = True
            return True
        self._failed = False
        return again


def _renewing(publisher: weakref.ref[Publisher]) -> Callable[[], None]:
    """Return what a child calls; a publisher that is gone is not kept by it."""

    def renew() -> None:
        found = publisher()
        if found is not None:
            found.renew()

    return renew
