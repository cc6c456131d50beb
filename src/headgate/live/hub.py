"""The rooms of this process and who watches them.

A room's `head` is the last event that its live watchers were sent. Events reach it
as hints, from the journal, from heads that were compared, later from other
processes. One that fits goes out at once; one from further on shows a hole, and the
log is read up to it. So nothing is delivered past a hole, and nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from headgate.live.connection import Connection, Watch
from headgate.live.frames import Shared
from headgate.live.ports import Log, LogUnavailable
from headgate.protocol.pushes import LogEvent

__all__ = ["Hub", "HubRoom"]

logger = logging.getLogger("headgate.hub")

PAGE = 200  # events read from the log at once
RETRY_SECONDS = 1.0  # between reads while the log is away


class HubRoom:
    """A room with watchers in this process."""

    __slots__ = ("epoch", "filling", "head", "noted", "room_id", "target", "watches")

    def __init__(self, room_id: int) -> None:
        self.room_id = room_id
        self.epoch = ""
        self.head = -1  # until the log told it
        self.target = -1  # the furthest seq that is known to be committed
        # A seq that the layer above notes here; at first the head, as what came
        # before was not seen in this process.
        self.noted = -1
        self.watches: dict[Connection, Watch] = {}
        self.filling: asyncio.Task[None] | None = None


class Hub:
    """Takes hints of events and hands each event to each watcher, once, in order.

    Args:
        log: Where holes are filled from.
        touched: Called with each connection that has something new in its outbox.
        behind: Called with each watch whose connection could not take an event.
        told: Called with each run of events of a room before it goes out.
    """

    def __init__(
        self,
        log: Log,
        *,
        touched: Callable[[Connection], None],
        behind: Callable[[Watch], None],
        told: Callable[[int, Sequence[LogEvent]], None],
    ) -> None:
        self.rooms: dict[int, HubRoom] = {}
        self._log = log
        self._touched = touched
        self._behind = behind
        self._told = told

    async def open(self, room_id: int, seen: int = 0) -> HubRoom:
        """Return a room whose head is known; raises `LogUnavailable`.

        Where somebody has `seen` more than this process, the log is asked again.
        Watch the room in the same turn of the loop: `sweep` forgets rooms without
        watches.
        """
        asked = False
        while True:
            room = self.rooms.setdefault(room_id, HubRoom(room_id))
            if room.head >= seen or (asked and room.head >= 0):
                return room
            known = await self._log.head(room_id)
            asked = True
            if self.rooms.get(room_id) is not room:
                continue  # forgotten meanwhile
            if room.head < 0:  # nobody else was faster
                room.epoch = known.epoch
                room.head = room.noted = known.head
            self._reach(room, max(room.target, known.head))
            if room.head < seen and room.filling is not None:
                await asyncio.wait([room.filling])

    def sweep(self) -> None:
        """Forget rooms that were opened and never watched."""
        for room in list(self.rooms.values()):
            self._forget(room)

    def watch(self, room: HubRoom, watch: Watch) -> None:
        """Add a watch, in place of the connection's earlier one in the room.

        It gets what comes from now on once it is live.
        """
        room.watches[watch.connection] = watch
        watch.connection.watches[room.room_id] = watch

    def leave(self, watch: Watch) -> None:
        """Remove a watch, and the room with its last one."""
        watch.connection.watches.pop(watch.room_id, None)
        room = self.rooms.get(watch.room_id)
        if room is not None and room.watches.get(watch.connection) is watch:
            del room.watches[watch.connection]
            self._forget(room)

    def _forget(self, room: HubRoom) -> None:
        if not room.watches and self.rooms.get(room.room_id) is room:
            del self.rooms[room.room_id]
            if room.filling is not None:
                room.filling.cancel()

    def publish(self, room_id: int, events: Sequence[LogEvent]) -> None:
        """Take committed events of a room, ascending."""
        room = self.rooms.get(room_id)
        if room is None or not events:
            return
        if room.head < 0 or room.filling is not None:
            room.target = max(room.target, events[-1].seq)
            return
        new = events
        if new[0].seq <= room.head:
            new = [event for event in events if event.seq > room.head]
            if not new:
                return
        if new[0].seq == room.head + 1 and new[-1].seq == room.head + len(new):
            self._fan_out(room, new)
        else:
            self._reach(room, new[-1].seq)

    def reach(self, room_id: int, head: int) -> None:
        """Take the hint that a room's log goes up to `head`."""
        room = self.rooms.get(room_id)
        if room is not None:
            self._reach(room, head)

    def signal(
        self,
        room_id: int,
        push: Any,
        *,
        to: Callable[[Connection], bool] | None = None,
    ) -> None:
        """Hand a push that may be lost to a room's watchers, or to some of them."""
        room = self.rooms.get(room_id)
        if room is None:
            return
        shared = Shared(push)
        for connection, watch in room.watches.items():
            if watch.live and (to is None or to(connection)):
                connection.put_event(shared)
                self._touched(connection)

    def _fan_out(self, room: HubRoom, events: Sequence[LogEvent]) -> None:
        """Send a run of events that fits to every live watcher."""
        self._told(room.room_id, events)
        before = room.head
        room.head = events[-1].seq
        room.target = max(room.target, room.head)
        shared = [Shared(event) for event in events]
        touched = self._touched
        for connection, watch in room.watches.items():
            if not watch.live:
                continue
            for sent, event in enumerate(shared):
                if not connection.put_event(event):
                    watch.live = False
                    watch.position = before + sent
                    self._behind(watch)
                    break
            touched(connection)

    def _reach(self, room: HubRoom, head: int) -> None:
        """Read the log up to `head`, unless that is under way."""
        room.target = max(room.target, head)
        if room.filling is None and 0 <= room.head < room.target:
            room.filling = asyncio.get_running_loop().create_task(self._fill(room))

    async def _fill(self, room: HubRoom) -> None:
        """Bring a room up to its target from the log, however long the log is away."""
        try:
            while room.head < room.target:
                try:
                    events = await self._log.events(
                        room.room_id,
                        room.head,
                        room.target,
                        PAGE,
                    )
                except LogUnavailable:
                    logger.warning("fill_waits room=%d", room.room_id)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if not events:
                    # A hint from beyond the log: a database was put back. What is
                    # true is what the log says.
                    room.target = room.head
                    return
                self._fan_out(room, events)
        finally:
            room.filling = None

    def live_watches(self, room_id: int) -> Iterable[Watch]:
        """Return the watches of a room, to look through."""
        room = self.rooms.get(room_id)
        return list(room.watches.values()) if room is not None else ()
