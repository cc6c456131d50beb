"""Who is refused, by which policy, and how often in the last minutes.

Kept in memory for whoever asks: the admin, `headgate limits --who`, metrics. Bounded:
of many keys those are kept that were refused last.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from headgate.limits.decision import Decision
from headgate.limits.owner import is_meant

__all__ = ["KEPT_MINUTES", "Refusals", "Refused"]

logger = logging.getLogger("headgate.limits")

KEPT_MINUTES = 10
MAX_KEYS = 1000
_MINUTE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Refused:
    """A key that was refused lately.

    `count` is of the last minutes, times are Unix times in seconds. With `dry_run`
    it would have been refused. `free_at` is when it is let pass again, None if never.
    """

    policy: str
    key: str
    count: int
    last_at: float
    free_at: float | None
    dry_run: bool

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return asdict(self)


@dataclass(slots=True)
class _Noted:
    """A key's last refusal, and how many there were by minute."""

    last: Decision
    last_at: float = 0.0
    by_minute: dict[int, int] = field(default_factory=dict)

    @property
    def free_at(self) -> float | None:
        # As if it were no dry run, which lets everything pass.
        wait_us = self.last.wait_us
        return None if wait_us is None else self.last_at + wait_us / 1_000_000


class Refusals:
    """Notes refusals, for all threads.

    Attributes:
        totals: Refusals by policy since the start; those on a dry run by
            `policy (dry run)`.
        changed: Called at the first refusal after each `report`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._noted: dict[tuple[str, str], _Noted] = {}
        self._told = True
        self._lock = threading.Lock()
        self.totals: Counter[str] = Counter()
        self.changed: Callable[[], None] | None = None

    def note(self, decision: Decision) -> None:
        """Note a decision that refuses, or would without the dry run."""
        policy = decision.policy
        now = self._clock()
        name = f"{policy.name} (dry run)" if policy.dry_run else policy.name
        place = (policy.name, decision.key)
        minute = int(now // _MINUTE_SECONDS)
        with self._lock:
            self.totals[name] += 1
            noted = self._noted.pop(place, None)
            if noted is None:
                if len(self._noted) >= MAX_KEYS:
                    del self._noted[next(iter(self._noted))]
                noted = _Noted(decision)
            self._noted[place] = noted  # at the end: refused last
            count = noted.by_minute.get(minute)
            if count is None:
                _forget(noted.by_minute, minute)
            noted.by_minute[minute] = (count or 0) + 1
            noted.last, noted.last_at = decision, now
            first, self._told = self._told, False
        if count is None:  # the first of this key in this minute
            level = logging.WARNING if policy.dry_run else logging.INFO
            what = "would_refuse" if policy.dry_run else "refused"
            logger.log(level, "%s policy=%s key=%s", what, policy.name, decision.key)
        if first and self.changed is not None:
            self.changed()

    def report(self) -> list[Refused]:
        """Return who was refused in the last minutes, the last one first."""
        first = int(self._clock() // _MINUTE_SECONDS) - KEPT_MINUTES
        found = []
        with self._lock:
            self._told = True
            for (policy, key), noted in reversed(self._noted.items()):
                count = sum(n for each, n in noted.by_minute.items() if each > first)
                if count:
                    found.append(
                        Refused(
                            policy,
                            key,
                            count,
                            noted.last_at,
                            noted.free_at,
                            noted.last.policy.dry_run,
                        ),
                    )
        return found

    def forget(self, key: str) -> None:
        """Forget a key, or all keys of a person, under all policies: see `is_meant`."""
        with self._lock:
            for place in [place for place in self._noted if is_meant(key, place[1])]:
                del self._noted[place]

    def renew(self) -> None:
        """Begin anew in a process that was forked off."""
        self._lock = threading.Lock()  # somebody may have held it
        self._noted = {}
        self._told = True
        self.totals = Counter()


def _forget(by_minute: dict[int, int], minute: int) -> None:
    """Drop the counts of minutes that are long over."""
    for each in [each for each in by_minute if each <= minute - KEPT_MINUTES]:
        del by_minute[each]
