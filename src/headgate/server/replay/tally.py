"""What was sent and what became of it, counted while the run goes on.

Only counting is done here; what it amounts to is decided by `settle` once the run is
over. A message is known by its row in the log.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from headgate.server.replay.histogram import Histogram

if TYPE_CHECKING:
    from headgate.server.replay.traffic import Traffic

__all__ = ["MAX_PROBLEMS", "Tally"]

MAX_PROBLEMS = 20  # told in words; all of them are counted


class Tally:
    """The counts of one run.

    Attributes:
        sent_at: Per row, when it was written to its socket; 0.0 until then.
        acked: The row of each acknowledged message and the seq that it got; 0 in a
            chat that has no seqs.
        failed: The row of each message that was refused for good, and the code.
        refused: Refusals, those that were retried included.
        delivered: Arrivals of this run's messages, once per watcher and message.
        progress: Grows with everything that happens; a stalled run is one in which
            it does not.
        quiet_until: The server asked for patience until then (monotonic).
        behind_seconds: The most that the load generator was late by its own fault.
        held_seconds: The longest that a message waited for its author's one before.
    """

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.sent_at = [0.0] * len(traffic)
        self.sent = 0
        self.acked: dict[int, int] = {}
        self.failed: dict[int, str] = {}
        self.refused = 0
        self.delivered = 0
        self.reconnects = 0
        self.progress = 0
        self.quiet_until = 0.0
        self.behind_seconds = 0.0
        self.held_seconds = 0.0
        self.latency = Histogram()
        self.acks = Histogram()
        self.problems: dict[str, int] = {}

    @property
    def answered(self) -> int:
        """How many messages need nothing more."""
        return len(self.acked) + len(self.failed)

    def wrote(self, row: int, *, again: bool) -> None:
        """Count a message as written.

        A message that is written again because the connection broke keeps its first
        time, as its author has been waiting since. One that was refused starts anew:
        a refusal changes nothing, and its pause was asked for.
        """
        if not self.sent_at[row]:
            self.sent += 1
        elif again:
            return
        self.sent_at[row] = monotonic()

    def acknowledge(self, row: int, seq: int) -> None:
        """Count an acknowledgement."""
        self.acked[row] = seq
        self.acks.add(monotonic() - self.sent_at[row])
        self.progress += 1

    def refuse(self, row: int, code: str, retry_seconds: float | None) -> None:
        """Count a refusal; without a time to retry at, it is final."""
        self.refused += 1
        self.progress += 1
        if retry_seconds is None:
            self.failed[row] = code
            self.problem(f"Messages were refused for good: {code}")
        else:
            self.quiet_until = max(self.quiet_until, monotonic() + retry_seconds)

    def arrived(self, row: int) -> None:
        """Count the arrival of one message at one watcher."""
        self.delivered += 1
        self.progress += 1
        if self.sent_at[row]:
            self.latency.add(monotonic() - self.sent_at[row])

    def problem(self, what: str) -> None:
        """Note something that a person should read."""
        if what in self.problems or len(self.problems) < MAX_PROBLEMS:
            self.problems[what] = self.problems.get(what, 0) + 1

    def told(self) -> list[str]:
        """Return the problems as lines, with how often each was met."""
        return [
            what if times == 1 else f"{what} ({times} times)"
            for what, times in self.problems.items()
        ]
