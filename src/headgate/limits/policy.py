"""A policy: a named rate, what it counts by, and what happens past it.

One object for HTTP requests, connections, commands, pushes and external calls. It is
immutable, so it can be shared by threads and made anew where a limit changes: what is
stored for a key fits every policy of that name.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from headgate.limits.rates import Rate

__all__ = ["Charge", "Past", "Policy", "StoreAway"]

Past = Literal["reject", "delay", "drop", "close"]
StoreAway = Literal["local", "open", "closed"]

MAX_COST = 1_000_000_000
# Microseconds since 1970 and twice this must stay below 2**53, where doubles, and so
# the numbers of a Redis script, are exact. They do until the year 2112.
MAX_SPAN_US = 1 << 51
DELAY_SECONDS = 10.0  # the longest wait of a policy that delays, if none is given

_is_name = re.compile(r"[a-z][a-z0-9_.-]{0,63}").fullmatch


@dataclass(frozen=True, slots=True, init=False)
class Policy:
    """So many in a period and so many at once, for each key.

    `interval_us` is the time in which one is given back, and `tolerance_us` how far
    ahead of the present a key may be: GCRA's T and its limit, in microseconds.
    """

    name: str
    rate: Rate
    burst: int
    key: str
    cost: int
    past: Past
    store_away: StoreAway
    dry_run: bool
    longest_wait_seconds: float
    interval_us: int = field(repr=False)
    tolerance_us: int = field(repr=False)
    increment_us: int = field(repr=False)
    ceiling_us: int = field(repr=False)

    def __init__(
        self,
        name: str,
        rate: Rate | str,
        burst: int | None = None,
        key: str = "user",
        cost: int = 1,
        *,
        past: Past = "reject",
        store_away: StoreAway = "local",
        dry_run: bool = False,
        longest_wait_seconds: float | None = None,
    ) -> None:
        """Make a policy.

        Args:
            name: Lower case letters, digits, `_`, `.` and `-`; at most 64.
            rate: A `Rate`, or a text such as `10/s`, `60/min:20` or `5/2s`.
            burst: How many may come at once; the rate's own if it is left out.
            key: What it counts by, in words for people: `user`, `user and room`.
            cost: What one costs where nothing else is said.
            past: What whoever asks does past the limit. The limiter only decides.
            store_away: What is decided while the store of the limits does not answer:
                by this process's share, in memory (`local`); all are let in (`open`);
                none is (`closed`).
            dry_run: Count and report what would be refused, and let it pass.
            longest_wait_seconds: How far ahead `reserve` may put somebody; 10 s for a
                policy that delays, none otherwise.

        Raises:
            ValueError: With what was meant.
        """
        if not _is_name(name):
            raise ValueError(
                f"{name!r} names no policy. A name begins with a lower case letter and "
                "has letters, digits, _ . and - after it; at most 64 in all.",
            )
        found = Rate.parse(rate) if isinstance(rate, str) else rate
        size = found.burst if burst is None else _whole("burst", burst, 1)
        if past not in get_args(Past):
            raise ValueError(f"past={past!r}: write one of {_words(Past)}.")
        if store_away not in get_args(StoreAway):
            raise ValueError(f"store_away={store_away!r}: one of {_words(StoreAway)}.")
        if longest_wait_seconds is None:
            longest_wait_seconds = DELAY_SECONDS if past == "delay" else 0.0
        if not 0 <= longest_wait_seconds < math.inf:
            raise ValueError("longest_wait_seconds is a time of 0 seconds or more.")
        interval = found.interval_us
        tolerance = size * interval
        ceiling = tolerance + round(longest_wait_seconds * 1_000_000)
        if ceiling > MAX_SPAN_US:
            raise ValueError(
                f"{name}: a burst of {size} at {found} takes more than 70 years to "
                "come back. Choose a smaller burst or a faster rate.",
            )
        for attribute, value in (
            ("name", name),
            ("rate", found),
            ("burst", size),
            ("key", key),
            ("cost", _whole("cost", cost, 0)),
            ("past", past),
            ("store_away", store_away),
            ("dry_run", dry_run),
            ("longest_wait_seconds", float(longest_wait_seconds)),
            ("interval_us", interval),
            ("tolerance_us", tolerance),
            ("increment_us", cost * interval),
            ("ceiling_us", ceiling),
        ):
            object.__setattr__(self, attribute, value)

    @property
    def per_second(self) -> float:
        """How many are given back in a second."""
        return 1_000_000 / self.interval_us

    def increment_of(self, cost: int | None) -> int:
        """Return what a cost adds to a key, in microseconds.

        Raises:
            ValueError: For what is no whole number from 0 to a billion.
        """
        if cost is None:
            return self.increment_us
        return _whole("cost", cost, 0) * self.interval_us

    def worst_case(self, period_seconds: float) -> int:
        """Return how many can pass in a period, at the most.

        More than the rate: a key that rested has its whole burst, and while it spends
        that the rate goes on giving back. For `60/min` that is 120 in the worst
        minute; for `60/min:20` it is 80.
        """
        return self.burst + math.floor(period_seconds * 1_000_000 / self.interval_us)


class Charge(NamedTuple):
    """What a decision is about: a policy, whose it is, and what it costs.

    `cost` is the policy's own where it is None. On Redis Cluster all keys of one
    decision must share a hash tag, the part in braces: `{u:5}` and `{u:5}:general`.
    """

    policy: Policy
    key: str
    cost: int | None = None


def _whole(what: str, value: int, least: int) -> int:
    if type(value) is not int or not least <= value <= MAX_COST:
        raise ValueError(f"{what}={value!r}: a whole number from {least} to a billion.")
    return value


def _words(kind: object) -> str:
    return ", ".join(get_args(kind))
