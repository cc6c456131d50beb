"""What a process that serves connections has, once per event loop.

The journal, the node, the reader and the comparison of heads, wired together. It
starts on first use in the running loop, so nothing depends on an ASGI server's
lifespan. What serves connections keeps it until `close_engine`; what needs it for one
message, in a process that may have no server, borrows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import router

from headgate.chat.admission import Admission
from headgate.chat.conf import conf
from headgate.chat.growing_care import GrowingCare
from headgate.chat.growing_rows import Growing
from headgate.chat.heads import HeadWatch
from headgate.chat.history import DatabaseLog
from headgate.chat.hooks import call_here, handlers_of, is_anybody_told, room_event
from headgate.chat.journal import Journal
from headgate.chat.limit_changes import LimitChanges
from headgate.chat.models import Event
from headgate.chat.neighbours import Neighbours
from headgate.chat.notices import Notice
from headgate.chat.open_places import close_open_places
from headgate.chat.own_texts import OwnText, OwnTexts
from headgate.chat.profiles import add_known_avatars
from headgate.chat.project_threads import ProjectThreads
from headgate.chat.reader import Reader
from headgate.chat.standing import Standing
from headgate.chat.teller import Teller
from headgate.chat.used_tickets import close_used_tickets
from headgate.live.connection import Watch
from headgate.live.node import Node
from headgate.live.presence import Attendance, People
from headgate.live.signals import Signal
from headgate.protocol.pushes import LogEvent, Partial

if TYPE_CHECKING:
    from headgate.chat.visitor import Visitor

__all__ = [
    "Engine",
    "borrow_engine",
    "close_engine",
    "engine",
    "give_back_engine",
    "hint",
    "hint_access",
    "started_engine",
    "tell_handlers",
]

_engines: dict[asyncio.AbstractEventLoop, Engine] = {}


class Engine:
    """The chat of one event loop.

    Its parts have threads and connections of their own; in the tests of projects
    (`headgate.testing`) others stand in their places, which have none.

    Attributes:
        kept: Whether it stays until `close_engine`, whoever gives it back.
        borrowers: How many have borrowed it and not given it back.
    """

    reader_class: type[Reader] = Reader
    journal_class: type[Journal] = Journal
    heads_class: type[HeadWatch] = HeadWatch
    threads_class: type[ProjectThreads] = ProjectThreads

    def __init__(self) -> None:
        settings = conf()
        self.kept = False
        self.borrowers = 0
        self.reader = self.reader_class()
        self.standing = Standing(self.reader)
        self.node = Node(
            DatabaseLog(self.reader),
            resume_limit=settings.RESUME_LIMIT,
            told=self._told,
            came=self._came,
            went=self._went,
            caught_up=self._caught_up,
            watched=self._watched,
        )
        self.standing.node = self.node
        self.limit_changes = LimitChanges(self.reader, self.node)
        self.standing.limits_of = self.limit_changes.known
        self.filter_threads = self.threads_class()  # for BEFORE_SEND
        self.teller = Teller(self.threads_class())
        # Whether the server stops, so that no answer is begun that would not end; who
        # is to be told then, and the time limits of hellos that are waited for.
        self.draining = False
        self.admission = Admission()
        self.visitors: set[Visitor] = set()
        self.hellos: set[asyncio.Timeout] = set()
        self.journal = self.journal_class(
            self._written,
            max_waiting=settings.JOURNAL_MAX_WAITING,
            max_waiting_bytes=settings.JOURNAL_MAX_WAITING_BYTES,
            using=router.db_for_write(Event),
        )
        self._heads = self.heads_class(
            self.node.hub,
            changed=self._noticed,
            lost=self.standing.lost,
            replaced=self.standing.replaced,
        )
        self.neighbours = Neighbours(
            self.node.hub,
            compare=self._heads.compare,
            look=self._heads.hint,
            heard=self._heard,
            told=self._heard_events,
            grown=self._heard_partial,
        )
        self.own_texts = OwnTexts(
            self.node.hub,
            self.neighbours,
            self.journal,
            self.reader,
            cut=_cut,
        )
        self._care = GrowingCare(
            self.node.hub, self.reader, _cut_left, self.own_texts.is_written
        )
        self.attendance = Attendance(
            lambda: conf().PRESENCE_MAX_PEOPLE,
            signal=self.node.hub.signal,
            tell=self.neighbours.tell_people,
        )

    def _noticed(self, notices: Sequence[Notice]) -> None:
        """Hand on what was noted about people's access, and about limits."""
        self.standing.changed(notices)
        self.limit_changes.changed(notices)

    def _told(self, room_id: int, events: Sequence[LogEvent]) -> None:
        """Take the events of a room before they go out."""
        self.standing.told(room_id, events)
        self.own_texts.heard(room_id, events)

    def _written(self, written: Sequence[tuple[int, LogEvent]]) -> None:
        """Hand what the journal wrote to the hub, in one run per room."""
        add_known_avatars([push for _, push in written])
        runs: dict[int, list[LogEvent]] = {}
        for room_id, push in written:
            runs.setdefault(room_id, []).append(push)
        for room_id, events in runs.items():
            self.node.hub.publish(room_id, events)
            self.own_texts.heard(room_id, events)
            self.neighbours.tell_events(room_id, events)
        if is_anybody_told():
            for _, push in written:
                handlers = handlers_of(str(push.__struct_config__.tag), push.room)
                if handlers:
                    self.teller.tell(handlers, room_event(push))

    def _watched(self, room_id: int, begins: bool) -> None:  # noqa: FBT001 - the node's call
        # What grows here has to hear of its end, whoever watches.
        if begins or not self.own_texts.in_room(room_id):
            self.neighbours.watched(room_id, begins)
        if begins:
            self.own_texts.show(room_id)

    def _came(self, watch: Watch) -> None:
        who = watch.connection.owner
        self.attendance.came(watch, watch.rights.slug, who.key, who.author)
        self.node.touch(watch.connection)

    def _went(self, watch: Watch) -> None:
        self.attendance.went(watch.room_id, watch.connection.owner.key)

    def _caught_up(self, watch: Watch) -> None:
        self.attendance.show(watch)
        self.node.touch(watch.connection)

    def _heard(self, room_id: int, people: People) -> None:
        self.attendance.heard(room_id, people)

    def _heard_events(self, room_id: int, events: Sequence[LogEvent]) -> None:
        self.own_texts.heard(room_id, events)

    def _heard_partial(self, room_id: int, partial: Partial) -> None:
        self._care.heard(room_id, partial)

    def signal(self, room_id: int, signal: Signal) -> None:
        """Hand a push that may be lost to whom it concerns, in all processes."""
        self.node.hub.signal(room_id, signal)
        self.neighbours.tell_signal(room_id, signal)

    def reach(self, room_id: int, head: int) -> None:
        """Take the hint that a room's log goes up to a seq, and hand it on."""
        self.node.hub.reach(room_id, head)
        self.neighbours.tell_head(room_id, head)

    def look_for_notices(self) -> None:
        """Look at once for what was noted about people's access; the others, too."""
        self._heads.hint()
        self.neighbours.tell_notice()

    async def close(self) -> None:
        """Write what was submitted, then let go of threads and database."""
        await self._care.close()
        await self.own_texts.close()
        await self.journal.close()
        await self.teller.close()
        await self.filter_threads.close()
        self.attendance.close()
        await self.neighbours.close()
        await self._heads.close()
        self.node.close()
        await self.limit_changes.close()
        await self.standing.close()
        await close_open_places()
        await close_used_tickets()
        await self.reader.close()

    def abandon(self) -> None:
        """Let go of what can be where the loop was closed and `close` cannot run.

        The journal's thread keeps all of it; the other threads end, and what is open
        is closed, as it is collected.
        """
        self.journal.abandon()


