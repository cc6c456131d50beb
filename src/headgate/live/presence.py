"""Who is in a room, in all processes.

Somebody is there as long as one of their connections watches the room. Comings and
goings are told joined, at most once in a second, and not at all in a room with too many
people: those who watch are told that once.

Each process tells the others whom it has there, when that changes and every ten
seconds; what it told holds for a lease of thirty. So whoever was in a process that is
gone leaves by himself, and a hint that was lost is made good.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from headgate.live.connection import Watch
from headgate.live.frames import Shared
from headgate.live.signals import Signal
from headgate.protocol.pushes import Author, Presence

__all__ = ["Attendance", "People"]

JOIN_SECONDS = 1.0  # for which comings and goings are gathered
RENEW_SECONDS = 10.0
LEASE_SECONDS = 30.0
_NEAR = 0.8  # of the most people: below it a room that was too full is told again


class People(Struct, omit_defaults=True):
    """Whom a process has in a room, as it tells the others.

    `people` is left out where they are more than are told. `ask` wants the others to
    tell whom they have.
    """

    process: str
    count: int
    people: list[Author] = []
    ask: bool = False


class _Room:
    """A room with somebody in it, here or elsewhere."""

    __slots__ = ("elsewhere", "here", "name", "off", "told")

    def __init__(self, name: str) -> None:
        self.name = name
        # Those of this process by their keys, with how many connections they have.
        self.here: dict[str, tuple[Author, int]] = {}
        # By process: until when it holds, and what it told.
        self.elsewhere: dict[str, tuple[float, People]] = {}
        self.told: dict[str, Author] = {}  # by id; what those who watch know
        self.off = False  # whether they know that nothing is told

    def now(self) -> dict[str, Author]:
        """Return who is there, by id."""
        found = {author.id: author for author, _ in self.here.values()}
        for _, people in self.elsewhere.values():
            found.update((author.id, author) for author in people.people)
        return found

    def most_elsewhere(self) -> int:
        """Return the number of people in the process that has most of them."""
        return max((people.count for _, people in self.elsewhere.values()), default=0)


class Attendance:
    """Keeps who is where. Used on its event loop only.

    Args:
        most: Returns up to how many people in a room it is told who is there; 0: in
            no room.
        signal: Hands a signal to those who watch a room in this process.
        tell: Tells the other processes about a room.
    """

    def __init__(
        self,
        most: Callable[[], int],
        *,
        signal: Callable[[int, Signal], None],
        tell: Callable[[int, People], None],
    ) -> None:
        self._most = most
        self._signal = signal
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._process = secrets.token_hex(6)
        self._rooms: dict[int, _Room] = {}
        self._changed: set[int] = set()  # rooms to be looked at when the second is over
        self._own: set[int] = set()  # those of them of which others are to be told
        self._timer: asyncio.TimerHandle | None = None
        self._renewal = self._loop.call_later(RENEW_SECONDS, self._renew)
        self._told = 0

    # --- this process ---

    def came(self, watch: Watch, name: str, key: str, author: Author) -> None:
        """Note that somebody watches a room, and tell them who is there."""
        if not self._most():
            return
        room = self._rooms.get(watch.room_id)
        if room is None:
            room = self._rooms[watch.room_id] = _Room(name)
            self._tell(watch.room_id, self._people(room, ask=True))
        known, connections = room.here.get(key, (None, 0))
        room.here[key] = author, connections + 1
        self.show(watch)
        if author != known:  # somebody new, or by another name
            self._change(watch.room_id)

    def went(self, room_id: int, key: str) -> None:
        """Note that one connection of somebody watches a room no longer."""
        room = self._rooms.get(room_id)
        if room is None or key not in room.here:
            return
        author, connections = room.here[key]
        if connections > 1:
            room.here[key] = author, connections - 1
        else:
            del room.here[key]
            self._change(room_id)

    def find(self, room_id: int, key: str) -> Author | None:
        """Return somebody who is in a room, as far as this process knows, or None."""
        room = self._rooms.get(room_id)
        return None if room is None else room.now().get(key)

    def show(self, watch: Watch) -> None:
        """Tell one who watches what the others know: at first, or what was missed.

        Nothing is told where they know of nobody.
        """
        room = self._rooms.get(watch.room_id)
        if room is not None and (room.told or room.off):
            here = None if room.off else list(room.told.values())
            push = Presence(room=room.name, here=here, off=room.off)
            watch.connection.put_shared(Shared(push))

    # --- other processes ---

    def heard(self, room_id: int, people: People) -> None:
        """Take what another process tells."""
        room = self._rooms.get(room_id)
        if room is None:
            return
        until = self._loop.time() + LEASE_SECONDS
        if people.count:
            room.elsewhere[people.process] = until, people
        else:
            room.elsewhere.pop(people.process, None)
        if people.ask:
            self._own.add(room_id)
        self._change(room_id, own=people.ask)

    def _people(self, room: _Room, *, ask: bool = False) -> People:
        shown = len(room.here) <= self._most()
        people = [author for author, _ in room.here.values()] if shown else []
        return People(self._process, len(room.here), people, ask)

    def _renew(self) -> None:
        """Tell the others again whom this process has, and end leases."""
        self._renewal = self._loop.call_later(RENEW_SECONDS, self._renew)
        now = self._loop.time()
        for room_id, room in self._rooms.items():
            late = [each for each, (until, _) in room.elsewhere.items() if until <= now]
            for process in late:
                del room.elsewhere[process]
            if late:
                self._change(room_id, own=False)
        self._own.update(self._rooms)
        self._soon()

    # --- telling ---

    def _change(self, room_id: int, *, own: bool = True) -> None:
        self._changed.add(room_id)
        if own:
            self._own.add(room_id)
        self._soon()

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(JOIN_SECONDS, self._tell_all)

    def _tell_all(self) -> None:
        """Tell what has changed within the last second."""
        self._timer = None
        changed, self._changed = self._changed, set()
        own, self._own = self._own, set()
        for room_id in own:
            room = self._rooms.get(room_id)
            if room is not None:
                self._tell(room_id, self._people(room))
        for room_id in changed:
            room = self._rooms.get(room_id)
            if room is not None:
                self._compare(room_id, room)
                if not room.here:  # nobody here wants to know any more
                    del self._rooms[room_id]

    def _compare(self, room_id: int, room: _Room) -> None:
        """Tell those who watch what is other than they know."""
        now = room.now()
        count = max(len(now), room.most_elsewhere())
        most = self._most()
        if count > (most * _NEAR if room.off else most):
            if not room.off:
                room.off, room.told = True, {}
                self._push(room_id, Presence(room=room.name, off=True))
        elif room.off:
            room.off, room.told = False, now
            self._push(room_id, Presence(room=room.name, here=list(now.values())))
        else:
            told = room.told
            joined = [
                author for each, author in now.items() if told.get(each) != author
            ]
            left = [each for each in room.told if each not in now]
            room.told = now
            if joined or left:
                push = Presence(room=room.name, joined=joined, left=left)
                self._push(room_id, push)

    def _push(self, room_id: int, push: Any) -> None:
        """Hand it out under a key of its own: each one counts."""
        self._told += 1
        self._signal(room_id, Signal(("presence", str(self._told)), push))

    def close(self) -> None:
        """Tell the others that nobody is here any more, and stop."""
        self._renewal.cancel()
        if self._timer is not None:
            self._timer.cancel()
        for room_id, room in self._rooms.items():
            if room.here:
                self._tell(room_id, People(self._process, 0))
        self._rooms.clear()
