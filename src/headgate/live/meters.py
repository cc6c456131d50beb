"""What delivery counts about itself: plain numbers, for whoever shows them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from headgate.live.run import Said

__all__ = ["Meters"]


@dataclass(slots=True)
class Meters:
    """One node's counts since its start.

    Attributes:
        events: Events that came into rooms of this process.
        deliveries: Events that went to a connection, each counted for each.
        delivered_bytes: Their size, with the frames around them.
        passes: How often a room's watchers were gone through.
        tick_waits: Passes that were waited for.
        tick_wait_seconds: How long the first event of each waited for it, in all.
        tick_wait_longest_seconds: The longest of that.
        fell_behind: How often a connection could not take a room's events.
        gaps: Runs of events that were left out, and told.
        gap_events: The events in them.
        log_reads: Pages read from the log.
        stalled: Connections cut off because nothing went out for too long.
        silent: Connections cut off because their heartbeat was not heard any more.
        signals_dropped: Signals that were left out, by why.
    """

    events: int = 0
    deliveries: int = 0
    delivered_bytes: int = 0
    passes: int = 0
    tick_waits: int = 0
    tick_wait_seconds: float = 0.0
    tick_wait_longest_seconds: float = 0.0
    fell_behind: int = 0
    gaps: int = 0
    gap_events: int = 0
    log_reads: int = 0
    stalled: int = 0
    silent: int = 0
    signals_dropped: Counter[str] = field(default_factory=Counter)

    def delivered(self, said: Said, times: int) -> None:
        """Count that what was said went to so many connections."""
        self.deliveries += len(said.frames) * times
        self.delivered_bytes += said.size_bytes * times

    def waited(self, seconds: float) -> None:
        """Note how long a pass was waited for."""
        self.tick_waits += 1
        self.tick_wait_seconds += seconds
        if seconds > self.tick_wait_longest_seconds:  # noqa: PLR1730 - a call
            self.tick_wait_longest_seconds = seconds
