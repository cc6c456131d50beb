"""One per process and event loop: the hub, and what makes its connections move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from headgate.limits.rates import Rate
from headgate.live.connection import Connection, Watch
from headgate.live.feeder import Feeder
from headgate.live.flusher import Flusher
from headgate.live.hub import Hub
from headgate.live.meters import Meters
from headgate.live.pace import Pace
from headgate.live.pages import Pages
from headgate.live.ports import Log
from headgate.live.room import HubRoom, Outgoing
from headgate.live.scheduler import Scheduler
from headgate.live.stalls import Stalls
from headgate.protocol.pushes import LogEvent, Reset

__all__ = ["Node"]

MOST_PACES = 200  # that are remembered for a connection, also of rooms that it left


def _ignore(_watch: Watch) -> None:
    """Do nothing with a watch."""


class Node:
    """Watches, flushes and feeds the connections of one event loop.

    Args:
        log: The rooms' truth.
        resume_limit: How many events behind somebody may be and still be caught up.
        told: Called with each run of a room's events before it goes out.
        came: Called with each watch that begins.
        went: Called with each watch that had begun and has ended.
        caught_up: Called with each watch that has missed signals and misses no more.
        watched: Called with a room's id when it is watched here from now on (True),
            and when it is no longer (False).

    Attributes:
        hub: The rooms.
        connections: All that were added and not removed.
        meters: What was counted.
        touch: Notes that a connection has something in its outbox; it is flushed soon.
    """

    def __init__(
        self,
        log: Log,
        *,
        resume_limit: int,
        told: Callable[[int, Sequence[LogEvent]], None],
        came: Callable[[Watch], None] = _ignore,
        went: Callable[[Watch], None] = _ignore,
        caught_up: Callable[[Watch], None] = _ignore,
        watched: Callable[[int, bool], None] = lambda _room_id, _begins: None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._resume_limit = resume_limit
        self._came = came
        self._loop = loop
        self.connections: set[Connection] = set()
        self.meters = Meters()
        self.scheduler = Scheduler(loop)
        # No function of ours around a call for each reply.
        self.touch = Flusher(self.scheduler).touch
        rooms: dict[int, HubRoom] = {}
        out = Outgoing(loop, self.scheduler, self.meters, self._feed, self.touch)
        pages = Pages(log, self.meters)
        self._feeder = Feeder(rooms, pages, out, caught_up=caught_up)
        self._stalls = Stalls(loop, self.scheduler, self.connections, self.meters)
        self.hub = Hub(log, rooms, pages, out, told=told, went=went, watched=watched)

    def add(self, connection: Connection) -> None:
        """Take a connection in."""
        self.connections.add(connection)

    def remove(self, connection: Connection) -> None:
        """Let a connection go, with its watches."""
        connection.closed = True
        self.connections.discard(connection)
        for watch in list(connection.watches.values()):
            self.hub.leave(watch)

    # --- watching ---

    async def open(self, room_id: int, seen: int = 0) -> HubRoom:
        """Return a room whose head is known, up to what somebody has seen.

        Raises `LogUnavailable`.
        """
        return await self.hub.open(room_id, seen)

    def watch(
        self,
        connection: Connection,
        room: HubRoom,
        *,
        after: int | None,
        epoch: str | None,
        visible_from: int,
        rights: object,
    ) -> Reset | None:
        """Begin to watch: from now, or after a seq seen earlier.

        Returns the `Reset` (without its room's name) that the client must be told
        where its place cannot be kept: from another epoch, from the future, or too
        far behind. It is live from the head then.
        """
        hidden = max(visible_from - 1, 0)
        position = room.head if after is None else max(after, hidden)
        reset = None
        lost = after is not None and (
            (epoch is not None and epoch != room.epoch)
            or after > room.head
            or room.head - position > self._resume_limit
        )
        if lost:
            position = room.head
            oldest = min(visible_from, room.head + 1)
            reset = Reset(room="", oldest=oldest, head=room.head, epoch=room.epoch)
        # An earlier watch is replaced, not left: with the last one goes the room.
        watch = Watch(connection, room.room_id, position, rights, visible_from)
        self.hub.watch(room, watch)
        return reset

    def pace(self, watch: Watch, rate: Rate | None) -> None:
        """Let no more events go out to a watch than that, and tell what is left out.

        None: all of them. The same pace again changes nothing.
        """
        room = self.hub.rooms.get(watch.room_id)
        if room is None or rate == (watch.pace and watch.pace.rate):
            return
        if watch.pace is not None:
            watch.pace.end()
        if rate is None:
            watch.pace = None
        else:
            # Whoever joins again, or wishes for another pace, has no new burst by that.
            paces = watch.connection.paces
            before = paces.pop(room.room_id, None)
            watch.pace = Pace(rate, self._loop.time(), before)
            paces[room.room_id] = watch.pace
            if len(paces) > MOST_PACES:
                del paces[next(iter(paces))]
            watch.live = False
        self._feed(watch)

    def go(self, connection: Connection, room_id: int) -> None:
        """Let a new watch's events flow, once its reply is in the outbox."""
        watch = connection.watches.get(room_id)
        if watch is None or watch.begun:
            return
        watch.begun = True
        room = self.hub.rooms[room_id]
        if watch.position >= room.head and watch.pace is None:
            watch.live = True
            room.show_growing(watch)
        else:
            self._feed(watch)
        self._came(watch)

    def _feed(self, watch: Watch) -> None:
        self._feeder.feed(watch)

    @property
    def still(self) -> bool:
        """Whether all that has come to its rooms has gone out, or waits for readers."""
        rooms = self.hub.rooms.values()
        return self.scheduler.idle and all(room.still for room in rooms)

    def close(self) -> None:
        """Stop what works by itself."""
        self._stalls.close()
