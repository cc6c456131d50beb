"""Whether the server is away, for all connections to it, and saying so once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from headgate.relay.redis.failures import reason

__all__ = ["Outage"]

logger = logging.getLogger("headgate.relay")


class Outage:
    """Away while one of the connections is.

    Attributes:
        reconnects: Connections that were made anew.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.reconnects = 0
        self._clock = clock
        self._away: set[str] = set()
        self._made: set[str] = set()
        self._since = 0.0

    @property
    def away(self) -> bool:
        """Whether one of the connections is lost."""
        return bool(self._away)

    def lost(self, name: str, exc: Exception) -> bool:
        """Note that a connection was lost, or could not be made.

        Return whether that is new.
        """
        if not self._away:
            self._since = self._clock()
            logger.warning("relay_away connection=%s error=%s", name, reason(exc))
        is_new = name not in self._away
        self._away.add(name)
        return is_new

    def made(self, name: str) -> None:
        """Note that a connection was made and works."""
        if name in self._made:
            self.reconnects += 1
        self._made.add(name)
        if name in self._away:
            self._away.remove(name)
            if not self._away:
                seconds = self._clock() - self._since
                logger.warning("relay_back after_seconds=%.1f", seconds)
