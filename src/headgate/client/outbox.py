"""Messages that the server has not acknowledged yet.

First in, first out per room, one in flight per room, so that a refused or lost
message is never overtaken by a later one. Bounded by number and bytes: what does
not fit is refused to the caller, never dropped. Among rooms the oldest goes first, as
far as limits let it. Where failed messages are kept, one holds up those behind it in
its room until it is tried again or given up. Pure: no socket, no clock; the link moves
entries and settles their answers.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from headgate.client.errors import Expired, OutboxFull, SendError
from headgate.protocol.commands import Delete, Edit, Send
from headgate.protocol.fields import MAX_PENDING, MAX_ROOMS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from headgate.client.pacing import Pacing, Turn

__all__ = ["Entry", "Outbox", "Outgoing", "OutgoingStatus", "Sent"]


@dataclass(frozen=True, slots=True)
class Sent:
    """The server has saved it.

    `at` is None where the acknowledgement was lost and a later welcome brought the
    seq; `client_id` is None for an edit or a deletion.
    """

    seq: int
    at: str | None
    client_id: str | None = None


class OutgoingStatus(StrEnum):
    """What a message that is not acknowledged is doing.

    It is `queued` behind another or without a connection, `waiting` for a limit or
    for a server that is busy, `sending`: on its way, or `failed`: for `Client.retry`
    or `Client.discard`.
    """

    QUEUED = "queued"
    WAITING = "waiting"
    SENDING = "sending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message, an edit or a deletion that the server has not acknowledged.

    `client_id` is None for an edit or a deletion, `text` for a deletion. While it
    waits, `not_before` is when it goes, on the client's clock (`time.monotonic`), and
    `policy` the limit that it waits for, where it is one. `error` is why it has failed.
    """

    room: str
    client_id: str | None
    text: str | None
    status: OutgoingStatus
    not_before: float | None = None
    policy: str | None = None
    error: SendError | None = None


