"""What one limit has left for us, as far as it can be told from here.

The server counts by GCRA: one number, the time at which all is given back. Here the
same number is kept so that it is never below the server's, as long as nobody else
draws on the limit: a command counts from its reply on, not from when it was sent, and
until the reply its place is taken all the same. Pure: the clock's time is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Bucket", "Rate"]

# What the server rounds away of `per_second`; an interval is rather too long.
_ROUNDED_PER_SECOND = 5e-7
_LEAST_PER_SECOND = 1e-9
_SLACK_SECONDS = 0.001  # clocks that do not run quite alike
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and one more after each interval."""

    burst: int
    interval_seconds: float
    per_second: float

    @classmethod
    def announced(cls, burst: int, per_second: float) -> Rate:
        """Return a rate as the wire tells it, with six digits after the point."""
        least = max(per_second - _ROUNDED_PER_SECOND, _LEAST_PER_SECOND)
        return cls(max(burst, 1), 1 / least, per_second)

    @classmethod
    def every(cls, interval_seconds: float) -> Rate:
        """Return the rate of one in so many seconds."""
        return cls(1, interval_seconds, 1 / interval_seconds)

    @property
    def span_seconds(self) -> float:
        """How long it takes until all is given back."""
        return self.burst * self.interval_seconds


class Bucket:
    """One limit of ours, in one room or in all.

    Attributes:
        rate: As the server told it last.
        in_flight: Commands that have gone out and have no reply.
    """

    __slots__ = ("_full_at", "in_flight", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.in_flight = 0
        self._full_at = -math.inf

    def is_full(self, now: float) -> bool:
        """Return whether nothing is missing, so that it need not be remembered."""
        return not self.in_flight and self._full_at <= now

    def wait_seconds(self, now: float, ahead: int = 0) -> float:
        """Return how long until one more may go, after so many that go `ahead`."""
        rate = self.rate
        after = self._taken_until(now) + (ahead + 1) * rate.interval_seconds
        wait = after - rate.span_seconds - now
        return wait if wait > _TINY else 0.0

    def remaining(self, now: float, ahead: int = 0) -> int:
        """Return how many may go now, after so many that go `ahead`."""
        if self.wait_seconds(now, ahead):
            return 0
        free_seconds = now + self.rate.span_seconds - self._taken_until(now)
        free_seconds += 2 * _SLACK_SECONDS  # being careful must not cost one of them
        return max(math.floor(free_seconds / self.rate.interval_seconds) - ahead, 1)

    def begin(self) -> None:
        """Take a place for a command that goes out."""
        self.in_flight += 1

    def counted(self, now: float) -> None:
        """Note that the server has counted it, at some moment up to now."""
        self.in_flight -= 1
        base = max(self._full_at, now + _SLACK_SECONDS)
        self._full_at = base + self.rate.interval_seconds

    def not_counted(self) -> None:
        """Give the place back: it was refused."""
        self.in_flight -= 1

    def learn(self, now: float, remaining: int, next_in_seconds: float | None) -> None:
        """Take the server's word for what is left, and for when there is one more."""
        rate = self.rate
        missing = rate.burst - min(max(remaining, 0), rate.burst)
        taken_seconds = missing * rate.interval_seconds
        if missing and next_in_seconds is not None:
            taken_seconds = (missing - 1) * rate.interval_seconds + next_in_seconds
        self._full_at = now + taken_seconds

    def change(self, rate: Rate, now: float) -> None:
        """Take another rate; nobody is further behind than that lets them be."""
        if rate != self.rate:
            self.rate = rate
            self._full_at = min(self._full_at, now + rate.span_seconds)

    def _taken_until(self, now: float) -> float:
        flying_seconds = self.in_flight * self.rate.interval_seconds
        return max(self._full_at, now) + flying_seconds
