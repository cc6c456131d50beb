"""A clock that stands still until a test moves it."""

from __future__ import annotations

__all__ = ["Clock"]


class Clock:
    """Nanoseconds for a `MemoryStore`."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * 1_000_000_000)
