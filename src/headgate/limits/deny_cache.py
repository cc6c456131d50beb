"""Refusals that need no question: a flooder costs the shared store nothing.

A key's number only grows, but for refunds and resets. So what the store said a moment
ago is enough to refuse by, and never to allow by.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from headgate.limits.decision import Decision
from headgate.limits.policy import Policy

__all__ = ["DenyCache"]

TRUSTED_SECONDS = 1.0  # then the store is asked: the key may have been reset
MAX_KEYS = 10_000


class DenyCache:
    """The numbers of keys that were refused, on this process's clock."""

    def __init__(self, *, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        # (policy, key): the number, and until when it is believed; in microseconds
        self._kept: dict[tuple[str, str], tuple[int, int]] = {}
        self._lock = threading.Lock()  # for changing it

    def put(self, refusal: Decision) -> None:
        """Remember what the store refused."""
        now = self._clock() // 1000
        tat = now + refusal.tat_us - refusal.now_us
        until = now + round(TRUSTED_SECONDS * 1_000_000)
        place = refusal.policy.name, refusal.key
        with self._lock:
            self._kept.pop(place, None)  # to stand at the end again
            if len(self._kept) >= MAX_KEYS:
                del self._kept[next(iter(self._kept))]  # the oldest
            self._kept[place] = tat, until

    def get(self, policy: Policy, key: str, increment_us: int) -> Decision | None:
        """Return a refusal if it is certain, else None."""
        kept = self._kept.get((policy.name, key))
        if kept is None or policy.dry_run:
            return None
        tat, until = kept
        now = self._clock() // 1000
        tat = min(tat, now + policy.ceiling_us)
        if now >= until or tat + increment_us - policy.tolerance_us <= now:
            self.forget(policy.name, key)
            return None
        return Decision(policy, key, False, increment_us, now, tat)

    def forget(self, policy: str, key: str) -> None:
        """Ask the store the next time."""
        with self._lock:
            self._kept.pop((policy, key), None)
