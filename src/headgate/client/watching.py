"""The rooms that the application wants to watch, over all connections.

Knows who waits for a join, and tells the application when a room is refused later.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headgate.client.errors import NotSent, RoomRefused, wait_seconds
from headgate.client.incoming import RoomLost
from headgate.client.rooms import InOrder, Room
from headgate.protocol.commands import Position
from headgate.protocol.fields import MAX_ROOMS
from headgate.protocol.pushes import Gap

if TYPE_CHECKING:
    from headgate.client.inbox import Inbox
    from headgate.client.incoming import Push
    from headgate.protocol.pushes import Error, RoomJoined

__all__ = ["Watching"]


class Watching:
    """All rooms of one client.

    Args:
        inbox: Where what follows on is put.
        work: Set when a room needs a join or a repair.
    """

    def __init__(self, inbox: Inbox[Push], work: asyncio.Event) -> None:
        self._inbox = inbox
        self._work = work
        self._rooms: dict[str, Room] = {}

    def __contains__(self, room: object) -> bool:
        """Return whether a slug is watched, or whether this `Room` still is."""
        if isinstance(room, Room):
            return self._rooms.get(room.slug) is room
        return room in self._rooms

    def add(self, slug: str, after: int | None, epoch: str | None) -> Room:
        """Begin to watch a room, or return it if that has begun."""
        room = self._rooms.get(slug)
        if room is None:
            joined = asyncio.get_running_loop().create_future()
            room = Room(slug, joined, position=after, epoch=epoch)
            self._rooms[slug] = room
            self._work.set()
        return room

    def remove(self, slug: str) -> None:
        """Stop watching a room; pushes that are on their way are let go."""
        room = self._rooms.pop(slug, None)
        if room is not None:
            room.behind = False
            _fail(room, NotSent(None, unanswered=False))

    def in_order(self, push: InOrder, *, fits: bool) -> None:
        """Deliver a push, keep it for the repair of its room, or drop a double."""
        room = self._rooms.get(push.room)
        if room is None:
            return
        if room.take(push, fits=fits) and not isinstance(push, Gap):  # it never is
            self._inbox.put(push)
        elif room.behind:
            self._work.set()

    def unjoined(self) -> list[Room]:
        """Return the rooms for which a join is to be sent, and count it as sent."""
        rooms = [r for r in self._rooms.values() if not r.confirmed and not r.joining]
        for room in rooms:
            room.joining = True
        return rooms

    def may_mark(self, room: str) -> bool:
        """Return whether a read mark may be moved now: not while a room is joined.

        Where it is not watched at all the server says what it thinks of that.
        """
        watched = self._rooms.get(room)
        return watched is None or watched.confirmed

    def next_behind(self) -> Room | None:
        """Return a room that needs repair."""
        rooms = self._rooms.values()
        return next((room for room in rooms if room.confirmed and room.behind), None)

    def positions(self, max_bytes: int) -> dict[str, Position]:
        """Return what to resume, as much as one hello may hold."""
        positions: dict[str, Position] = {}
        for room in self._rooms.values():
            if room.position is None:
                continue
            max_bytes -= len(f'"{room.slug}":{{"seq":{room.position},"epoch":}},')
            max_bytes -= len(repr(room.epoch)) + 2  # "null" is longer than "None"
            if max_bytes < 0 or len(positions) == MAX_ROOMS:
                break
            positions[room.slug] = Position(room.position, room.epoch)
        return positions

    def resumed(self, slug: str, info: RoomJoined) -> None:
        """Take in a room's part of a welcome.

        What is refused for now only is joined by command, which has a retry.
        """
        room = self._rooms.get(slug)
        if room is None:
            return
        if info.error is None:
            self.joined(room, info)
        elif wait_seconds(info.error) is None:
            self.lose(room, info.error)

    def joined(self, room: Room, info: RoomJoined) -> None:
        """Take in that the server lets us watch a room."""
        if room not in self:
            return
        room.confirm(info)
        self._work.set()
        if not room.joined.done():
            room.joined.set_result(info)

    def lose(self, room: Room, error: Error) -> None:
        """Drop a room that is refused, and say so to whoever can know."""
        if room not in self:
            return
        del self._rooms[room.slug]
        room.behind = False
        if room.joined.done():
            self._inbox.put(RoomLost(room=room.slug, error=error))
        else:
            _fail(room, RoomRefused(room.slug, error))

    def disconnect(self) -> None:
        """Note that the connection is over."""
        for room in self._rooms.values():
            room.disconnect()

    def end(self, ending: BaseException) -> None:
        """Let everybody who waits for a join know that there will be none."""
        for room in self._rooms.values():
            _fail(room, ending)


def _fail(room: Room, error: BaseException) -> None:
    if not room.joined.done():
        room.joined.set_exception(error)
        room.joined.exception()  # nobody has to be waiting
