"""Durations in few numbers: counts per bucket, each bucket 0.1 % wide."""

from __future__ import annotations

from math import ceil

__all__ = ["Histogram"]

_PRECISE_BITS = 11  # below 2,048 microseconds each has its own bucket


class Histogram:
    """Counts of durations. Memory does not grow with how many were counted.

    Percentiles are the upper edge of their bucket: never too low, at most 0.1 % too
    high. The maximum is exact.
    """

    __slots__ = ("_counts", "_max_us", "count")

    def __init__(self) -> None:
        self.count = 0
        self._counts: dict[int, int] = {}
        self._max_us = 0

    def add(self, seconds: float, times: int = 1) -> None:
        """Count a duration `times` times."""
        micros = max(0, int(seconds * 1e6))
        self._max_us = max(self._max_us, micros)
        shift = max(0, micros.bit_length() - _PRECISE_BITS)
        edge = ((micros >> shift) + 1 << shift) - 1
        self._counts[edge] = self._counts.get(edge, 0) + times
        self.count += times

    def percentile_ms(self, percent: float) -> float | None:
        """Return what `percent` of the durations do not exceed, in milliseconds."""
        if not self.count:
            return None
        wanted = ceil(self.count * percent / 100)
        edge = 0
        for edge in sorted(self._counts):
            wanted -= self._counts[edge]
            if wanted <= 0:
                break
        return min(edge, self._max_us) / 1000

    def summary(self) -> dict[str, float | None]:
        """Return p50, p95, p99 and max in milliseconds; None where nothing is."""
        shares = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
        return {name: self.percentile_ms(share) for name, share in shares.items()}
