"""The work on one connection: deliver what comes, start what falls due.

A task group with the reader, the keepalive and a loop that starts joins, messages
and repairs. When the group ends the connection is over, and what it did not finish
waits for the next one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from headgate.client.catch_up import catch_up
from headgate.client.errors import ClosedByServer, Lost, Refused, wait_seconds
from headgate.client.incoming import FromServer, Page, UnknownEvent
from headgate.client.outbox import Sent
from headgate.protocol.commands import History, Join
from headgate.protocol.pushes import (
    Deleted,
    Edited,
    Gap,
    Membership,
    Message,
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
    from headgate.client.inbox import Inbox
    from headgate.client.incoming import Push
    from headgate.client.outbox import Entry, Outbox
    from headgate.client.rooms import Room
    from headgate.client.watching import Watching

__all__ = ["Visit"]


class Visit:
    """What is done while one connection lasts."""

    def __init__(
        self,
        connection: Connection,
        *,
        watching: Watching,
        outbox: Outbox,
        inbox: Inbox[Push],
        work: asyncio.Event,
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._watching = watching
        self._outbox = outbox
        self._inbox = inbox
        self._work = work
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
                fits = await inbox.space(hurry)
                self._watching.in_order(push, fits=fits)
            case Reset():
                await inbox.space()
                self._watching.in_order(push, fits=True)
            case TypingSignal() | ReadMark() | Presence():
                if await inbox.space(hurry) and push.room in self._watching:
                    inbox.put(push)
            case Rooms() | RoomChanged():
                await inbox.space()
                inbox.put(push)

    async def _start_due(self, group: asyncio.TaskGroup) -> None:
        """Start joins, then messages, then repairs, whenever one falls due."""
        while True:
            self._work.clear()
            for room in self._watching.unjoined():
                group.create_task(self._join(room))
            for entry in self._outbox.take(self._clock()):
                group.create_task(self._send(entry))
            if not self._mending and self._watching.next_behind() is not None:
                self._mending = True
                group.create_task(self._mend())
            due = self._outbox.next_at()
            wait = None if due is None else max(due - self._clock(), 0.0)
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
                )
                self._watching.joined(room, info)
                return

    async def _send(self, entry: Entry) -> None:
        """Send a message and settle it, or put it off when refused for now only."""
        try:
            saved = await self._connection.call(entry.command)
        except Lost:
            return  # it stays in flight until the connection is over
        except Refused as refusal:
            wait = wait_seconds(refusal.error)
            if wait is None:
                self._outbox.remove(entry)
                entry.settle(refusal)
            else:
                self._outbox.postpone(entry, self._clock() + wait)
        else:
            self._outbox.remove(entry)
            entry.settle(Sent(saved.seq, saved.at, entry.client_id))
        self._work.set()

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
