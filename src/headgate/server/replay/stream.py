"""The bytes that every watcher of a room gets, kept once.

Whoever reads them first has them cut and judged. For everybody after that, what the
network brings is compared with what is known, whatever pieces it comes in: one
comparison of memory instead of one step per message. Only a watcher whose bytes
differ is read message by message.
"""

from __future__ import annotations

from bisect import bisect_right
from time import monotonic
from typing import TYPE_CHECKING

from headgate.server.replay.frames import server_header
from headgate.server.replay.judge import OTHER

if TYPE_CHECKING:
    from headgate.server.replay.judge import Event, Judge
    from headgate.server.replay.tally import Tally

__all__ = ["Arrivals", "Stream"]

_QUANTUM_SECONDS = 0.0005


class Stream:
    """A room's events from `first` on, as frames in one row of bytes.

    Attributes:
        data: The bytes; only ever appended to.
        first: The seq with which they begin.
        ends: Where each event's frame ends in `data`; a 0 stands before the first.
        rows: The row of each event.
    """

    def __init__(self, first: int, judge: Judge) -> None:
        self.data = bytearray()
        self.first = first
        self.ends = [0]
        self.rows: list[int] = []
        self._judge = judge

    def extend(self, event: Event, payload: bytes) -> None:
        """Add an event if it is the next one and nobody saw another in its place."""
        if (
            event.seq == self.first + len(self.rows)
            and self._judge.row_at.get(event.seq) == event.row
        ):
            self.data += server_header(len(payload))
            self.data += payload
            self.ends.append(len(self.data))
            self.rows.append(event.row)

    def enter(self, expected: int, rest: bytes) -> int:
        """Return where a watcher stands that waits for `expected`, or -1.

        `rest` is what it already has of that frame.
        """
        place = expected - self.first
        if not 0 <= place < len(self.ends):
            return -1
        start = self.ends[place]
        return start + len(rest) if self.data.startswith(rest, start) else -1

    def leave(self, at: int) -> tuple[int, bytes]:
        """Return the seq that a watcher waits for, and what it has of it."""
        place = bisect_right(self.ends, at) - 1
        return self.first + place, bytes(self.data[self.ends[place] : at])

    def expected(self, at: int) -> int:
        """Return the seq that a watcher waits for."""
        return self.first + bisect_right(self.ends, at) - 1


class Arrivals:
    """Counts arrivals in steps of half a millisecond.

    Watchers that read the same bytes in the same step are counted together, with the
    time of the last of them: no latency is told too low, none by more than the step
    too high.
    """

    def __init__(self, stream: Stream, tally: Tally) -> None:
        self._stream = stream
        self._tally = tally
        self._spans: dict[tuple[int, int], int] = {}
        self._since = 0.0
        self._last = 0.0

    def note(self, start: int, end: int) -> None:
        """Count that one watcher read this span of the stream."""
        now = monotonic()
        if now - self._since > _QUANTUM_SECONDS:
            self.flush()
            self._since = now
        self._last = now
        span = (start, end)
        self._spans[span] = self._spans.get(span, 0) + 1

    def flush(self) -> None:
        """Bring what was counted into the tally."""
        tally, stream = self._tally, self._stream
        sent_at, now = tally.sent_at, self._last
        for (start, end), watchers in self._spans.items():
            first = bisect_right(stream.ends, start) - 1
            beyond = bisect_right(stream.ends, end) - 1
            for row in stream.rows[first:beyond]:
                if row == OTHER:
                    continue
                tally.delivered += watchers
                if sent_at[row]:
                    tally.latency.add(now - sent_at[row], watchers)
            tally.progress += 1
        self._spans.clear()
