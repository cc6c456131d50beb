"""Feeding a connection from the log until it is live again.

The same for somebody who resumes and for somebody who could not keep up: the
server keeps their place, not their messages.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from headgate.live.connection import Connection, Watch
from headgate.live.frames import Shared
from headgate.live.hub import Hub
from headgate.live.ports import Log, LogUnavailable

__all__ = ["catch_up"]

logger = logging.getLogger("headgate.catch_up")

PAGE = 200  # events read from the log at once
RETRY_SECONDS = 1.0  # between reads while the log is away


async def catch_up(
    connection: Connection,
    hub: Hub,
    log: Log,
    touch: Callable[[Connection], None],
) -> None:
    """Feed all of a connection's watches that are behind, one after the other.

    A watch becomes live when its position is its room's head, with no await between
    the look and the change, so that there is neither a hole nor a double.
    """
    while not connection.closed:
        watch = connection.behind
        if watch is None:
            return
        await connection.outbox.room_in()
        room = hub.rooms.get(watch.room_id)
        if room is None or connection.watches.get(watch.room_id) is not watch:
            continue
        if watch.position >= room.head:
            watch.live = True
            continue
        try:
            events = await log.events(
                watch.room_id,
                watch.position,
                room.head,
                PAGE,
            )
        except LogUnavailable:
            logger.warning("catch_up_waits room=%d", watch.room_id)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        except Exception:  # giving up would leave a hole that nobody is told of
            logger.exception("catch_up_failed room=%d", watch.room_id)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if not events:
            # The log ends before what was told of it: the room is gone, or a database
            # was put back. There is nothing to feed.
            watch.position = room.head
            continue
        _feed(watch, [Shared(event) for event in events])
        del events  # a page may have megabytes: nobody who does not read keeps one
        touch(connection)


def _feed(watch: Watch, page: list[Shared]) -> None:
    """Put as much of a page as there is room for, and keep the place."""
    connection = watch.connection
    if connection.watches.get(watch.room_id) is not watch:
        return  # left while the page was read
    for shared in page:
        if not connection.put_event(shared):
            return
        watch.position = shared.push.seq
