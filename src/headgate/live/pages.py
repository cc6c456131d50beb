"""Pages of the rooms' logs, each read once for however many want it.

Whoever is behind wants what is not in their room's tail any more. A page begins at a
multiple of its length wherever that serves, so that those who are at different places
want the same one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from headgate.live.frames import Shared
from headgate.live.meters import Meters
from headgate.live.ports import Log, LogUnavailable
from headgate.live.revised import revised
from headgate.live.run import Run, memory_of, run_of
from headgate.protocol.pushes import Deleted, Edited, LogEvent

__all__ = ["PAGE_EVENTS", "PAGE_MAX_BYTES", "Page", "Pages"]

logger = logging.getLogger("headgate.pages")

PAGE_EVENTS = 256  # read from the log at once, at most
PAGE_MAX_BYTES = 1024 * 1024  # past it a page ends, with the event that reached it
# What all pages may take; past it those are forgotten that were asked for before all
# others, as are those that nobody has asked for within some seconds.
KEPT_MAX_BYTES = 16 * 1024 * 1024
KEPT_SECONDS = 5.0
RETRY_SECONDS = 1.0  # between reads while the log is away

Key = tuple[int, int]  # a room and the seq before the page's first event


class Page:
    """Events of a room that follow each other, as they were asked for.

    Attributes:
        after: The seq after which they were asked for.
        to: The seq up to which; a page may end before.
        shared: The events; none where the log ends at `after`.
    """

    __slots__ = ("_edits", "_run", "after", "memory_bytes", "shared", "to", "used_at")

    def __init__(self, after: int, to: int, events: Iterable[LogEvent]) -> None:
        self.after = after
        self.to = to
        self.shared: list[Shared] = [Shared(event) for event in events]
        size_bytes = sum(shared.size for shared in self.shared)
        self.memory_bytes = memory_of(len(self.shared), size_bytes)
        self.used_at = 0.0  # on the loop's clock
        self._run: Run | None = None
        # Where its edits are: a change is looked for in all pages that are kept.
        self._edits = [
            place
            for place, shared in enumerate(self.shared)
            if isinstance(shared.push, Edited)
        ]

    @property
    def last(self) -> int:
        """The seq of the last event."""
        return self.after + len(self.shared)

    def run(self, position: int) -> Run | None:
        """Return what comes after a seq, as much as goes out at once; None: nothing."""
        if not self.after <= position < self.last:
            return None
        if self._run is None or self._run.after != position:
            self._run = run_of(self.shared, position - self.after, self.after)
        return self._run

    def revise(self, change: Edited | Deleted) -> None:
        """Follow an edit or a deletion."""
        target = change.target - self.after - 1
        places = [target] if 0 <= target < len(self.shared) else []
        if isinstance(change, Deleted):
            places += self._edits
        for place in places:
            now = revised(self.shared[place].push, change)
            if now is not None:
                self.shared[place] = Shared(now)
                self._run = None


class _Reading:
    """A read that is under way, and who waits for it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[Page], None]] = []
        self.changes: list[Edited | Deleted] = []  # in the room, since it began
        self.task: asyncio.Task[None] | None = None


class Pages:
    """Reads pages and keeps the last ones. Used on its event loop only."""

    def __init__(self, log: Log, meters: Meters) -> None:
        self._log = log
        self._meters = meters
        self._kept: OrderedDict[Key, Page] = OrderedDict()
        self._memory_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._readings: dict[Key, _Reading] = {}

    def find(self, room_id: int, position: int) -> Page | None:
        """Return a page in memory that has what comes after a seq."""
        for after in (position - position % PAGE_EVENTS, position):
            page = self._kept.get((room_id, after))
            if page is not None and position < page.last:
                self._kept.move_to_end((room_id, after))
                page.used_at = self._loop.time()
                return page
        return None

    def read(
        self, room_id: int, position: int, to: int, then: Callable[[Page], None]
    ) -> None:
        """Have what comes after a seq read, up to another, and `then` called.

        However long the log is away. `find` may have more then; a page without events
        says that the log ends before.
        """
        after = position - position % PAGE_EVENTS
        known = self._kept.get((room_id, after))
        if known is not None and len(known.shared) < PAGE_EVENTS:
            # It ends early, because of its size or because the log has grown since.
            after = position
        key = (room_id, after)
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = _Reading()
            reading.task = asyncio.get_running_loop().create_task(
                self._read(key, to, reading)
            )
        reading.waiting.append(then)

    async def _read(self, key: Key, to: int, reading: _Reading) -> None:
        try:
            page = Page(key[1], to, await self._events(key, to))
        finally:
            if self._readings.get(key) is reading:
                del self._readings[key]
        for change in reading.changes:
            page.revise(change)
        if page.shared:
            self._keep(key, page)
        for then in reading.waiting:
            try:
                then(page)
            except Exception:  # one who waits is not the others
                logger.exception("page_not_taken room=%d", key[0])

    async def _events(self, key: Key, to: int) -> Sequence[LogEvent]:
        """Read until the log answers."""
        room_id, after = key
        while True:
            try:
                self._meters.log_reads += 1
                return await self._log.events(
                    room_id,
                    after,
                    to,
                    PAGE_EVENTS,
                    max_bytes=PAGE_MAX_BYTES,
                )
            except LogUnavailable:
                logger.warning("page_waits room=%d", room_id)
            except Exception:  # giving up would leave a hole that nobody is told of
                logger.exception("page_failed room=%d", room_id)
            await asyncio.sleep(RETRY_SECONDS)

    def _keep(self, key: Key, page: Page) -> None:
        self._drop(key)
        self._kept[key] = page
        page.used_at = self._loop.time()
        self._memory_bytes += page.memory_bytes
        while self._memory_bytes > KEPT_MAX_BYTES and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        page = self._kept.pop(key, None)
        if page is not None:
            self._memory_bytes -= page.memory_bytes

    def revise(self, room_id: int, change: Edited | Deleted) -> None:
        """Follow an edit or a deletion."""
        for key, page in self._kept.items():
            if key[0] == room_id:
                page.revise(change)
        for key, reading in self._readings.items():
            if key[0] == room_id:
                reading.changes.append(change)

    def sweep(self) -> None:
        """Forget pages that nobody has asked for lately."""
        late = self._loop.time() - KEPT_SECONDS
        while self._kept:
            key, page = next(iter(self._kept.items()))
            if page.used_at > late:
                return  # the others were used later
            self._drop(key)

    def forget(self, room_id: int) -> None:
        """Forget a room that nobody watches; who waited for it is told nothing."""
        for key in [key for key in self._kept if key[0] == room_id]:
            self._drop(key)
        for key, reading in list(self._readings.items()):
            if key[0] == room_id and reading.task is not None:
                # At once: a task that is cancelled before it began runs no `finally`.
                del self._readings[key]
                reading.task.cancel()
