"""What one watcher saw, and in which order.

`SeqSight` follows a room's log, where every event has a number. `RowSight` follows a
chat without numbers, where only an author's own order can be expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.server.replay.judge import OTHER

if TYPE_CHECKING:
    from array import array

    from headgate.server.replay.judge import Event

__all__ = ["RowSight", "SeqSight"]

_LONGEST_HOLE = 1_000_000  # a seq further away than this is a fault, not a hole


class SeqSight:
    """A watcher's view of a log.

    Attributes:
        expected: The seq that must come next.
        holes: Seqs that were passed over and have not come since.
        owed: Seqs that the server said it leaves out, and that are being fetched.
        late: Events that came after one with a higher seq.
        again: Events that came although they had come before.
        odd: Seqs at which this watcher saw another row than whoever saw it first.
        absurd: Events with a seq so far ahead that it cannot be true.
    """

    __slots__ = ("absurd", "again", "expected", "holes", "late", "odd", "owed")

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.holes: set[int] = set()
        self.owed: set[int] = set()
        self.late = 0
        self.again = 0
        self.odd: dict[int, int] = {}
        self.absurd = 0

    def saw(self, event: Event, first_seen: int) -> bool:
        """Take an event; return whether it is new to this watcher.

        `first_seen` is the row that was first seen at this seq by anybody.
        """
        seq = event.seq
        if seq == self.expected:
            self.expected = seq + 1
        elif seq - self.expected > _LONGEST_HOLE:
            self.absurd += 1
            return False
        elif seq > self.expected:
            self.holes.update(range(self.expected, seq))
            self.expected = seq + 1
        elif seq in self.owed:
            self.owed.discard(seq)
        elif seq in self.holes:
            self.holes.discard(seq)
            self.late += 1
        else:
            self.again += 1
            return False
        if event.row != first_seen:
            self.odd[seq] = event.row
        return True

    def told(self, to: int) -> int:
        """Take that everything up to `to` was left out; return after which seq."""
        after = self.expected - 1
        if 0 < to - after <= _LONGEST_HOLE:
            self.owed.update(range(self.expected, to + 1))
            self.expected = to + 1
        return after

    def fetched_up_to(self, seq: int) -> None:
        """Take that what is still owed up to a seq is no message there."""
        for absent in [owed for owed in self.owed if owed <= seq]:
            self.owed.discard(absent)
            self.odd[absent] = OTHER

    def unseen(self, head: int) -> int:
        """Return how many seqs up to `head` never came."""
        return len(self.holes) + len(self.owed) + max(0, head + 1 - self.expected)

    def missed(self, seq: int) -> bool:
        """Return whether this seq never came."""
        return seq >= self.expected or seq in self.holes or seq in self.owed

    def row_at(self, seq: int, first_seen: dict[int, int]) -> int:
        """Return which row this watcher saw at a seq that it did not miss."""
        return self.odd.get(seq, first_seen.get(seq, OTHER))


class RowSight:
    """A watcher's view of a chat without seqs.

    Attributes:
        seen: One byte per row: 1 once it came.
        count: How many different rows came.
        late: Messages that came after a later one of the same author.
        again: Messages that came although they had come before.
    """

    __slots__ = ("_authors", "_last", "again", "count", "late", "seen")

    def __init__(self, authors: array[int]) -> None:
        self.seen = bytearray(len(authors))
        self.count = 0
        self.late = 0
        self.again = 0
        self._authors = authors
        self._last: dict[int, int] = {}

    def saw(self, row: int) -> bool:
        """Take a message; return whether it is new to this watcher."""
        if self.seen[row]:
            self.again += 1
            return False
        self.seen[row] = 1
        self.count += 1
        author = self._authors[row]
        if row < self._last.get(author, -1):
            self.late += 1
        else:
            self._last[author] = row
        return True
