"""The breaker before a store: who finds it away does not wait for it again and again.

Closed, everybody asks. After a few failures in a row it is open: nobody asks for a
while, then one does, and by their answer it closes or stays open for longer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Breaker"]

FAILURES = 3  # in a row: one may be an accident
FIRST_SECONDS = 1.0  # open, before somebody tries
LONGEST_SECONDS = 8.0  # after more and more trials
TRIAL_SECONDS = 2.0  # after which a trial that told nothing is given up


class Breaker:
    """Says who may ask; for all threads.

    Args:
        changed: Called with True when it opens and with False when it closes.
        clock: The time in seconds, which only goes forward.
    """

    def __init__(
        self,
        changed: Callable[[bool], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changed = changed
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._open_seconds = 0.0  # 0 while it is closed
        self._next_trial = 0.0
        self._trying = False

    @property
    def is_open(self) -> bool:
        """Whether the store is taken to be away."""
        return self._open_seconds > 0

    @property
    def opens_for_seconds(self) -> float:
        """How long until somebody may try; at least a moment."""
        return max(self._next_trial - self._clock(), 0.001)

    def may_ask(self) -> bool:
        """Return whether to ask: always, or when it is one's turn to try."""
        if not self._open_seconds:
            return True
        with self._lock:
            now = self._clock()
            if now < self._next_trial:
                return False
            self._next_trial = now + TRIAL_SECONDS
            self._trying = True
            return True

    def worked(self) -> None:
        """Note an answer."""
        if not self._failures and not self._open_seconds:
            return
        with self._lock:
            was_open = self._open_seconds > 0
            self._failures = 0
            self._open_seconds = 0.0
            self._trying = False
        if was_open:
            self._changed(False)

    def failed(self) -> None:
        """Note that there was no answer.

        While it is open, only that of the trial counts: many had asked before, and
        their failures tell nothing new.
        """
        with self._lock:
            self._failures += 1
            was_open = self._open_seconds > 0
            if not (self._trying if was_open else self._failures >= FAILURES):
                return
            self._trying = False
            longer = self._open_seconds * 2 if was_open else FIRST_SECONDS
            self._open_seconds = min(longer, LONGEST_SECONDS)
            self._next_trial = self._clock() + self._open_seconds
        if not was_open:
            self._changed(True)
