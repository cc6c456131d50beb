"""The ladder for repeat offenders: refuse, then stop reading, then close.

A refusal costs the server nearly as much as what it refuses. Whoever goes on and on
is not read for a while, so that what they send waits on their side; and whoever goes
on after that is cut off.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum

from headgate.chat.conf import Conf

__all__ = ["STEPS", "Ladder", "Step"]

WINDOW_SECONDS = 10.0  # in which refusals count towards a pause
CALM_SECONDS = 60.0  # without a refusal, after which all is forgotten

# How often each step was taken in this process, by its name.
STEPS: Counter[str] = Counter()


class Step(Enum):
    """What a refusal leads to."""

    REFUSE = "refuse"
    PAUSE = "pause"
    CLOSE = "close"


class Ladder:
    """The refusals of one connection. Times are the event loop's, in seconds."""

    __slots__ = (
        "_before_close",
        "_before_pause",
        "_last_at",
        "_lately",
        "_pause_seconds",
        "_total",
        "paused_until",
    )

    def __init__(self, settings: Conf) -> None:
        self._before_pause = settings.REFUSALS_BEFORE_PAUSE
        self._before_close = settings.REFUSALS_BEFORE_CLOSE
        self._pause_seconds = settings.PAUSE_SECONDS
        self._lately: deque[float] = deque()  # refusals within the window
        self._total = 0
        self._last_at = 0.0
        self.paused_until = 0.0

    def refused(self, now: float) -> Step:
        """Count a refusal and return what it leads to."""
        if now - self._last_at > CALM_SECONDS + self._pause_seconds:
            self._total = 0
        self._last_at = now
        lately = self._lately
        while lately and lately[0] < now - WINDOW_SECONDS:
            lately.popleft()
        lately.append(now)
        self._total += 1
        step = Step.REFUSE
        if self._total > self._before_close:
            step = Step.CLOSE
        elif len(lately) > self._before_pause and self.paused_until <= now:
            step = Step.PAUSE
            self.paused_until = now + self._pause_seconds
            lately.clear()  # one begins anew when one is read again
        STEPS[step.value] += 1
        return step