async def _cut(own: OwnText) -> object:
    # Not at the top: what ends a message asks for the running engine.
    from headgate.chat.growing_ends import cut

    return await cut(own)


async def _cut_left(room: str, growing: Growing, alive_at: datetime) -> object:
    from headgate.chat.growing_ends import cut_left

    return await cut_left(room, growing, alive_at)


def engine(kind: type[Engine] = Engine) -> Engine:
    """Return the running loop's engine, started as one of that kind on first use.

    It is there until `close_engine`.
    """
    running = _started(kind)
    running.kept = True
    return running


def borrow_engine() -> Engine:
    """Return the running loop's engine, to be given back by `give_back_engine`."""
    running = _started(Engine)
    running.borrowers += 1
    return running


async def give_back_engine(running: Engine) -> None:
    """Close an engine that nobody else has borrowed, unless it is kept."""
    running.borrowers -= 1
    if not running.kept and not running.borrowers and started_engine() is running:
        await close_engine()


def _started(kind: type[Engine]) -> Engine:
    loop = asyncio.get_running_loop()
    started = _engines.get(loop)
    if started is None:
        for each in list(_engines):
            if each.is_closed() and (left := _engines.pop(each, None)) is not None:
                left.abandon()
        started = _engines[loop] = kind()
    return started


def started_engine() -> Engine | None:
    """Return the running loop's engine if there is one."""
    return _engines.get(asyncio.get_running_loop())


async def close_engine() -> None:
    """Close the running loop's engine if there is one."""
    started = _engines.pop(asyncio.get_running_loop(), None)
    if started is not None:
        await started.close()


def hint(room_id: int, head: int) -> None:
    """Tell this process's engines, from any thread, that a room's log has grown."""
    for loop, started in list(_engines.items()):
        if not loop.is_closed():
            loop.call_soon_threadsafe(started.reach, room_id, head)


def hint_access() -> None:
    """Tell this process's engines, from any thread, that there is a notice to read."""
    for loop, started in list(_engines.items()):
        if not loop.is_closed():
            loop.call_soon_threadsafe(started.look_for_notices)


def tell_handlers(push: LogEvent) -> None:
    """Have the project's handlers told of an event, once, from any thread.

    They are called beside the connections that this process serves; where it serves
    none, here and now.
    """
    handlers = handlers_of(str(push.__struct_config__.tag), push.room)
    if not handlers:
        return
    event = room_event(push)
    for loop, started in list(_engines.items()):
        if loop.is_running():
            loop.call_soon_threadsafe(started.teller.tell, handlers, event)
            return
    call_here(handlers, event)
