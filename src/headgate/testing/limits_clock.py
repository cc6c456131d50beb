"""A clock for limits that a test moves."""

from __future__ import annotations

__all__ = ["LimitsClock"]


class LimitsClock:
    """The time that limits go by; called, it returns nanoseconds."""

    def __init__(self) -> None:
        self._now_ns = 10**12  # no limit's number is 0 at the beginning

    def __call__(self) -> int:
        """Return the time in nanoseconds."""
        return self._now_ns

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, for limits alone."""
        self._now_ns += round(seconds * 1_000_000_000)