@dataclass(slots=True, eq=False)
class Entry:
    """One command on its way; `answer` is what its caller awaits.

    `not_before` is when it may go, as far as is known: not before `held_until`, which
    a refusal says, and not before its limits let it, of which `policy` is the one.
    `since` is when it was written, or was to be tried again. With an `error` it has
    failed, and is kept.
    """

    command: Send | Edit | Delete
    client_id: str | None
    size_bytes: int
    answer: asyncio.Future[Sent] | None = None
    in_flight: bool = False
    unanswered: bool = False  # went out, and the connection was lost before a reply
    abandoned: bool = False  # its caller has gone: not to be sent again
    overdue: bool = False  # in flight when it expired: not to be sent again either
    number: int = 0  # of all entries, in the order of the calls
    held_until: float = 0.0
    not_before: float = 0.0
    policy: str | None = None
    since: float = 0.0
    error: SendError | None = None

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
        max_age_seconds: How long they may wait for anything but a limit; None: for
            ever.
        keep_failed: Whether messages stay that have failed.
    """

    def __init__(
        self,
        *,
        max_items: int = 1000,
        max_bytes: int = 4 * 2**20,
        max_age_seconds: float | None = None,
        keep_failed: bool = False,
    ) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._max_age_seconds = math.inf if max_age_seconds is None else max_age_seconds
        self._keep_failed = keep_failed
        self._items = 0
        self._numbers = itertools.count(1)
        self._rooms: dict[str, deque[Entry]] = {}
        self._limited_until: dict[str, float] = {}  # of rooms: when limits let one go

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
        entry.number = next(self._numbers)
        self._rooms.setdefault(entry.room, deque()).append(entry)
        self._items += 1
        self.size_bytes = size_bytes

    def take(self, now: float, pacing: Pacing) -> list[tuple[Entry, Turn]]:
        """Return what is to be sent now, at most one entry per room, as in flight."""
        taken = []
        heads = (queue[0] for queue in self._rooms.values())
        for entry in sorted(heads, key=lambda entry: entry.number):
            if entry.in_flight or entry.error is not None:
                continue
            wait = pacing.wait(entry.command, now)
            if now + wait.seconds > entry.held_until:
                entry.policy = wait.policy
            entry.not_before = max(now + wait.seconds, entry.held_until)
            if entry.not_before <= now:
                entry.in_flight = True
                taken.append((entry, pacing.begin(entry.command, now)))
            elif entry.policy is not None:
                self._limited_until[entry.room] = entry.not_before
        return taken

    def next_at(self) -> float | None:
        """Return when `take` will have something, if nobody changes anything."""
        waiting = [
            queue[0].not_before
            for queue in self._rooms.values()
            if not queue[0].in_flight and queue[0].error is None
        ]
        return min(waiting, default=None)

    def postpone(self, entry: Entry, until: float, policy: str | None) -> None:
        """Keep a refused entry at the head of its room until a time."""
        entry.in_flight = entry.unanswered = False
        entry.held_until = entry.not_before = until
        entry.policy = policy
        self._give_up(entry)

    def remove(self, entry: Entry) -> None:
        """Take out an entry that is settled."""
        queue = self._rooms[entry.room]
        queue.remove(entry)
        if not queue:
            del self._rooms[entry.room]
            self._limited_until.pop(entry.room, None)
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

    # --- what fails ---

    def fail(self, entry: Entry, error: SendError) -> None:
        """Tell the caller that it has failed, and keep it if such are kept.

        Only whole messages are: an edit has no id by which to try it again, and who
        would write on a message that grows has gone.
        """
        command = entry.command
        is_message = isinstance(command, Send) and not command.open
        if self._keep_failed and is_message and not entry.abandoned:
            entry.in_flight = entry.overdue = False
            entry.error = error
        else:
            self.remove(entry)
        entry.settle(error)

    def refuse(self, entry: Entry, error: SendError) -> None:
        """Let an entry fail that the server does not take."""
        entry.unanswered = False
        self.fail(entry, error)

    def expires_at(self, entry: Entry) -> float:
        """Return when an entry has waited for too long.

        Until limits let one go to its room, no time counts.
        """
        since = max(entry.since, self._limited_until.get(entry.room, 0.0))
        return since + self._max_age_seconds

    def expire(self, entry: Entry) -> None:
        """Let an entry fail that waited for too long; in flight, once it is back."""
        if entry.in_flight:
            entry.overdue = True
        else:
            self.fail(entry, Expired(entry.client_id, unanswered=entry.unanswered))

    def find(self, room: str, client_id: str) -> Entry | None:
        """Return a message that is not acknowledged, unless its caller has gone."""
        for entry in self._rooms.get(room, ()):
            if entry.client_id == client_id and not entry.abandoned:
                return entry
        return None

    def retry(self, entry: Entry, now: float) -> None:
        """Have an entry that has failed go again, in its old place."""
        entry.error = entry.policy = None
        entry.held_until = entry.not_before = 0.0
        entry.since = now

    def _give_up(self, entry: Entry) -> None:
        """End an entry that came back unsaved, if it is not to be sent again."""
        if entry.abandoned:
            self.remove(entry)
        elif entry.overdue:
            self.expire(entry)

    # --- connections ---

    def lost(self) -> None:
        """Note that the connection is gone: what was in flight is unanswered."""
        for entry in [queue[0] for queue in self._rooms.values()]:
            if entry.in_flight:
                entry.in_flight = False
                entry.unanswered = True
                self._give_up(entry)

    def ahead(self, room: str) -> tuple[int, int]:
        """Return how many entries wait to go to a room, and to all rooms.

        Those in flight have taken their place at the limits already, and those that
        have failed take none.
        """
        waiting = [
            entry.room
            for queue in self._rooms.values()
            for entry in queue
            if not entry.in_flight and entry.error is None
        ]
        return waiting.count(room), len(waiting)

    def outgoing(self, now: float, *, online: bool) -> list[Outgoing]:
        """Return what is not acknowledged, oldest first."""
        entries = [entry for queue in self._rooms.values() for entry in queue]
        entries.sort(key=lambda entry: entry.number)
        return [self.seen(entry, now, online=online) for entry in entries]

    def seen(self, entry: Entry, now: float, *, online: bool) -> Outgoing:
        """Return what an entry looks like."""
        command, client_id = entry.command, entry.client_id
        text = None if isinstance(command, Delete) else command.text
        is_head = self._rooms[entry.room][0] is entry
        status = OutgoingStatus.QUEUED
        if entry.in_flight:
            status = OutgoingStatus.SENDING
        elif entry.error is not None:
            status = OutgoingStatus.FAILED
        elif online and is_head and entry.not_before > now:
            return Outgoing(
                room=entry.room,
                client_id=client_id,
                text=text,
                status=OutgoingStatus.WAITING,
                not_before=entry.not_before,
                policy=entry.policy,
            )
        return Outgoing(entry.room, client_id, text, status, error=entry.error)

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
        self._limited_until.clear()
        self._items = self.size_bytes = 0
        return entries
