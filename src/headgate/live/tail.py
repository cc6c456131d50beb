"""The end of a room's log in memory: what is going out, and what was just missed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headgate.live.frames import Shared
from headgate.live.revised import revised
from headgate.live.run import Run, memory_of, run_of
from headgate.protocol.pushes import LogEvent

__all__ = ["KEPT_BYTES", "KEPT_EVENTS", "Tail"]

KEPT_EVENTS = 256  # at least, where these are not larger than
KEPT_BYTES = 1024 * 1024


class Tail:
    """A room's last events, without a hole.

    Attributes:
        after: The seq before the first that is kept.
        size_bytes: Of their payloads.

    See `memory_bytes` for what they take in all.
    """

    __slots__ = ("_run", "_run_at", "_shared", "after", "size_bytes")

    def __init__(self, head: int) -> None:
        self.after = head
        self.size_bytes = 0
        self._shared: list[Shared] = []
        # The run that was asked for last, and the head then: many ask for the same.
        self._run: Run | None = None
        self._run_at = head

    @property
    def head(self) -> int:
        """The seq of the last event; `after` where nothing is kept."""
        return self.after + len(self._shared)

    @property
    def memory_bytes(self) -> int:
        """About what it takes of the process."""
        return memory_of(len(self._shared), self.size_bytes)

    def append(self, events: Iterable[LogEvent]) -> None:
        """Add what follows the head, and forget what is too old."""
        for event in events:
            shared = Shared(event)
            self._shared.append(shared)
            self.size_bytes += shared.size
        # In larger steps, since what is left moves each time.
        if len(self._shared) >= 2 * KEPT_EVENTS:
            self._forget(len(self._shared) - KEPT_EVENTS)
        if self.size_bytes > KEPT_BYTES:
            kept, count = 0, len(self._shared)
            while count > 1 and kept + self._shared[count - 1].size <= KEPT_BYTES // 2:
                count -= 1
                kept += self._shared[count].size
            self._forget(count)

    def clear(self) -> None:
        """Forget all; the head stays."""
        self._forget(len(self._shared))

    def _forget(self, count: int) -> None:
        self.size_bytes -= sum(shared.size for shared in self._shared[:count])
        del self._shared[:count]
        self.after += count

    def has(self, position: int) -> bool:
        """Return whether everything after a seq is here."""
        return position >= self.after

    def events(self, position: int) -> Sequence[Shared]:
        """Return what comes after a seq, or after the oldest that is kept."""
        return self._shared[max(position - self.after, 0) :]

    def run(self, position: int) -> Run | None:
        """Return what comes after a seq, as much as goes out at once; None: nothing.

        Where that is forgotten, it begins later.
        """
        begin = max(position, self.after)
        head = self.head
        if begin >= head:
            return None
        run = self._run
        # The same again, unless it has grown since.
        if (
            run is None
            or run.after != begin
            or (self._run_at != head and not run.is_full)
        ):
            run = self._run = run_of(self._shared, begin - self.after, self.after)
            self._run_at = head
        return run

    def revise(self, change: LogEvent) -> None:
        """Follow an edit or a deletion: what is sent from now on is as it is now."""
        for place, shared in enumerate(self._shared):
            now = revised(shared.push, change)
            if now is not None:
                self._shared[place] = Shared(now)
                self.size_bytes += self._shared[place].size - shared.size
                self._run = None
