"""The messages that grow here: their authors write through this event loop.

A text is in memory, and goes from there to those who watch: at most ten times a second,
to this process's rooms and by the relay to the others'. Every two seconds it is saved.
What the relay carries begins at what is saved, so that who has missed something, or
begins to watch, reads the saved text and has no hole.

While an author is there the message is marked as alive, in the database; one whose mark
gets old is ended by any process (`growing_care`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

from headgate.chat.entries import Grown, Refused, Verdict
from headgate.chat.growing_rows import Growing, growing_at, marked_in, state_at
from headgate.chat.journal import Journal, Overloaded
from headgate.chat.neighbours import Neighbours
from headgate.chat.people import Actor
from headgate.chat.reader import Reader
from headgate.live.connection import Connection
from headgate.live.hub import Hub
from headgate.live.ports import LogUnavailable
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.fields import MAX_COMMAND_BYTES, State
from headgate.protocol.pushes import (
    Deleted,
    Edited,
    Error,
    LogEvent,
    Membership,
    Partial,
)

__all__ = ["MOST_OWN", "OwnText", "OwnTexts"]

logger = logging.getLogger("headgate.growing")

FLUSH_SECONDS = 0.1  # between two partials of a text
SAVE_SECONDS = 2.0  # between two saves of one that grows
TOUCH_SECONDS = 10.0  # between two marks of one that does not
LOOK_SECONDS = 0.5  # between two looks at what is to be saved
ENDS_SECONDS = 1.0  # between two looks for ends that nobody told of
MOST_OWN = 1000  # texts; past it no message can begin to grow in this process
MOST_OF_ONE = 100  # of one author over connections: nobody takes the place of all

_OUT = frozenset({"banned", "muted", "removed"})
_HELD = frozenset({Code.BANNED, Code.MUTED, Code.FORBIDDEN})


class OwnText:
    """A message that grows here.

    Attributes:
        text: What it is by now.
        saved: How much of it is saved, in code points.
        details: What it has beyond its text, as the log keeps it.
        connection: The author's, where they write over one.
        on_end: Those who are told once how it has ended, by whomever.
        state: How it has ended, or None while it grows.
    """

    __slots__ = (
        "author",
        "connection",
        "details",
        "grown",
        "kept_at",
        "leaving",
        "on_end",
        "room",
        "room_id",
        "saved",
        "saving",
        "seq",
        "size_bytes",
        "state",
        "text",
    )

    def __init__(
        self,
        room: str,
        growing: Growing,
        now: float,
        connection: Connection | None,
    ) -> None:
        self.room = room
        self.room_id = growing.room_id
        self.seq = growing.seq
        self.author: Actor = growing.author
        self.details = growing.details
        self.text = growing.text
        self.saved = len(growing.text)
        self.size_bytes = len(growing.text.encode())
        self.connection = connection
        self.on_end: list[Callable[[State], None]] = []
        self.state: State | None = None
        self.kept_at = now
        self.saving = False
        self.leaving = False  # whether its author has gone: it is forgotten once saved
        self.grown = asyncio.Event()  # told when it was saved, or has ended

    @property
    def unsaved(self) -> int:
        """How many code points are not saved."""
        return len(self.text) - self.saved


class OwnTexts:
    """All messages that grow by way of one event loop.

    Args:
        hub: The rooms of this process.
        neighbours: The other processes.
        journal: What saves them.
        reader: What reads them.
        cut: Ends one whose author may not go on.
    """

    def __init__(
        self,
        hub: Hub,
        neighbours: Neighbours,
        journal: Journal,
        reader: Reader,
        cut: Callable[[OwnText], Coroutine[Any, Any, object]],
    ) -> None:
        self._hub = hub
        self._neighbours = neighbours
        self._journal = journal
        self._reader = reader
        self._cut = cut
        self._loop = asyncio.get_running_loop()
        self._texts: dict[tuple[str, int], OwnText] = {}
        self._dirty: dict[OwnText, None] = {}
        self._flushed_at = 0.0
        self._flushing: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._ends_at = 0.0  # when ends were looked for
        self._ends: asyncio.Task[object] | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._closed = False

    def of(self, room: str, seq: int) -> OwnText | None:
        """Return a message that grows here."""
        return self._texts.get((room, seq))

    def is_written(self, room: str, seq: int) -> bool:
        """Return whether a message grows here, and its author is there."""
        own = self._texts.get((room, seq))
        return own is not None and not own.leaving

    def in_room(self, room_id: int) -> list[OwnText]:
        """Return those of a room."""
        return [own for own in self._texts.values() if own.room_id == room_id]

    # --- growing ---

    def begin(
        self,
        room: str,
        growing: Growing,
        *,
        connection: Connection | None = None,
        on_end: Callable[[State], None] | None = None,
    ) -> OwnText | Error:
        """Have a message grow here from now on."""
        own = self._texts.get((room, growing.seq))
        if own is None:
            if self._is_full(growing.author, connection):
                text = "Too many messages grow here just now."
                return error(Code.OVERLOADED, text, retry_after_ms=1000)
            now = self._loop.time()
            own = OwnText(room, growing, now, connection)
            self._texts[room, growing.seq] = own
            self._neighbours.watched(growing.room_id, begins=True)
            if self._looking is None:
                self._looking = self._loop.call_later(LOOK_SECONDS, self._look)
        own.connection, own.leaving = connection, False
        if on_end is not None:
            own.on_end.append(on_end)
        return own

    def _is_full(self, author: Actor, connection: Connection | None) -> bool:
        if connection is None:
            return len(self._texts) >= MOST_OWN
        known = [own.author.key for own in self._texts.values()]
        return len(known) >= MOST_OWN or known.count(author.key) >= MOST_OF_ONE

    async def adopt(
        self,
        room: str,
        room_id: int,
        seq: int,
        author: Actor,
        connection: Connection | None,
    ) -> OwnText | Error:
        """Have an author's message go on here that began elsewhere.

        Raises `LogUnavailable`.
        """
        growing = await self._reader.run(growing_at, room_id, seq)
        if growing is None:
            return error(Code.NOT_GROWING)
        if growing.author.key != author.key:
            return error(Code.FORBIDDEN)
        own = self.begin(room, growing, connection=connection)
        if isinstance(own, OwnText):
            self.keep(own)  # its mark may be nearly too old
        return own

    def add(self, own: OwnText, at: int, text: str) -> Error | None:
        """Add to a text from an offset on; what is there already is not added again."""
        length = len(own.text)
        if own.state is not None:
            return error(Code.NOT_GROWING)
        if at > length:
            return error(Code.BAD_OFFSET, at=length)
        new = text[length - at :]
        size_bytes = own.size_bytes + len(new.encode())
        if size_bytes > MAX_COMMAND_BYTES:
            large = f"A message has at most {MAX_COMMAND_BYTES} bytes."
            return error(Code.TOO_LARGE, large, field="text")
        if new:
            own.text += new
            own.size_bytes = size_bytes
            self._dirty[own] = None
            self._flush_soon()
        return None

    def keep(self, own: OwnText) -> None:
        """Save a text, or say that its author is there; `grown` is told after it."""
        if own.saving or own.state is not None:
            return
        text = own.text if own.unsaved else None
        grown = Grown(own.room_id, own.author, own.seq, text)
        try:
            self._journal.submit(grown, partial(self._kept, own, len(own.text)))
        except Overloaded:
            return  # at the next look
        own.saving = True

    def left(self, connection: Connection) -> None:
        """Save what somebody was writing who is gone; they may go on elsewhere."""
        for own in list(self._texts.values()):
            if own.connection is connection:
                own.leaving = True
                self.keep(own)

    def _kept(self, own: OwnText, length: int, verdict: Verdict) -> None:
        own.saving = False
        if not isinstance(verdict, Refused):
            own.saved, own.kept_at = max(own.saved, length), self._loop.time()
            own.grown.set()
            if own.leaving and not own.unsaved:
                self._forget(own)
        elif verdict.error.code in _HELD:
            self.spawn(self._cut(own))
        elif verdict.error.code in {Code.NOT_GROWING, Code.NOT_FOUND}:
            self.spawn(self.learn_end(own))

    async def learn_end(self, own: OwnText) -> None:
        """Find out how a message has ended that grows no more."""
        try:
            state = await self._reader.run(state_at, own.room_id, own.seq)
        except (LogUnavailable, RuntimeError):  # the reader has ended
            state = "cut"
        self._over(own, state)

    def _look(self) -> None:
        """Save what has grown, and mark what has not."""
        now = self._loop.time()
        for own in list(self._texts.values()):
            wait_seconds = SAVE_SECONDS if own.unsaved else TOUCH_SECONDS
            if own.leaving or now - own.kept_at >= wait_seconds:
                if not own.unsaved:  # or those who show it would forget it
                    self._dirty[own] = None
                    self._flush_soon()
                self.keep(own)
        if now - self._ends_at >= ENDS_SECONDS:
            self._ends_at = now
            if self._ends is None or self._ends.done():
                self._ends = self.spawn(self._find_ends())
        self._looking = None
        if self._texts:
            self._looking = self._loop.call_later(LOOK_SECONDS, self._look)

    async def _find_ends(self) -> None:
        """Learn which have ended in rooms that nobody watches here.

        In those that are watched the comparison of heads tells of it.
        """
        watched = self._hub.rooms
        texts = [own for own in self._texts.values() if own.room_id not in watched]
        if not texts:
            return
        try:
            marked = await self._reader.run(marked_in, {own.room_id for own in texts})
        except LogUnavailable:
            return  # at the next look
        for own in texts:
            if own.state is None and (own.room_id, own.seq) not in marked:
                await self.learn_end(own)

    # --- telling ---

    def _flush_soon(self) -> None:
        if self._flushing is None:
            due = max(self._flushed_at + FLUSH_SECONDS, self._loop.time())
            self._flushing = self._loop.call_at(due, self._flush)

    def _flush(self) -> None:
        """Tell what has grown since the last time."""
        self._flushing = None
        self._flushed_at = self._loop.time()
        dirty, self._dirty = self._dirty, {}
        for own in dirty:
            told = _partial(own, own.saved)
            if not self._hub.grow(own.room_id, told):
                self._hub.grow(own.room_id, _partial(own, 0))
            self._neighbours.tell_partial(own.room_id, told)

    def show(self, room_id: int) -> None:
        """Give a room that is watched from now on the texts that grow in it."""
        for own in self.in_room(room_id):
            self._hub.grow(room_id, _partial(own, 0))

    # --- ending ---

    def heard(self, room_id: int, events: Iterable[LogEvent]) -> None:
        """Take events of a room that may end what grows in it."""
        if not self._texts:
            return
        for event in events:
            if isinstance(event, Edited | Deleted):
                state = event.state if isinstance(event, Edited) else "cancelled"
                own = self._texts.get((event.room, event.target))
                if own is not None and state is not None:
                    self._over(own, state)
            elif isinstance(event, Membership) and event.change in _OUT:
                for own in self.in_room(room_id):
                    # What was before the message does not end it: it was allowed.
                    is_after = event.seq > own.seq
                    if is_after and own.author.author.id == event.member.id:
                        self.spawn(self._cut(own))

    def _over(self, own: OwnText, state: State) -> None:
        if own.state is None:
            own.state = state
            self._forget(own)
            own.grown.set()
            for told in own.on_end:
                told(state)

    def _forget(self, own: OwnText) -> None:
        if self._texts.pop((own.room, own.seq), None) is None:
            return
        self._dirty.pop(own, None)
        watched = own.room_id in self._hub.rooms
        if not watched and not self.in_room(own.room_id):
            self._neighbours.watched(own.room_id, begins=False)

    def spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object] | None:
        """Have something done that nobody waits for; not after the end."""
        if self._closed:
            work.close()  # another process does it, once this one is not heard of
            return None
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("growing_failed", exc_info=task.exception())

    async def close(self) -> None:
        """Save all, so that its authors may go on elsewhere, and stop."""
        self._closed = True
        for timer in (self._flushing, self._looking):
            if timer is not None:
                timer.cancel()
        for own in list(self._texts.values()):
            own.saving = False  # what came since has to go, too, and goes after that
            self.keep(own)
        tasks: Sequence[asyncio.Task[object]] = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _partial(own: OwnText, at: int) -> Partial:
    return Partial(room=own.room, seq=own.seq, at=at, text=own.text[at:])
