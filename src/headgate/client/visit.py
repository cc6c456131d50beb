"""The work on one connection: deliver what comes, start what falls due.

A task group with the reader, the keepalive and a loop that starts joins, messages
and repairs. When the group ends the connection is over, and what it did not finish
waits for the next one.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from headgate.client.catch_up import catch_up
from headgate.client.errors import ClosedByServer, Lost, Refused, wait_seconds
from headgate.client.incoming import FromServer, Page, UnknownEvent
from headgate.client.outbox import Sent
from headgate.protocol.codes import Code
from headgate.protocol.commands import History, Join, Read, Typing
from headgate.protocol.pushes import (
    Deleted,
    Edited,
    Gap,
    Membership,
    Message,
    Partial,
    Presence,
    ReadMark,
    Reset,
    RoomChanged,
    RoomJoined,
    Rooms,
    TypingSignal,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.client.connection import Connection
    from headgate.client.growing import OwnGrowing
    from headgate.client.inbox import Inbox
    from headgate.client.incoming import Push
    from headgate.client.outbox import Entry, Outbox
    from headgate.client.pacing import Pacing, Turn
    from headgate.client.rooms import Room
    from headgate.client.signals import Signals
    from headgate.client.watching import Watching

__all__ = ["Visit"]

JITTER_SECONDS = 0.25  # after a refusal: others may have been told the same

_log = logging.getLogger("headgate.client")


class Visit:
    """What is done while one connection lasts."""

    def __init__(
        self,
        connection: Connection,
        *,
        watching: Watching,
        outbox: Outbox,
        inbox: Inbox[Push],
        pacing: Pacing,
        signals: Signals,
        own_growing: OwnGrowing,
        work: asyncio.Event,
        random: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._watching = watching
        self._outbox = outbox
        self._inbox = inbox
        self._pacing = pacing
        self._signals = signals
        self._own_growing = own_growing
        self._work = work
        self._random = random
        self._clock = clock
        self._mending = False

    async def run(self) -> None:
        """Work until the connection ends; raises `Lost` or `ClosedByServer`."""
        connection = self._connection
        endings: list[Exception] = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(connection.read(self._on_push))
                group.create_task(connection.failure())
                group.create_task(connection.keep_alive())
                # Not a task: a group that is past its body when a task fails counts
                # a cancellation that nobody made (Python 3.11).
                await self._start_due(group)
        except* (ClosedByServer, Lost) as caught:
            endings.extend(caught.exceptions)
        endings.sort(key=lambda exc: isinstance(exc, Lost))  # "don't" wins
        raise endings[0]

    async def _on_push(self, push: FromServer) -> None:
        """Deliver a push; waits for space, unless a reply is awaited behind it.

        The application may be waiting for that very reply before it reads on. Then
        events are left to the log, and signals, which may be lost, are.
        """
        inbox, hurry = self._inbox, self._connection.is_awaited
        match push:
            case (
                Message() | Edited() | Deleted() | Membership() | UnknownEvent() | Gap()
            ):
                if isinstance(push, Edited | Deleted):
                    self._own_growing.ended(push)
                fits = await inbox.space(hurry)
                self._watching.in_order(push, fits=fits)
            case Reset():
                self._signals.forget(push.room)
                await inbox.space()
                self._watching.in_order(push, fits=True)
            case TypingSignal() | ReadMark() | Partial() | Presence():
                if await inbox.space(hurry) and push.room in self._watching:
                    inbox.put(push)
            case Rooms() | RoomChanged():
                if isinstance(push, RoomChanged):
                    self._slow_mode(push.room, push.slow_mode_ms, exempt=push.exempt)
                await inbox.space()
                inbox.put(push)

    async def _start_due(self, group: asyncio.TaskGroup) -> None:
        """Start joins, messages, signals and repairs, whenever one falls due."""
        may_mark = self._watching.may_mark
        while True:
            self._work.clear()
            now = self._clock()
            for room in self._watching.unjoined():
                group.create_task(self._join(room))
            for entry, turn in self._outbox.take(now, self._pacing):
                self._signals.sent_message(entry.room)
                group.create_task(self._send(entry, turn))
            for typing in self._signals.take_typing(now, self._pacing):
                group.create_task(self._say(typing))
            for mark in self._signals.take_marks(now, may_mark):
                group.create_task(self._mark(mark))
            if not self._mending and self._watching.next_behind() is not None:
                self._mending = True
                group.create_task(self._mend())
            signal_at = self._signals.next_at(now, self._pacing, may_mark)
            due = [at for at in (self._outbox.next_at(), signal_at) if at is not None]
            wait = max(min(due) - self._clock(), 0.0) if due else None
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._work.wait()

    async def _join(self, room: Room) -> None:
        """Join a room, for as long as it is wanted and refused for now only."""
        while room in self._watching:
            join = Join(room=room.slug, after=room.position, epoch=room.epoch)
            try:
                reply = await self._connection.call(join)
            except Lost:
                return
            except Refused as refusal:
                wait = wait_seconds(refusal.error)
                if wait is None:
                    self._watching.lose(room, refusal.error)
                    return
                await asyncio.sleep(wait)
            else:
                info = RoomJoined(
                    head=reply.head,
                    epoch=reply.epoch,
                    title=reply.title,
                    read=reply.read,
                    unread=reply.unread,
                    slow_mode_ms=reply.slow_mode_ms,
                    moderates=reply.moderates,
                    read_only=reply.read_only,
                )
                slow_mode_ms = reply.slow_mode_ms or 0
                self._slow_mode(room.slug, slow_mode_ms, exempt=reply.moderates)
                self._watching.joined(room, info)
                return

    async def _send(self, entry: Entry, turn: Turn) -> None:
        """Send a message and settle it, or put it off when refused for now only."""
        try:
            saved = await self._connection.call(entry.command, turn)
        except Lost:
            return  # it stays in flight until the connection is over
        except Refused as refusal:
            wait = wait_seconds(refusal.error)
            if wait is None:
                self._outbox.refuse(entry, refusal)
            else:
                if refusal.code == Code.RATE_LIMITED:
                    wait += self._random() * JITTER_SECONDS
                until = self._clock() + wait
                self._outbox.postpone(entry, until, refusal.error.policy)
        else:
            self._outbox.remove(entry)
            entry.settle(Sent(saved.seq, saved.at, entry.client_id))
        self._work.set()

    async def _say(self, typing: Typing) -> None:
        """Say who is typing; it may be lost, and refused where nobody asks for it."""
        with suppress(Lost, Refused):
            await self._connection.call(typing)

    async def _mark(self, mark: Read) -> None:
        """Move a read mark; if the connection is lost, the next one does it."""
        try:
            await self._connection.call(mark)
        except Lost:
            return
        except Refused as refusal:
            wait = wait_seconds(refusal.error)
            if wait is None:
                self._signals.marked(mark)
                _log.warning("Read mark in %s refused: %s", mark.room, refusal)
            else:
                self._signals.put_back(mark, self._clock() + wait)
                self._work.set()
        else:
            self._signals.marked(mark)

    def _slow_mode(self, room: str, slow_mode_ms: int, *, exempt: bool) -> None:
        now = self._clock()
        self._pacing.slow_mode(room, slow_mode_ms, exempt=exempt, now=now)
        self._work.set()  # what waits may have less to wait for

    async def _mend(self) -> None:
        """Mend rooms one after the other: history has its price."""
        try:
            while (room := self._watching.next_behind()) is not None:
                try:
                    await catch_up(room, self._inbox, self._page)
                except Refused as refusal:
                    self._watching.lose(room, refusal.error)
        except Lost:
            return
        finally:
            self._mending = False
            self._work.set()

    async def _page(self, history: History) -> Page:
        while True:
            try:
                page = await self._connection.call(history)
            except Refused as refusal:
                wait = wait_seconds(refusal.error)
                if wait is None:
                    raise
                await asyncio.sleep(wait)
            else:
                if isinstance(page, Page):
                    return page
                raise Lost("a page of messages instead of events")
