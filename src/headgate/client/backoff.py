"""How long to wait before connecting again.

Capped first, then full jitter: every wait is random between nothing and the
ceiling, also when the ceiling has reached its cap, so that a crowd that was cut
off together does not come back together. The ceiling starts over only after a
connection has held for a while: one that is accepted and dropped at once is no
success.
"""

from __future__ import annotations

import random as random_module
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """The waits of one client.

    Args:
        min_seconds: The ceiling of the first wait; it doubles with each try.
        cap_seconds: Where the ceiling stops growing.
        stable_seconds: How long a connection must hold to start over.
        random: Gives numbers in [0, 1).
        clock: Gives seconds that never run backwards.
    """

    def __init__(
        self,
        *,
        min_seconds: float = 0.5,
        cap_seconds: float = 20.0,
        stable_seconds: float = 10.0,
        random: Callable[[], float] = random_module.random,  # noqa: S311 - no secret
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < min_seconds <= cap_seconds:
            raise ValueError("0 < min_seconds <= cap_seconds must hold")
        self._min_seconds = min_seconds
        self._cap_seconds = cap_seconds
        self._stable_seconds = stable_seconds
        self._random = random
        self._clock = clock
        self._ceiling_seconds = min_seconds
        self._opened_at: float | None = None

    def opened(self) -> None:
        """Note that a connection was made; it counts once it has held."""
        self._opened_at = self._clock()

    def next_delay(self, at_least: float = 0.0) -> float:
        """Return the seconds to wait before the next try.

        `at_least` is what the server asked for. Jitter comes on top of it: a server
        that tells everybody the same must not be met by everybody at once.
        """
        if self._opened_at is not None:
            if self._clock() - self._opened_at >= self._stable_seconds:
                self._ceiling_seconds = self._min_seconds
            self._opened_at = None
        ceiling = self._ceiling_seconds
        self._ceiling_seconds = min(self._cap_seconds, ceiling * 2)
        return at_least + self._random() * ceiling
