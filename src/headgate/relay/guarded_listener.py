"""A listener whose errors end nothing: they are logged, at most one a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

from headgate.relay.relay import Listener

__all__ = ["GuardedListener"]

logger = logging.getLogger("headgate.relay")

EVERY_SECONDS = 1.0


class GuardedListener:
    """Passes on what comes; see `Listener`."""

    def __init__(
        self, listener: Listener, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._received = listener.received
        self._doubtful = listener.doubtful
        self._clock = clock
        self._next_log = 0.0
        self._unsaid = 0

    def received(self, topic: str, payload: bytes) -> None:
        """Tell a hint."""
        try:
            self._received(topic, payload)
        except Exception as exc:  # noqa: BLE001 - the next hint is another
            self._failed(exc)

    def doubtful(self, topics: Collection[str]) -> None:
        """Tell that some of these topics may have been missed."""
        try:
            self._doubtful(topics)
        except Exception as exc:  # noqa: BLE001 - the same
            self._failed(exc)

    def _failed(self, exc: Exception) -> None:
        """Log the error; one that comes with every hint would fill the disk."""
        now = self._clock()
        if now < self._next_log:
            self._unsaid += 1
            return
        self._next_log = now + EVERY_SECONDS
        logger.error("relay_listener_failed unsaid=%d", self._unsaid, exc_info=exc)
        self._unsaid = 0
