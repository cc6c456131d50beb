"""Comparing heads: how what other processes write is noticed.

Once a second the heads of the watched rooms are read, and what was noted about
people's access; on SQLite only when the database file has changed (`PRAGMA
data_version`). No relay is needed for that, and no relay that loses something can
cause more than this delay.

So is noticed, too, that a room's log is another: in another epoch, or shorter than it
was, as after a failover that lost the last commits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from django.db import DatabaseError, connections, router

from headgate.chat.epochs import current_epoch
from headgate.chat.models import AccessChange, Room
from headgate.chat.notices import MISSED_AFTER_SECONDS, PAGE, Notice, Notices
from headgate.live.hub import Hub

__all__ = ["HeadWatch"]

logger = logging.getLogger("headgate.heads")

INTERVAL_SECONDS = 1.0
HINTED_SECONDS = 0.1  # at least, between looks for what this process has noted itself

_EVERYTHING = Notice(AccessChange.What.ACCESS)


_Head = tuple[int, int, str]  # a room, its head and its epoch


@dataclass(slots=True)
class _Seen:
    """What one look found."""

    heads: list[_Head] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    lost: bool = False
    more: bool = False  # whether there are more notices to read


class HeadWatch:
    """Compares heads on a thread of its own, whose connection stays the same.

    `data_version` says something only about two looks through one connection.

    Args:
        hub: Whose rooms are compared.
        changed: Called with what was noted about people's access.
        lost: Called when some of that may have come and gone unseen.
        replaced: Called with a room whose log is another than the one that those who
            watch it have seen.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        changed: Callable[[Sequence[Notice]], None],
        lost: Callable[[], None],
        replaced: Callable[[int], None],
    ) -> None:
        self._hub = hub
        self._changed = changed
        self._lost = lost
        self._replaced = replaced
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="headgate-heads")
        self._notices = Notices()
        self._using: str = router.db_for_read(Room)
        # The file's version at the last look, and the rooms looked for: a room that
        # was added since must be looked for even in an unchanged file.
        self._version: int | None = None
        self._watched: list[int] = []
        self._away = False
        self._looked_at = time.monotonic()
        self._hinted = asyncio.Event()
        self._doubted: set[int] = set()
        # Rooms whose log seemed to end before what was known of it, and what that was:
        # what is committed while a look is under way seems so.
        self._shorter: dict[int, int] = {}
        self._task = asyncio.get_running_loop().create_task(self._run())

    def hint(self) -> None:
        """Look for notices now: there is one from this process."""
        self._hinted.set()

    def compare(self, rooms: Iterable[int]) -> None:
        """Compare some rooms' heads before the second is over: a hint was missed."""
        self._doubted.update(rooms)
        self._hinted.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + INTERVAL_SECONDS
        while True:
            watched = None
            hinted = await self._hint_before(due)
            doubted, self._doubted = sorted(self._doubted), set()
            try:
                if not hinted:
                    due = loop.time() + INTERVAL_SECONDS
                    self._hub.sweep()
                    watched = sorted(self._hub.rooms)
                shorter, self._shorter = self._shorter, {}
                seen = await loop.run_in_executor(
                    self._thread, self._look, watched, doubted, shorter
                )
                self._tell(seen)
            except Exception:  # whatever it is, the next second is another chance
                logger.exception("heads_failed")
                continue
            if seen.more:
                self._hinted.set()
            elif watched is None:
                await asyncio.sleep(HINTED_SECONDS)

    async def _hint_before(self, due: float) -> bool:
        """Wait for a hint until then, and return whether there was one."""
        if asyncio.get_running_loop().time() >= due:
            return False  # even if there is a hint all the time
        try:
            async with asyncio.timeout_at(due):
                await self._hinted.wait()
        except TimeoutError:
            return False
        self._hinted.clear()
        return True

    def _tell(self, seen: _Seen) -> None:
        if seen.lost:
            self._lost()
        if seen.notices:
            self._changed(seen.notices)
        for room_id, head, epoch in seen.heads:
            room = self._hub.rooms.get(room_id)
            if room is None:
                continue
            if room.head >= 0 and epoch != room.epoch:
                self._replaced(room_id)
                continue
            if head < room.head:
                self._shorter[room_id] = room.head
            self._hub.reach(room_id, head)

    def _look(
        self,
        watched: list[int] | None,
        doubted: Iterable[int],
        shorter: Mapping[int, int],
    ) -> _Seen:
        """Compare the heads of rooms, and look for notices; None: for notices alone.

        The heads of `doubted` rooms are compared whatever is known, and those of
        `shorter` as well: where one is still below that, a new epoch begins.
        """
        try:
            seen = self._compare(watched)
            if doubted or shorter:
                seen.heads += self._heads({*doubted, *shorter})
            seen.heads = [_in_its_epoch(head, shorter) for head in seen.heads]
        except DatabaseError as exc:
            if not self._away:
                logger.warning("heads_away error=%s", exc)
            self._away = True
            connections[self._using].close()
            self._version = None
            return _Seen()
        if self._away:
            logger.warning("heads_back")
        self._away = False
        self._looked_at = time.monotonic()
        return seen

    def _compare(self, watched: list[int] | None) -> _Seen:
        seen = _Seen()
        moved = watched is not None and self._moved()
        if watched and (moved or watched != self._watched):
            seen.heads = self._heads(watched)
        if watched is not None:
            self._watched = watched
        if moved or watched is None:
            everything = self._make_sure(seen)
            # The last thing that can fail: each notice is read once.
            seen.notices = self._notices.look()
            seen.more = len(seen.notices) == PAGE
            seen.notices += everything
        return seen

    def _make_sure(self, seen: _Seen) -> list[Notice]:
        """Return what to add to the notices when the database was away."""
        unseen_seconds = time.monotonic() - self._looked_at
        if not self._away and unseen_seconds < MISSED_AFTER_SECONDS:
            return []
        seen.lost = self._notices.missed(unseen_seconds)
        return [_EVERYTHING]

    def _moved(self) -> bool:
        """Return whether somebody may have written since the last time."""
        connection = connections[self._using]
        if connection.vendor != "sqlite":
            return True
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA data_version")
            (version,) = cursor.fetchone()
        moved = bool(version != self._version)
        self._version = version
        return moved

    def _heads(self, watched: Iterable[int]) -> list[_Head]:
        rooms = Room.objects.filter(pk__in=watched)
        return list(rooms.values_list("pk", "head", "epoch"))

    async def close(self) -> None:
        """Stop comparing and close the connection."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, connections.close_all)
        await asyncio.to_thread(self._thread.shutdown)


def _in_its_epoch(found: _Head, shorter: Mapping[int, int]) -> _Head:
    """Return a head with its epoch as it is now; asks the database if it is shorter."""
    room_id, head, epoch = found
    known = shorter.get(room_id, -1)
    if head < known:
        epoch = current_epoch(room_id, epoch, known)
    return room_id, head, epoch
