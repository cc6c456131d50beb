"""A clock for what is promised in seconds, without what the machine stood still.

A test that times a server on a shared machine also times the machine: whoever is held
up for three seconds finds that everything took three seconds. So a thread beside the
test looks at the clock all the time. Where it is late itself, nobody got on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

__all__ = ["BUSY_SECONDS", "SteadyClock"]

BEAT_SECONDS = 0.02  # between two looks
# What is added to a promise of seconds where several tests share a core: servers come
# to their turn late then, while the clock's thread, which hardly computes, does not.
BUSY_SECONDS = 2.0
LATE_SECONDS = 0.1  # past which a look tells of a standstill, and not of a busy core


class SteadyClock:
    """Tells how long something took, less what the machine stood still meanwhile.

    It takes the times of `time.monotonic`, those of other processes too. A loop that is
    held up by its own code gains nothing: the thread goes on beside it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = clock()
        self._standstills: list[tuple[float, float]] = []  # from, to
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="steady clock")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def since(self, began: float) -> float:
        """Return the seconds that something has taken until now."""
        return self.between(began, self._clock())

    def between(self, began: float, ended: float) -> float:
        """Return the seconds that something took that is over."""
        self.look()
        lost = sum(
            max(0.0, min(to, ended) - max(since, began))
            for since, to in self._standstills
        )
        return ended - began - lost

    def look(self) -> None:
        """Note how late it is; the thread does, and whoever asks before it wakes up."""
        with self._lock:
            now = self._clock()
            if now - self._last > LATE_SECONDS:
                self._standstills.append((self._last, now))
            self._last = now

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            self.look()
