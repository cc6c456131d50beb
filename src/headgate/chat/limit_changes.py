"""Limits that change while people are connected: read again, put in force, told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from headgate.chat.limits_told import slow_mode_ms
from headgate.chat.models import AccessChange, Room
from headgate.chat.notices import Notice
from headgate.chat.overrides import overrides
from headgate.chat.permissions import Rights
from headgate.chat.policies import policies
from headgate.chat.push_pace import follow_pace
from headgate.chat.reader import Reader
from headgate.chat.room_limits import RoomLimits
from headgate.live.connection import Watch
from headgate.live.frames import Shared
from headgate.live.node import Node
from headgate.live.ports import LogUnavailable
from headgate.protocol.pushes import RoomChanged

__all__ = ["LimitChanges", "tell_room"]

logger = logging.getLogger("headgate.limits")

RETRY_SECONDS = 1.0  # while the database is away


class LimitChanges:
    """Follows notices about limits, for the connections of one node.

    Args:
        reader: Where the database is read.
        node: Whose connections they are.
    """

    def __init__(self, reader: Reader, node: Node) -> None:
        self._reader = reader
        self._node = node
        self._rooms: set[int] = set()
        # What is in force in rooms of this process that have changed; see `known`.
        self._known: dict[int, RoomLimits] = {}
        self._people = False
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def changed(self, notices: Sequence[Notice]) -> None:
        """Note what has changed; it is read off the loop."""
        what = AccessChange.What
        for notice in notices:
            if notice.what == what.ROOM and notice.room_id is not None:
                self._rooms.add(notice.room_id)
                self._wake.set()
            elif notice.what == what.LIMITS:
                self._people = True
                self._wake.set()

    def known(self, room_id: int) -> RoomLimits | None:
        """Return a room's limits where they have changed while people were there.

        Each change is noted, so what another look finds is older, or will be noted.
        """
        return self._known.get(room_id)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            rooms, self._rooms = self._rooms, set()
            people, self._people = self._people, False
            try:
                if people:
                    await overrides().refresh(self._reader.run, now=True)
                    self._follow_people()
                if rooms:
                    found = await self._reader.run(_limits_of, sorted(rooms))
                    for room_id, limits in found.items():
                        self._put_in_force(room_id, limits)
            except LogUnavailable:
                self._rooms |= rooms
                self._people = self._people or people
                await asyncio.sleep(RETRY_SECONDS)
                self._wake.set()
            except Exception:  # whatever it is, the next change is another chance
                logger.exception("limit_changes_failed")

    def _follow_people(self) -> None:
        """Put in force what people may have sent to them, where that has changed."""
        for connection in list(self._node.connections):
            for watch in list(connection.watches.values()):
                follow_pace(self._node, watch)

    def _put_in_force(self, room_id: int, limits: RoomLimits) -> None:
        rooms = self._node.hub.rooms
        self._known[room_id] = limits
        self._known = {each: self._known[each] for each in self._known if each in rooms}
        for watch in self._node.hub.live_watches(room_id):
            before = watch.rights
            if isinstance(before, Rights) and before.limits != limits:
                watch.rights = replace(before, limits=limits)
                tell_room(self._node, watch, before)
                follow_pace(self._node, watch)

    async def close(self) -> None:
        """Stop following."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def tell_room(node: Node, watch: Watch, before: Rights) -> None:
    """Tell a watcher the room's slow mode and their rights, if one is another.

    Whoever is coming in is told by their welcome, which says what is in force by then.
    """
    now = _as_told(watch.rights)
    if watch.begun and now != _as_told(before):
        watch.connection.put_shared(Shared(now))
        node.touch(watch.connection)


def _as_told(rights: Rights) -> RoomChanged:
    slow = policies().slow_mode(rights.limits.slow_mode_seconds) is not None
    return RoomChanged(
        room=rights.slug,
        slow_mode_ms=slow_mode_ms(rights) or 0,
        exempt=slow and rights.moderates,
        moderates=rights.moderates,
        read_only=rights.read_only,
    )


def _limits_of(rooms: Iterable[int]) -> dict[int, RoomLimits]:
    """Ask the database."""
    found = Room.objects.filter(pk__in=list(rooms))
    return {
        pk: RoomLimits.of(settings)
        for pk, settings in found.values_list("pk", "settings")
    }
