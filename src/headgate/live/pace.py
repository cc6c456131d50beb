"""How much of a busy room somebody gets who wants, or may have, only so much of it.

What comes too fast for them waits for a moment, so that it can be chosen from: first
what is of high priority, then what is newest. The rest is left out in whole runs, and
each run is told as one gap, which can be fetched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from headgate.limits.rates import Rate
from headgate.protocol.pushes import Gap, LogEvent, Membership, Message

__all__ = ["WINDOW_EVENTS", "Pace", "chosen", "slower"]

# Of the events that wait, the last ones are chosen from. What is before them is left
# out without a look.
WINDOW_EVENTS = 256

_PRIORITIES = {"high": 2, "normal": 1, "low": 0}
_EXPIRED = -1


class Pace:
    """Counts the events that one watch may have: a bucket that fills with time.

    After a flood emptied it, it rests until half of the burst is there again; so gaps
    are few and long rather than one for each event.
    """

    __slots__ = ("_at", "_emptied", "_left", "rate", "timer")

    def __init__(self, rate: Rate, now: float, before: Pace | None = None) -> None:
        """Begin with the burst, or with what another pace has left of its own."""
        self.rate = rate
        self._left = float(rate.burst)
        self._at = now
        if before is not None:
            self._left = min(self._left, before.left(now))
        self._emptied = False
        # While it rests: at whose end it goes on.
        self.timer: asyncio.TimerHandle | None = None

    def left(self, now: float) -> float:
        """Return how many events may go out at once now."""
        passed = max(now - self._at, 0.0)
        self._at = now
        grown = self._left + passed * self.rate.count / self.rate.period_seconds
        self._left = min(grown, float(self.rate.burst))
        return self._left

    def allowed(self, waiting: int, now: float) -> int:
        """Return how many of so many events may go out now; 0: see `wait_seconds`."""
        whole = int(self.left(now) + 1e-6)
        if waiting <= whole:
            return waiting
        if self._emptied and whole < self._enough:
            return 0
        return whole

    @property
    def _enough(self) -> int:
        return max(self.rate.burst // 2, 1)

    def wait_seconds(self, now: float) -> float:
        """Return when there is enough again to choose from what waits."""
        wanted = self._enough - self.left(now)
        return max(wanted * self.rate.period_seconds / self.rate.count, 0.001)

    def end(self) -> None:
        """Stop: its watch has ended, or has another pace; a rest may be days long."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def took(self, count: int, *, all_of_it: bool) -> None:
        """Count what went out, and whether that was all that waited."""
        self._left -= count
        self._emptied = not all_of_it


def slower(first: Rate | None, second: Rate | None) -> Rate | None:
    """Return the slower of two rates; None is no limit."""
    if first is None or second is None:
        return first or second
    # The longer one takes per event, the slower.
    return min(first, second, key=lambda rate: rate.count / rate.period_seconds)


def chosen(
    events: Sequence[LogEvent], most: int, *, after: int, to: int, now: float
) -> list[LogEvent | Gap]:
    """Return the events to send, at most so many, with the gaps between them.

    Args:
        events: The last ones of a room, without a hole, up to `to`.
        most: How many may be sent.
        after: The seq that was reached before; `events` may begin later.
        to: The seq that is reached with what is returned.
        now: The Unix time in seconds, for what has expired.
    """
    ranked = sorted(
        (each for each in events if each.seq > after),
        key=lambda each: (_priority(each, now), each.seq),
        reverse=True,
    )
    picked = [each for each in ranked[:most] if _priority(each, now) != _EXPIRED]
    picked.sort(key=lambda each: each.seq)
    said: list[LogEvent | Gap] = []
    room = events[0].room if events else ""
    for each in picked:
        if each.seq > after + 1:
            said.append(Gap(room=room, from_=after + 1, to=each.seq - 1))
        said.append(each)
        after = each.seq
    if after < to:
        said.append(Gap(room=room, from_=after + 1, to=to))
    return said


def _priority(event: LogEvent, now: float) -> int:
    """Return how important an event is; below 0: it is of no use any more."""
    if isinstance(event, Message):
        expires_ms = event.expires_in_ms
        if expires_ms is not None:
            until = datetime.fromisoformat(event.at).timestamp() + expires_ms / 1000
            if until <= now:
                return _EXPIRED
        return _PRIORITIES[event.priority]
    if isinstance(event, Membership):
        return _PRIORITIES["high"]
    return _PRIORITIES["normal"]
