"""Open connections and people's standing: cut who was removed, ask again for others.

Sees each run of events before it goes out, so that nothing after a removal reaches
whoever was removed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from headgate.chat.permissions import Deny
from headgate.chat.reader import Reader
from headgate.chat.rooms import enter
from headgate.live.connection import Watch
from headgate.live.frames import Mode, Shared
from headgate.live.node import Node
from headgate.live.ports import LogUnavailable
from headgate.protocol.pushes import LogEvent, Membership, Rooms

__all__ = ["Standing"]

logger = logging.getLogger("headgate.standing")

RETRY_SECONDS = 1.0  # between questions while the database is away

_ENDS = frozenset({"removed", "banned"})


class Standing:
    """Keeps what open connections may do in step with the log."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._asking: set[asyncio.Task[None]] = set()
        self.node: Node | None = None

    def told(self, room_id: int, events: Sequence[LogEvent]) -> None:
        """Look for memberships in a run of events that is about to go out."""
        for place, event in enumerate(events):
            if isinstance(event, Membership):
                self._note(room_id, event.seq)
                for watch in self._watches_of(room_id, event.member.id):
                    if event.change in _ENDS:
                        self._cut(watch, event.room, events[: place + 1])
                    else:
                        self._ask(watch, event.room)

    def _note(self, room_id: int, seq: int) -> None:
        """Have those ask again who asked before this event and watch after it."""
        room = None if self.node is None else self.node.hub.rooms.get(room_id)
        if room is not None:
            room.noted = seq

    def _watches_of(self, room_id: int, key: str) -> list[Watch]:
        if self.node is None:
            return []
        watches = self.node.hub.live_watches(room_id)
        return [watch for watch in watches if watch.connection.owner.key == key]

    def _cut(self, watch: Watch, room: str, last: Sequence[LogEvent]) -> None:
        """End a watch; the event that ended it is the last that the client gets.

        What stands before it in the same run is still theirs, unless they are behind.
        """
        if self.node is None:
            return
        self.node.hub.leave(watch)
        connection = watch.connection
        for event in last[:-1]:
            if not watch.live or not connection.put_event(Shared(event)):
                break
        if connection.mode is Mode.V1:
            for event in last[-1:]:
                connection.put_message(event)
            connection.put_message(Rooms(left=[room]))
        self.node.touch(connection)

    def _ask(self, watch: Watch, room: str) -> None:
        task = asyncio.get_running_loop().create_task(self._renew(watch, room))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _renew(self, watch: Watch, room: str) -> None:
        """Decide again what somebody may do in a room."""
        while True:
            try:
                found = await self._reader.run(enter, watch.connection.owner, room)
            except LogUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if isinstance(found, Deny):
                self._cut(watch, room, ())
            else:
                watch.rights = found
            return

    async def close(self) -> None:
        """Stop asking."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
