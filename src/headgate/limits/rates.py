"""Rates as people write them: `10/s`, `60/min:20`, `5/2s`, `1000/day`."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Rate"]

_UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "min": 60.0,
    "m": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}
_RATE = re.compile(r"(\d{1,9})/(\d{0,6})([a-z]+)(?::(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a period, and so many at once."""

    count: int
    period_seconds: float
    burst: int

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
        if unit not in _UNITS:
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
        return cls(number, times * _UNITS[unit], size)
