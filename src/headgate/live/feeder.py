"""Feeding those who do not get a room's events with all others.

That is whoever comes back, whoever could not keep up, and whoever has a pace of their
own. The server keeps their place, not their messages: these are in the room's tail, or
in the log. They are fed a run at a time, each at their own speed, and join the others
at the room's head.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from headgate.live.connection import Connection, Watch
from headgate.live.frames import Shared
from headgate.live.pace import WINDOW_EVENTS, Pace, chosen
from headgate.live.pages import Page, Pages
from headgate.live.room import HubRoom, Outgoing
from headgate.live.run import RUN_MAX_BYTES, Run, Said
from headgate.live.scheduler import Slice
from headgate.protocol.codes import Close
from headgate.protocol.pushes import Gap

__all__ = ["Feeder"]

logger = logging.getLogger("headgate.feeder")


class Feeder:
    """A job that feeds one connection after the other. Used on its event loop only.

    Args:
        rooms: The rooms of this process.
        pages: What is not in the rooms' tails any more.
        out: What the rooms go out by.
        caught_up: Called with each watch that has missed signals and misses no more.
    """

    def __init__(
        self,
        rooms: dict[int, HubRoom],
        pages: Pages,
        out: Outgoing,
        *,
        caught_up: Callable[[Watch], None],
    ) -> None:
        self._rooms = rooms
        self._pages = pages
        self._out = out
        self._caught_up = caught_up
        self._line: dict[Connection, None] = {}
        self.queued = False

    def feed(self, watch: Watch) -> None:
        """Feed a watch, in its turn."""
        connection = watch.connection
        if watch.begun and not connection.closed:
            connection.behind[watch] = None
            self._queue(connection)

    def _queue(self, connection: Connection) -> None:
        if connection.behind:
            self._line[connection] = None
            self._out.scheduler.ready(self)

    def work(self, part: Slice) -> bool:
        """Feed those whose turn it is, one run each."""
        while self._line and not part.over:
            connection = next(iter(self._line))
            del self._line[connection]
            if not connection.behind or connection.closed:
                continue  # left, or gone, while it stood in line
            try:
                more = self._feed_next(connection, part)
            except Exception:  # one client's fault is not its neighbours'
                logger.exception("feed_failed")
                connection.sink.abort()
                connection.end(Close.UNAVAILABLE, None)  # it comes back, and resumes
                continue
            if more:
                self._line[connection] = None
        return bool(self._line)

    def _feed_next(self, connection: Connection, part: Slice) -> bool:
        """Feed a connection one run; return whether it can take more at once."""
        outbox, sink = connection.outbox, connection.sink
        if not sink.takes(outbox):
            sink.flush(outbox)  # so that it tells when there is room
            outbox.when_roomy(partial(self._queue, connection))
            return False
        watch = next(iter(connection.behind))
        del connection.behind[watch]
        room = self._rooms.get(watch.room_id)
        if room is None or watch.ended:
            return bool(connection.behind)
        part.writes -= 1
        if watch.pace is not None:
            more = self._feed_paced(room, watch, watch.pace)
        else:
            more = self._feed_run(room, watch)
        if more:
            connection.behind[watch] = None
        return bool(connection.behind)

    def _feed_run(self, room: HubRoom, watch: Watch) -> bool:
        """Feed a run of events; return whether there is more to be fed at once."""
        if watch.position >= room.head:
            # No await between the look and the change: neither a hole nor a double.
            watch.live = True
            if watch.missed:
                watch.missed = False
                self._caught_up(watch)
            room.show_growing(watch)
            return False
        run = self._run(room, watch)
        if run is None:
            return False
        room.deliver(watch.connection, run.said(watch.connection.mode))
        watch.position = run.last
        return True

    def _run(self, room: HubRoom, watch: Watch) -> Run | None:
        """Return what comes next for a watch, or have it read."""
        position = watch.position
        if room.tail.has(position):
            return room.tail.run(position)
        page = self._pages.find(room.room_id, position)
        run = None if page is None else page.run(position)
        if run is None:
            self._read(room, position, watch)
        elif run.last > room.head:
            # What this process has not been told of may end somebody's right to it.
            return Run(run.shared[: room.head - run.after], run.after)
        return run

    def _read(self, room: HubRoom, position: int, watch: Watch) -> None:
        self._pages.read(room.room_id, position, room.head, partial(self._came, watch))

    def _came(self, watch: Watch, page: Page) -> None:
        """Go on with a watch for which a page was read."""
        room = self._rooms.get(watch.room_id)
        if room is None or watch.ended:
            return
        if not page.shared and page.to > watch.position:
            # The log ends before what was told of it: the room is gone, or a database
            # was put back. There is nothing to feed.
            watch.position = room.head
        self.feed(watch)

    # --- those with a pace ---

    def _feed_paced(self, room: HubRoom, watch: Watch, pace: Pace) -> bool:
        """Feed what the pace allows of what waits, and tell what is left out."""
        waiting, now = room.head - watch.position, self._out.loop.time()
        if waiting <= 0:
            return False
        most = pace.allowed(waiting, now)
        if not most:
            if pace.timer is None:
                wait_seconds = pace.wait_seconds(now)
                pace.timer = self._out.loop.call_later(
                    wait_seconds, self._rested, watch, pace
                )
            return False
        begin = max(watch.position, room.head - WINDOW_EVENTS)
        window = self._window(room, begin, watch)
        if window is None:
            return False
        here = {shared.push.seq: shared for shared in window}
        said = chosen(
            [shared.push for shared in window],
            most,
            after=watch.position,
            to=room.head,
            now=time.time() if most < waiting else 0.0,
        )
        pushes: list[Shared] = []
        position, size_bytes, gaps = watch.position, 0, 0
        for each in said:
            if size_bytes >= RUN_MAX_BYTES:
                break  # no more goes out at once: the rest is chosen from again
            if isinstance(each, Gap):
                pushes.append(Shared(each))
                position = each.to
                gaps += 1
                self._out.meters.gap_events += each.to - each.from_ + 1
            else:
                pushes.append(here[each.seq])
                position = each.seq
            size_bytes += pushes[-1].size
        more = position < room.head
        pace.took(len(pushes) - gaps, all_of_it=more or most == waiting)
        self._out.meters.gaps += gaps
        room.deliver(watch.connection, Said(pushes, watch.connection.mode))
        watch.position = position
        return more

    def _rested(self, watch: Watch, pace: Pace) -> None:
        pace.timer = None
        self.feed(watch)

    def _window(
        self, room: HubRoom, position: int, watch: Watch
    ) -> list[Shared] | None:
        """Return what comes after a seq, up to the head, or have it read."""
        found: list[Shared] = []
        while position < room.head:
            if room.tail.has(position):
                found += room.tail.events(position)
                break
            page = self._pages.find(room.room_id, position)
            if page is None:
                self._read(room, position, watch)
                return None
            found += page.shared[position - page.after : room.head - page.after]
            position = page.last
        return found
