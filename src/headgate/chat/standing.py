"""Open connections and people's standing: cut who was removed, ask again for others.

Sees each run of events before it goes out, so that nothing after a removal reaches
whoever was removed. Logouts, and accounts and rights that may have changed, come as
notices; the accounts of everybody are looked at again now and then as well, since
not every change is noted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from headgate.chat.limit_changes import tell_room
from headgate.chat.models import AccessChange
from headgate.chat.notices import Notice
from headgate.chat.permissions import Deny, Rights
from headgate.chat.profiles import outdate
from headgate.chat.push_pace import follow_pace
from headgate.chat.reader import Reader
from headgate.chat.recheck import Account, Answer, Recheck
from headgate.chat.room_limits import RoomLimits
from headgate.live.connection import Connection, Watch
from headgate.live.frames import Mode
from headgate.live.node import Node
from headgate.protocol.codec import error
from headgate.protocol.codes import Close, Code
from headgate.protocol.pushes import Error, LogEvent, Membership, Rooms

__all__ = ["Standing"]

logger = logging.getLogger("headgate.standing")

SWEEP_SECONDS = 60.0  # between looks at all accounts
# After a notice, those who come in may still have been let in by what it ended: a
# session is read at the handshake, and hello may take 10 s.
DOUBT_SECONDS = 60.0
# Before a connection is closed after a change of password: the answer that sets the
# new cookie is on its way, and whoever is still signed in comes back with that.
COOKIE_SECONDS = 0.5

_ENDS = {"removed": Deny(Code.NOT_FOUND), "banned": Deny(Code.BANNED)}

_LOGGED_OUT = error(Code.UNAUTHENTICATED, "You have signed out.")
_GONE = error(Code.FORBIDDEN, "This account is not active any more.")
_CHANGED = error(Code.UNAUTHENTICATED, "Show again who you are.")


class Standing:
    """Keeps what open connections may do in step with the log, and with accounts."""

    def __init__(self, reader: Reader) -> None:
        self._loop = asyncio.get_running_loop()
        self._recheck = Recheck(reader, self._found)
        self._sweeping = self._loop.create_task(self._sweep())
        self._doubt_until = 0.0
        self.node: Node | None = None
        # Returns a room's limits where they are known better than by a look.
        self.limits_of: Callable[[int], RoomLimits | None] = lambda _: None
        # Counts what may have changed rights, for whoever is coming into a room.
        self.changes = 0

    # --- the log ---

    def told(self, room_id: int, events: Sequence[LogEvent]) -> None:
        """Look for memberships in a run of events that is about to go out."""
        for place, event in enumerate(events):
            if isinstance(event, Membership):
                self._note(room_id, event.seq)
                for watch in self._watches_of(room_id, event.member.id):
                    if event.change in _ENDS:
                        denial = _ENDS[event.change]
                        self._cut(watch, event.room, events[: place + 1], denial)
                    else:
                        self.ask(watch)

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

    def _cut(
        self,
        watch: Watch,
        room: str,
        last: Sequence[LogEvent],
        denial: Deny,
    ) -> None:
        """End a watch; the event that ended it is the last that the client gets.

        What stands before it in the same run is still theirs, unless they are behind.
        In plain mode there is nothing without the room, and in an event stream
        nothing without the last one. Whoever is coming in is told by their welcome,
        which refuses the room.
        """
        if self.node is None:
            return
        connection = watch.connection
        watch.rights = denial
        if last:
            self.node.hub.finish(watch, last[:-1])
        else:
            self.node.hub.leave(watch)
        if watch.begun and connection.mode is not Mode.PLAIN:
            for event in last[-1:]:
                connection.put_in_order(event)
            connection.put_in_order(Rooms(left=[room]))
            self.node.touch(connection)
        streams = connection.mode is Mode.STREAM and watch.begun
        if connection.mode is Mode.PLAIN or (streams and not connection.watches):
            failure = error(denial.code, denial.text)
            connection.end(Close.ACCESS_REVOKED, failure, after_what_waits=True)

    def ask(self, watch: Watch) -> None:
        """Decide again what somebody may do in a room, before all that was noted."""
        self._recheck.place(watch, soon=True)

    # --- notices ---

    def changed(self, notices: Sequence[Notice]) -> None:
        """Follow what was noted about people's access."""
        what = AccessChange.What
        if any(each.what in what.of_people() for each in notices):
            self._doubt_until = self._loop.time() + DOUBT_SECONDS
        for notice in notices:
            if notice.what in {what.ACCESS, what.USER} and notice.room_id is None:
                outdate(notice.author_key)
        sessions = {each.session for each in notices if each.what == what.LOGOUT}
        self._close_sessions(sessions - {""})
        people = {each.author_key for each in notices if each.what == what.USER}
        for connection in self._connections():
            if connection.owner.key in people:
                self._recheck.person(connection)
        self._access_changed({each for each in notices if each.what == what.ACCESS})
        if any(each.what == what.ROOM for each in notices):
            self.changes += 1  # whoever is coming in may have seen it as it was

    def lost(self) -> None:
        """Notices were missed: confirm all that can be, and have the others come back.

        Whether a session has ended only its notice says.
        """
        self._doubt_until = self._loop.time() + DOUBT_SECONDS
        for connection in self._connections():
            if connection.owner.session:
                self._end(connection, Close.IDENTITY_CHANGED, _CHANGED)
        self._access_changed({Notice(AccessChange.What.ACCESS)})

    def replaced(self, room_id: int) -> None:
        """Have whoever watches a room come back: its log is another than they know.

        With the last of them this process forgets what it knew of the room. Whoever
        comes back with a place in the epoch before is told to load it afresh.
        """
        if self.node is not None:
            logger.warning("log_replaced room=%d", room_id)
            for watch in self.node.hub.live_watches(room_id):
                self._end(watch.connection, Close.UNAVAILABLE, None)

    def came(self, connection: Connection) -> None:
        """Look at somebody who has just come in, if they came while access changed."""
        if self._loop.time() < self._doubt_until:
            self._recheck.person(connection)

    def _connections(self) -> list[Connection]:
        return [] if self.node is None else list(self.node.connections)

    def _close_sessions(self, sessions: set[str]) -> None:
        if sessions:
            for connection in self._connections():
                if connection.owner.session in sessions:
                    self._end(connection, Close.ACCESS_REVOKED, _LOGGED_OUT)

    def _access_changed(self, notices: set[Notice]) -> None:
        if not notices:
            return
        self.changes += 1
        # Of somebody, or of everybody under the empty key: None stands for all rooms.
        rooms: dict[str, set[int | None]] = {}
        for notice in notices:
            rooms.setdefault(notice.author_key, set()).add(notice.room_id)
        everybody = rooms.get("", set())
        for connection in self._connections():
            where = everybody | rooms.get(connection.owner.key, set())
            if None in where:
                self._recheck.person(connection)
            for watch in connection.watches.values():
                if None in where or watch.room_id in where:
                    self._recheck.place(watch)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for connection in self._connections():
                if connection.owner.user is not None:
                    self._recheck.person(connection)

    # --- what follows ---

    def _found(
        self,
        connection: Connection,
        watch: Watch | None,
        answer: Answer,
    ) -> None:
        """Act on how somebody stands now."""
        if answer.account is Account.LOGGED_OUT:
            self._end(connection, Close.ACCESS_REVOKED, _LOGGED_OUT)
        elif answer.account is Account.GONE:
            self._end(connection, Close.ACCESS_REVOKED, _GONE)
        elif answer.account is Account.CHANGED:
            self._loop.call_later(
                COOKIE_SECONDS,
                self._end,
                connection,
                Close.IDENTITY_CHANGED,
                _CHANGED,
            )
        else:
            # The user as they are now: their permissions in the project are kept there.
            connection.owner = answer.actor
            if watch is not None:
                self._place_found(watch, answer)

    def _place_found(self, watch: Watch, answer: Answer) -> None:
        if watch.connection.watches.get(watch.room_id) is not watch:
            return  # left meanwhile
        if isinstance(answer.rights, Deny):
            self._cut(watch, watch.rights.slug, (), answer.rights)
        elif answer.rights is not None:
            before: Rights = watch.rights
            limits = self.limits_of(watch.room_id) or answer.rights.limits
            watch.rights = replace(answer.rights, crowded=before.crowded, limits=limits)
            if self.node is not None:
                tell_room(self.node, watch, before)
                follow_pace(self.node, watch)

    def _end(self, connection: Connection, close: Close, failure: Error | None) -> None:
        """Close a connection; nothing that waits for it is delivered any more."""
        if self.node is not None:
            for watch in list(connection.watches.values()):
                self.node.hub.leave(watch)
        connection.end(close, failure)

    async def close(self) -> None:
        """Stop asking."""
        self._sweeping.cancel()
        await asyncio.gather(self._sweeping, return_exceptions=True)
        await self._recheck.close()
