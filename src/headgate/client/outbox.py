"""Messages that the server has not acknowledged yet.

First in, first out per room, one in flight per room, so that a refused or lost
message is never overtaken by a later one. Bounded by number and bytes: what does
not fit is refused to the caller, never dropped. Pure: no socket, no clock; the link
moves entries and settles their answers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.client.errors import OutboxFull, SendError
from headgate.protocol.fields import MAX_PENDING, MAX_ROOMS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from headgate.protocol.commands import Delete, Edit, Send

__all__ = ["Entry", "Outbox", "Sent"]


@dataclass(frozen=True, slots=True)
class Sent:
    """The server has saved it.

    `at` is None where the acknowledgement was lost and a later welcome brought the
    seq; `client_id` is None for an edit or a deletion.
    """

    seq: int
    at: str | None
    client_id: str | None = None


@dataclass(slots=True, eq=False)
class Entry:
    """One command on its way; `answer` is what its caller awaits."""

    command: Send | Edit | Delete
    client_id: str | None
    size_bytes: int
    answer: asyncio.Future[Sent] | None = None
    in_flight: bool = False
    unanswered: bool = False  # went out, and the connection was lost before a reply
    abandoned: bool = False  # its caller has gone: not to be sent again
    not_before: float = 0.0  # when it may be sent again

    @property
    def room(self) -> str:
        """The room it goes to."""
        return self.command.room

    def settle(self, outcome: Sent | SendError) -> None:
        """Tell the caller, if it is still there."""
        if self.answer is None or self.answer.done():
            return
        if isinstance(outcome, Sent):
            self.answer.set_result(outcome)
        else:
            self.answer.set_exception(outcome)


class Outbox:
    """The queues of all rooms under one bound.

    Args:
        max_items: How many entries may wait, in all rooms together.
        max_bytes: How many bytes of JSON they may have together.
    """

    def __init__(self, *, max_items: int = 1000, max_bytes: int = 4 * 2**20) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._items = 0
        self._rooms: dict[str, deque[Entry]] = {}

    def __len__(self) -> int:
        return self._items

    def add(self, entry: Entry) -> None:
        """Queue an entry at the end of its room.

        Raises:
            OutboxFull: Nothing was queued.
            ValueError: The same client_id waits in this room already.
        """
        size_bytes = self.size_bytes + entry.size_bytes
        if self._items >= self.max_items or size_bytes > self.max_bytes:
            raise OutboxFull(self._items, self.size_bytes)
        queue = self._rooms.get(entry.room, ())
        if entry.client_id is not None and any(
            other.client_id == entry.client_id for other in queue
        ):
            raise ValueError(f"client_id {entry.client_id!r} waits in this room")
        self._rooms.setdefault(entry.room, deque()).append(entry)
        self._items += 1
        self.size_bytes = size_bytes

    def take(self, now: float) -> list[Entry]:
        """Return what is to be sent now, at most one entry per room, as in flight."""
        taken = [
            queue[0]
            for queue in self._rooms.values()
            if not queue[0].in_flight and queue[0].not_before <= now
        ]
        for entry in taken:
            entry.in_flight = True
        return taken

    def next_at(self) -> float | None:
        """Return when `take` will have something, if nobody changes anything."""
        waiting = [
            queue[0].not_before
            for queue in self._rooms.values()
            if not queue[0].in_flight
        ]
        return min(waiting, default=None)

    def postpone(self, entry: Entry, until: float) -> None:
        """Keep a refused entry at the head of its room until a time."""
        entry.in_flight = entry.unanswered = False
        entry.not_before = until
        if entry.abandoned:
            self.remove(entry)

    def remove(self, entry: Entry) -> None:
        """Take out an entry that is settled."""
        queue = self._rooms[entry.room]
        queue.remove(entry)
        if not queue:
            del self._rooms[entry.room]
        self._items -= 1
        self.size_bytes -= entry.size_bytes

    def cancel(self, entry: Entry) -> None:
        """Forget an entry whose caller has gone.

        What is in flight keeps its place until it is answered or lost.
        """
        if entry.in_flight:
            entry.abandoned = True
        elif entry in self._rooms.get(entry.room, ()):
            self.remove(entry)

    def lost(self) -> None:
        """Note that the connection is gone: what was in flight is unanswered."""
        for entry in [queue[0] for queue in self._rooms.values()]:
            if entry.in_flight:
                entry.in_flight = False
                entry.unanswered = True
                if entry.abandoned:
                    self.remove(entry)

    def pending(self) -> dict[str, list[str]]:
        """Return the client_ids to ask about in hello.

        With one in flight per room there is one at most per room, within what hello
        may hold. A message that is not asked about is sent again: the server knows
        its client_id, so asking only saves the way.
        """
        asked = {
            room: [queue[0].client_id]
            for room, queue in self._rooms.items()
            if queue[0].unanswered and queue[0].client_id is not None
        }
        return {
            room: client_ids[:MAX_PENDING]
            for room, client_ids in list(asked.items())[:MAX_ROOMS]
        }

    def landed(self, room: str, seqs: Mapping[str, int]) -> list[tuple[Entry, int]]:
        """Take out and return what the server has saved, with its seqs."""
        landed = [
            (entry, seqs[entry.client_id])
            for entry in self._rooms.get(room, ())
            if entry.client_id is not None and entry.client_id in seqs
        ]
        for entry, _ in landed:
            self.remove(entry)
        return landed

    def clear(self) -> list[Entry]:
        """Take out and return everything, oldest first in each room."""
        entries = [entry for queue in self._rooms.values() for entry in queue]
        self._rooms.clear()
        self._items = self.size_bytes = 0
        return entries
