"""What a handler raises to say what is to become of its call, and what others mean."""

from __future__ import annotations

import traceback
from math import isfinite

from headgate.chat.actions import NotSent
from headgate.live.ports import LogUnavailable
from headgate.outbound.calls import Outcome
from headgate.protocol.codes import Code

__all__ = ["GiveUp", "Skipped", "TryAgain", "outcome_of"]

MAX_ERROR = 300  # characters that are kept of an attempt
AWAY_SECONDS = 1.0  # to wait where the database was away
# Of a log that would take the same answer later; a mute may last for years.
_BUSY = frozenset({Code.OVERLOADED, Code.UNAVAILABLE, Code.INTERNAL})


class GiveUp(Exception):  # noqa: N818 - an answer, not a fault
    """No retry would help: the call is given up, with this text as its reason."""


class TryAgain(Exception):  # noqa: N818 - an answer, not a fault
    """The service is busy: nothing is called for so many seconds, then this again.

    It is no failed attempt, and holds for all that the same handler is owed.
    """

    def __init__(self, seconds: float) -> None:
        """Raise `ValueError` for what is no time to wait."""
        if not (isfinite(seconds) and seconds > 0):
            raise ValueError(f"{seconds!r}: how many seconds to wait, more than 0.")
        super().__init__(f"busy for {seconds:g} s")
        self.seconds = seconds


class Skipped(Exception):  # noqa: N818 - an answer, not a fault
    """It was not for this handler, which was not called; the text says why."""


def outcome_of(exc: BaseException) -> Outcome:
    """Return what a call comes to that ended with an exception.

    What the exception says is left out where it may hold what people have written.
    """
    if isinstance(exc, GiveUp):
        return Outcome(result="refused", error=str(exc)[:MAX_ERROR])
    if isinstance(exc, Skipped):
        return Outcome(result="skipped", error=str(exc))
    if isinstance(exc, TryAgain):
        return Outcome(
            result="throttled", error=str(exc), retry_after_seconds=exc.seconds
        )
    if isinstance(exc, LogUnavailable):
        text = "The database was away."
        return Outcome(result="throttled", error=text, retry_after_seconds=AWAY_SECONDS)
    if isinstance(exc, NotSent):
        return _not_sent(exc)
    return Outcome(result="failed", error=_where(exc)[:MAX_ERROR])


def _not_sent(exc: NotSent) -> Outcome:
    """Return what it comes to that the log did not take an answer."""
    error = f"The answer was not taken: {exc.code}."
    if exc.code not in _BUSY:
        return Outcome(result="refused", error=error)
    wait_seconds = (
        AWAY_SECONDS if exc.retry_after_ms is None else exc.retry_after_ms / 1000
    )
    return Outcome(result="throttled", error=error, retry_after_seconds=wait_seconds)


def _where(exc: BaseException) -> str:
    """Return an exception's kind, and the line of the project that raised it."""
    frames = traceback.extract_tb(exc.__traceback__)
    kind = type(exc).__qualname__
    if not frames:
        return f"{kind}."
    last = frames[-1]
    return f"{kind} in {last.name}, {last.filename.rpartition('/')[2]}:{last.lineno}."
