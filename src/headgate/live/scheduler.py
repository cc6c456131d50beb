"""One scheduler for all that goes out: in turn, and in short slices.

Between two slices the loop does everything else: it reads sockets, takes what the
journal has written, answers. So neither a room of ten thousand nor a thousand rooms
hold up anybody for long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

__all__ = ["SLICE_SECONDS", "SLICE_WRITES", "Job", "Scheduler", "Slice"]

logger = logging.getLogger("headgate.scheduler")

SLICE_SECONDS = 0.002
# A write is counted as well as timed: uvloop does what was written in a slice only
# when the loop's turn ends, and a `send` of the system takes from 5 to 10 us.
SLICE_WRITES = 250
_clock = time.perf_counter


class Slice:
    """What is left of a slice.

    Whoever works in it counts its `writes` down, and looks at `over` now and then.
    """

    __slots__ = ("_until", "writes")

    def __init__(self, seconds: float, writes: int) -> None:
        self._until = _clock() + seconds
        self.writes = writes

    @property
    def over(self) -> bool:
        """Whether it is somebody else's turn."""
        return self.writes <= 0 or _clock() >= self._until

    def half(self) -> Slice:
        """Return half of what is left; the caller adds the writes not done again."""
        half = Slice(max(self._until - _clock(), 0.0) / 2, self.writes // 2)
        self.writes -= half.writes
        return half


class Job(Protocol):
    """Something with work to do, again and again."""

    # Whether it waits for its turn; the scheduler's to write.
    queued: bool

    def work(self, part: Slice) -> bool:
        """Do what a slice allows, and return whether there is more to do now."""


class Scheduler:
    """Gives jobs their turns. Used on its event loop only.

    Jobs that have just become ready get a turn before those that go on, for at most
    half of each slice: what is small and quiet is done within it, and what is not goes
    to the end of the others' line. The flusher comes between the two, for at most half
    of what is left: a room's event for somebody who has a reply to come is put behind
    it, and both leave in one write.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._flusher: Job | None = None  # while it has something to flush
        self._fresh: deque[Job] = deque()
        self._others: deque[Job] = deque()
        self._running = False

    def flush(self, flusher: Job) -> None:
        """Have the one job work soon that writes what rooms put into outboxes."""
        if not flusher.queued:
            flusher.queued = True
            self._flusher = flusher
            self._begin()

    def ready(self, job: Job) -> None:
        """Have a job work soon; one that waits already keeps its place."""
        if not job.queued:
            job.queued = True
            self._fresh.append(job)
            self._begin()

    @property
    def idle(self) -> bool:
        """Whether nobody waits for a turn."""
        return not self._running

    def _begin(self) -> None:
        if not self._running:
            self._running = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        part = Slice(SLICE_SECONDS, SLICE_WRITES)
        quick = part.half()
        while self._fresh and not quick.over:
            self._turn(self._fresh.popleft(), quick, self._go_on)
        part.writes += quick.writes
        flusher, self._flusher = self._flusher, None
        if flusher is not None:
            some = part.half()  # or replies to a flood would stop all rooms
            self._turn(flusher, some, self.flush)
            part.writes += some.writes
        while self._others and not part.over:
            self._turn(self._others.popleft(), part, self._go_on)
        self._running = False
        if self._has_work():
            self._begin()

    def _has_work(self) -> bool:
        return self._flusher is not None or bool(self._fresh or self._others)

    def _go_on(self, job: Job) -> None:
        """Have a job that is not done wait for its next turn."""
        if not job.queued:
            job.queued = True
            self._others.append(job)

    def _turn(self, job: Job, part: Slice, more: Callable[[Job], None]) -> None:
        """Let a job work; one that fails is seen, and has no more to do."""
        job.queued = False
        try:
            if job.work(part):
                more(job)
        except Exception:  # one job's fault is not the others'
            logger.exception("job_failed job=%r", job)
