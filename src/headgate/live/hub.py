"""The rooms of this process and who watches them.

A room's `head` is the last event that its watchers are sent. Events reach it as hints,
from the journal, from other processes, from heads that were compared. One that fits
goes out; one from further on shows a hole. What another process commits a moment before
may come a moment after, so it is held for that moment; then the log is read up to it.
So nothing is delivered past a hole, and nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from headgate.live.connection import Watch
from headgate.live.frames import Shared
from headgate.live.pages import PAGE_EVENTS, PAGE_MAX_BYTES, RETRY_SECONDS, Pages
from headgate.live.ports import Log, LogUnavailable
from headgate.live.room import HubRoom, Outgoing
from headgate.live.run import Said
from headgate.live.signals import Signal
from headgate.protocol.pushes import Deleted, Edited, LogEvent, Partial

__all__ = ["Hub"]

logger = logging.getLogger("headgate.hub")

# What changes an event that was before it. A tuple made once, as a union made at each
# look would take longer than the look.
_REVISING = (Edited, Deleted)
HOLD_SECONDS = 0.05  # for what fills a hole to come by itself
MOST_HELD = 256  # events of a room that are held; past it the log is read at once
# What the tails of all rooms may take; past it those of the quietest are forgotten.
TAILS_MAX_BYTES = 64 * 1024 * 1024


class Hub:
    """Takes hints of events and hands each event to each watcher, once, in order.

    Args:
        log: Where holes are filled from.
        rooms: Where its rooms are kept.
        pages: What else of the log is in memory.
        out: What the rooms go out by.
        told: Called with each run of events of a room before it goes out.
        went: Called with each watch that had begun and has ended.
        watched: Called with a room's id when it has its first watch (True), and when
            it has lost its last (False).
    """

    def __init__(
        self,
        log: Log,
        rooms: dict[int, HubRoom],
        pages: Pages,
        out: Outgoing,
        *,
        told: Callable[[int, Sequence[LogEvent]], None],
        went: Callable[[Watch], None],
        watched: Callable[[int, bool], None],
    ) -> None:
        self.rooms = rooms
        self._log = log
        self._pages = pages
        self._out = out
        self._told = told
        self._went = went
        self._watched = watched
        # The rooms with something in their tails, the quietest first.
        self._tails: OrderedDict[int, int] = OrderedDict()
        self._tails_bytes = 0

    async def open(self, room_id: int, seen: int = 0) -> HubRoom:
        """Return a room whose head is known; raises `LogUnavailable`.

        Where somebody has `seen` more than this process, the log is asked again.
        Watch the room in the same turn of the loop: `sweep` forgets rooms without
        watches.
        """
        asked = False
        while True:
            room = self.rooms.get(room_id)
            if room is None:
                room = self.rooms[room_id] = HubRoom(room_id, self._out)
                self._watched(room_id, True)  # before the head is asked for
            if room.head >= seen or (asked and room.head >= 0):
                return room
            known = await self._log.head(room_id)
            asked = True
            if self.rooms.get(room_id) is not room:
                continue  # forgotten meanwhile
            if room.head < 0:  # nobody else was faster
                room.begin(known.head, known.epoch)
            self._reach(room, max(room.target, known.head))
            if room.head < seen and room.filling is not None:
                await asyncio.wait([room.filling])

    def sweep(self) -> None:
        """Forget rooms that were opened and never watched, and pages nobody wants."""
        self._pages.sweep()
        for room in list(self.rooms.values()):
            self._forget(room)
            if room.growing is not None:
                room.growing.forget_quiet(self._out.loop.time())

    def watch(self, room: HubRoom, watch: Watch) -> None:
        """Add a watch, in place of the connection's earlier one in the room.

        It gets what comes from now on once it is live.
        """
        earlier = room.watches.get(watch.connection)
        if earlier is not None:
            self._end(earlier)
        room.watches[watch.connection] = watch
        watch.connection.watches[room.room_id] = watch

    def leave(self, watch: Watch) -> None:
        """Remove a watch, and the room with its last one."""
        room = self.rooms.get(watch.room_id)
        if watch.connection.watches.get(watch.room_id) is watch:
            del watch.connection.watches[watch.room_id]
        watch.live = False
        if room is not None and room.watches.get(watch.connection) is watch:
            del room.watches[watch.connection]
            self._end(watch)
            self._forget(room)

    def finish(self, watch: Watch, last: Sequence[LogEvent]) -> None:
        """Give a watch what is on its way and what comes last, and remove it.

        `last` follows the room's head. Somebody who is behind is given nothing.
        """
        room = self.rooms.get(watch.room_id)
        if room is not None and watch.live and room.tail.has(watch.position):
            pushes = [*room.tail.events(watch.position), *map(Shared, last)]
            room.deliver(watch.connection, Said(pushes, watch.connection.mode))
        self.leave(watch)

    def _end(self, watch: Watch) -> None:
        watch.live = False
        watch.connection.behind.pop(watch, None)
        if watch.begun:
            self._went(watch)
        if watch.pace is not None:
            watch.pace.end()

    def _forget(self, room: HubRoom) -> None:
        if not room.watches and self.rooms.get(room.room_id) is room:
            del self.rooms[room.room_id]
            room.end()
            self._pages.forget(room.room_id)
            self._tails_bytes -= self._tails.pop(room.room_id, 0)
            self._watched(room.room_id, False)

    # --- events ---

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
        fits = new[0].seq == room.head + 1 and new[-1].seq == room.head + len(new)
        if fits and not room.held:
            self._append(room, new)
        else:
            self._hold(room, new)

    def _append(self, room: HubRoom, events: Sequence[LogEvent]) -> None:
        """Hand a run of events that fits to the room."""
        self._told(room.room_id, events)
        if self.rooms.get(room.room_id) is not room:
            return  # the last who watched was removed by it
        room.append(events)
        for event in events:
            if isinstance(event, _REVISING):
                room.tail.revise(event)
                self._pages.revise(room.room_id, event)
                ends = isinstance(event, Deleted) or event.state is not None
                if ends and room.growing is not None:
                    room.growing.end(event.target)
        self._bound_tails(room)

    def _bound_tails(self, room: HubRoom) -> None:
        """Keep all tails together below their bound: forget those of quiet rooms."""
        taken = room.tail.memory_bytes
        self._tails_bytes += taken - self._tails.pop(room.room_id, 0)
        self._tails[room.room_id] = taken
        while self._tails_bytes > TAILS_MAX_BYTES and len(self._tails) > 1:
            room_id, size_bytes = self._tails.popitem(last=False)
            self._tails_bytes -= size_bytes
            self.rooms[room_id].tail.clear()

    def _hold(self, room: HubRoom, events: Sequence[LogEvent]) -> None:
        """Keep events from beyond a hole, for what fills it to come."""
        began = not room.held
        for event in events:
            room.held[event.seq] = event
        room.target = max(room.target, events[-1].seq)
        ready: list[LogEvent] = []
        while room.head + len(ready) + 1 in room.held:
            ready.append(room.held.pop(room.head + len(ready) + 1))
        if ready:
            self._append(room, ready)
        if len(room.held) > MOST_HELD:
            self._read_on(room)
        elif began and room.held:
            self._out.loop.call_later(HOLD_SECONDS, self._read_on, room)

    def _read_on(self, room: HubRoom) -> None:
        """Read what fills a hole, if there is still one."""
        if room.held:
            room.held.clear()
            self._reach(room, room.target)

    def reach(self, room_id: int, head: int) -> None:
        """Take the hint that a room's log goes up to `head`."""
        room = self.rooms.get(room_id)
        if room is not None:
            self._reach(room, head)

    def _reach(self, room: HubRoom, head: int) -> None:
        """Read the log up to `head`, unless that is under way."""
        room.target = max(room.target, head)
        known = self.rooms.get(room.room_id) is room
        if known and room.filling is None and 0 <= room.head < room.target:
            room.filling = self._out.loop.create_task(self._fill(room))

    async def _fill(self, room: HubRoom) -> None:
        """Bring a room up to its target from the log, however long the log is away."""
        try:
            while room.head < room.target:
                try:
                    self._out.meters.log_reads += 1
                    events = await self._log.events(
                        room.room_id,
                        room.head,
                        room.target,
                        PAGE_EVENTS,
                        max_bytes=PAGE_MAX_BYTES,
                    )
                except LogUnavailable:
                    logger.warning("fill_waits room=%d", room.room_id)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                except Exception:  # giving up would leave a hole
                    logger.exception("fill_failed room=%d", room.room_id)
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if not events:
                    # A hint from beyond the log: a database was put back. What is
                    # true is what the log says.
                    room.target = room.head
                    return
                self._append(room, events)
        finally:
            room.filling = None

    # --- signals ---

    def signal(self, room_id: int, signal: Signal) -> None:
        """Hand a push that may be lost to those of a room's watchers it concerns."""
        room = self.rooms.get(room_id)
        if room is not None:
            room.signal(signal)

    def grow(self, room_id: int, partial: Partial) -> bool:
        """Take what a growing message's text is from an offset on.

        False where somebody watches the room, and a part before that is missing.
        """
        room = self.rooms.get(room_id)
        return room is None or room.grow(partial)

    def text(self, room_id: int, seq: int) -> str | None:
        """Return what a growing message is by now, as far as is known here."""
        room = self.rooms.get(room_id)
        known = None if room is None else room.growing
        return None if known is None else known.text(seq)

    def live_watches(self, room_id: int) -> Iterable[Watch]:
        """Return the watches of a room, to look through."""
        room = self.rooms.get(room_id)
        return list(room.watches.values()) if room is not None else ()
