"""Rates as people write them: `10/s`, `60/min:20`, `5/2s`, `1000/day`."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Rate"]

_UNITS_US = {
    "ms": 1000,
    "s": 1_000_000,
    "sec": 1_000_000,
    "second": 1_000_000,
    "min": 60_000_000,
    "m": 60_000_000,
    "minute": 60_000_000,
    "h": 3_600_000_000,
    "hour": 3_600_000_000,
    "d": 86_400_000_000,
    "day": 86_400_000_000,
}
_SHOWN_US = ("day", "h", "min", "s", "ms")  # the longest first
_MOST = 999_999_999
_LONGEST_SECONDS = 1e10  # more than 300 years; `Policy` asks for less
_RATE = re.compile(r"(\d{1,9})/(\d{0,12})([a-z]+)(?::(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a period, and so many at once.

    `str()` of it is what `parse` reads.
    """

    count: int
    period_seconds: float
    burst: int

    def __post_init__(self) -> None:
        """Raise `ValueError` for what is no rate."""
        for what in (self.count, self.burst):
            if type(what) is not int or not 1 <= what <= _MOST:
                raise ValueError(f"{what!r} in a rate: a whole number from 1.")
        if not 0 < self.period_seconds < _LONGEST_SECONDS:
            raise ValueError(f"{self.period_seconds!r} s is no period of a rate.")
        if round(self.period_seconds * 1_000_000) < self.count:
            raise ValueError(
                f"{self.count} in {self.period_seconds} s is more than one in a "
                "microsecond, which is no limit.",
            )
        if round(self.period_seconds * 1_000_000) % 1000:
            raise ValueError(
                f"{self.period_seconds!r} s: a period has whole milliseconds.",
            )

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read `N/period` or `N/period:burst`; the burst is N where it is not given.

        Raises:
            ValueError: With what was meant, for anything else.
        """
        found = _RATE.fullmatch(text.strip().lower())
        if found is None:
            raise ValueError(
                f"{text!r} is no rate. Write a number, a slash and a period, "
                "such as 10/s, 60/min or 5/2s, and a burst after a colon: 60/min:20.",
            )
        count, factor, unit, burst = found.groups()
        if unit not in _UNITS_US:
            raise ValueError(
                f"{text!r} has the period {unit!r}. Periods are ms, s, min, h and day.",
            )
        number, times = int(count), int(factor or 1)
        size = number if burst is None else int(burst)
        if number == 0 or times == 0 or size == 0:
            raise ValueError(
                f"{text!r} lets nothing through. Numbers begin at 1; to switch a "
                "limit off, write off.",
            )
        return cls(number, times * _UNITS_US[unit] / 1_000_000, size)

    @property
    def interval_us(self) -> int:
        """The microseconds in which one is given back, rounded up.

        Rounded once and used for everything: with a rounding in each decision, a
        fresh key would not have its whole burst.
        """
        return -(-round(self.period_seconds * 1_000_000) // self.count)

    def __str__(self) -> str:
        period_us = round(self.period_seconds * 1_000_000)
        unit = next(unit for unit in _SHOWN_US if period_us % _UNITS_US[unit] == 0)
        times = period_us // _UNITS_US[unit]
        burst = "" if self.burst == self.count else f":{self.burst}"
        return f"{self.count}/{'' if times == 1 else times}{unit}{burst}"
