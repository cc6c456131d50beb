"""A client with an identity: what both modes of the wire do for it.

A `Visitor` enters rooms, hands entries to the journal and answers, with at most
`MAX_IN_FLIGHT` entries unanswered: past it the socket is not read. Nor is that of
somebody who goes on after too many refusals, for a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from headgate.chat.before_send import has_before_send, looked_at
from headgate.chat.conf import conf
from headgate.chat.engine import Engine
from headgate.chat.entries import (
    Change,
    Draft,
    Entry,
    Known,
    Refused,
    Verdict,
    Written,
)
from headgate.chat.gate import Gate, refusal_error
from headgate.chat.hooks import handlers_of
from headgate.chat.journal import Overloaded
from headgate.chat.ladder import Ladder, Step
from headgate.chat.people import Actor
from headgate.chat.permissions import Deny, Rights
from headgate.chat.read_marks import ReadMarks
from headgate.chat.rooms import enter
from headgate.limits.decision import Decision
from headgate.live.connection import Connection, Watch
from headgate.live.frames import Mode, Shared
from headgate.live.ports import Sink
from headgate.protocol.codec import error
from headgate.protocol.codes import Close, Code
from headgate.protocol.fields import MAX_ROOMS
from headgate.protocol.pushes import Error, GoingAway

__all__ = ["MAX_IN_FLIGHT", "Visitor", "denied", "seq_of"]

logger = logging.getLogger("headgate.visitor")

# Whoever sends without joining is not looked up for each message. What changes in a
# room that is not watched is noticed after this, and bans while writing at once.
LOOKED_UP_SECONDS = 1.0
NOWHERE = "-"  # where nobody comes from
NO_STATUS = 1005  # RFC 6455, section 7.4.1: there was no close code
MAX_IN_FLIGHT = 64  # entries of one connection that wait for their verdict


def denied(denial: Deny, client_id: str | None = None) -> Error:
    """Return a denial as an error of the wire."""
    return error(denial.code, denial.text, client_id=client_id)


class Visitor:
    """Somebody on one connection."""

    def __init__(
        self,
        engine: Engine,
        actor: Actor,
        mode: Mode,
        sink: Sink,
        *,
        origin: str = "",
        address: str = NOWHERE,
        rest: Callable[[bool], None] | None = None,
    ) -> None:
        """Begin to serve somebody.

        `address` is what they are counted as if they have no account, and `rest` has
        the server's keepalive rest while the socket is not read, where it can.
        """
        self.engine = engine
        # The Origin that the client came with, or empty: its next ticket is for it.
        self.origin = origin
        self.connection = Connection(
            sink,
            mode,
            owner=actor,
            outbox_max_bytes=conf().OUTBOX_MAX_BYTES,
        )
        self.gate = Gate(actor, address, connected=True)
        # Made when they are needed: most who are here only watch.
        self._marks: ReadMarks | None = None
        self._ladder: Ladder | None = None
        self._rest = rest
        self._going_on: asyncio.TimerHandle | None = None  # at the end of a pause
        self._in_flight = 0
        # Told when it may be that this connection may be read.
        self._fewer: asyncio.Event | None = None
        # Rights in rooms that are not joined, and until when they hold.
        self._looked_up: dict[str, tuple[Rights, float]] = {}
        # The joined rooms by their slugs.
        self._rooms: dict[str, int] = {}
        self._arrived_at: float | None = None
        self._attended = False  # whether a command is being carried out
        # When to come back, in milliseconds, once the server has sent them away; and
        # what is to be said of it to somebody who is not in yet.
        self.back_in_ms: int | None = None
        self._farewell: GoingAway | None = None
        # Whoever makes a visitor serves it: see `ended`.
        self.connection.task = asyncio.current_task()
        engine.node.add(self.connection)
        engine.standing.came(self.connection)
        engine.visitors.add(self)

    @property
    def actor(self) -> Actor:
        """Who they are, with their account as it was when it was looked at last."""
        actor: Actor = self.connection.owner
        return actor

    @property
    def marks(self) -> ReadMarks:
        """Their read marks."""
        if self._marks is None:
            self._marks = ReadMarks(self.submit, self.say)
        return self._marks

    def arrived(self) -> None:
        """Tell the project that somebody is in."""
        self._arrived_at = asyncio.get_running_loop().time()
        self.engine.teller.tell(handlers_of("connected"), self.actor)
        if self.back_in_ms is not None:
            self.go_away(self.back_in_ms, self._farewell)

    def say(self, message: Any) -> None:
        """Queue a reply or push for this client alone."""
        self.connection.put_message(message)
        self.engine.node.touch(self.connection)

    def say_in_order(self, message: Any) -> None:
        """Queue a reply or push that must not overtake a room's events."""
        self.connection.put_in_order(message)
        self.engine.node.touch(self.connection)

    def tell(self, push: Any) -> None:
        """Queue a push for this client alone, as its mode says it."""
        self.connection.put_shared(Shared(push))
        self.engine.node.touch(self.connection)

    # --- rooms ---

    def watch(self, slug: str) -> Watch | None:
        """Return the watch of a joined room."""
        room_id = self._rooms.get(slug)
        return None if room_id is None else self.connection.watches.get(room_id)

    @property
    def rooms_joined(self) -> int:
        """How many rooms this connection watches."""
        return len(self.connection.watches)

    async def enter(self, slug: str, *, make: bool = True) -> Rights | Deny:
        """Return one's rights in a room: those of the watch, or decided anew.

        With `make` False an unknown room is not made.
        """
        watch = self.watch(slug)
        if watch is not None and isinstance(watch.rights, Rights):
            return watch.rights
        now = asyncio.get_running_loop().time()
        rights, until = self._looked_up.get(slug, (None, now))
        if rights is not None and now < until:
            return rights
        found = await self.engine.reader.run(enter, self.actor, slug, make=make)
        if isinstance(found, Rights):
            while len(self._looked_up) >= MAX_ROOMS:
                self._looked_up.pop(next(iter(self._looked_up)))
            self._looked_up[slug] = found, now + LOOKED_UP_SECONDS
        return found

    def remember(self, slug: str, room_id: int) -> None:
        """Note the slug of a room that is watched from now on."""
        self._rooms[slug] = room_id

    def leave(self, slug: str) -> bool:
        """Stop watching a room; return whether it was watched."""
        watch = self.watch(slug)
        self._rooms.pop(slug, None)
        if watch is None:
            return False
        self.engine.node.hub.leave(watch)
        return True

    # --- writing ---

    def submit(self, entry: Entry, answer: Callable[[Verdict], Any]) -> None:
        """Hand an entry to the journal; `answer` returns what to say, or None."""
        try:
            self.engine.journal.submit(entry, partial(self._settled, answer))
        except Overloaded as full:
            client_id = entry.client_id if isinstance(entry, Draft) else None
            refusal = error(
                Code.OVERLOADED,
                retry_after_ms=full.retry_after_ms,
                client_id=client_id,
            )
            message = answer(Refused(refusal))
            if message is not None:
                self.say(message)
        else:
            self._in_flight += 1

    async def write(
        self,
        entry: Draft | Change,
        slug: str,
        answer: Callable[[Verdict], Any],
    ) -> None:
        """Submit what somebody says, once the project's `BEFORE_SEND` looked at it."""
        if has_before_send():
            looked = await looked_at(entry, slug)
            if isinstance(looked, Draft):
                # Meanwhile they may have been removed.
                rights = await self.enter(slug)
                denial = rights if isinstance(rights, Deny) else rights.denial("send")
                if denial is not None:
                    looked = Refused(denied(denial, looked.client_id))
            if not isinstance(looked, Draft | Change):
                message = answer(looked)
                if message is not None:
                    self.say(message)
                return
            entry = looked
        self.submit(entry, answer)

    def _settled(self, answer: Callable[[Verdict], Any], verdict: Verdict) -> None:
        self._in_flight -= 1
        if self._fewer is not None:
            self._tell_fewer()
        if not self.connection.closed:
            message = answer(verdict)
            if message is not None:
                self.say(message)
        if self.is_leaving:
            self._leave_when_done()

    # --- limits ---

    def refused(self, refusal: Decision) -> None:
        """Note that something was refused, and go up the ladder if it goes on."""
        loop = asyncio.get_running_loop()
        if self._ladder is None:
            self._ladder = Ladder(conf())
        step = self._ladder.refused(loop.time())
        if step is Step.PAUSE:
            seconds = self._ladder.paused_until - loop.time()
            logger.warning(
                "flooder_paused author=%s policy=%s seconds=%g",
                self.actor.key,
                refusal.policy.name,
                round(seconds, 1),
            )
            if self._rest is not None:
                self._rest(True)
            self._going_on = loop.call_at(self._ladder.paused_until, self._go_on)
        elif step is Step.CLOSE and not self.connection.closed:
            logger.warning(
                "flooder_closed author=%s policy=%s",
                self.actor.key,
                refusal.policy.name,
            )
            failure = refusal_error(refusal)
            wait_ms = round(conf().PAUSE_SECONDS * 1000)
            failure.retry_after_ms = max(failure.retry_after_ms or 0, wait_ms)
            for watch in list(self.connection.watches.values()):
                self.engine.node.hub.leave(watch)
            self.connection.end(Close.RATE_LIMITED, failure, after_what_waits=True)

    def _go_on(self) -> None:
        """Read the socket again."""
        self._going_on = None
        self._tell_fewer()
        if self._rest is not None:
            self._rest(False)

    @property
    def ready(self) -> bool:
        """Whether this connection may be read: no pause, nothing unanswered, unread."""
        connection = self.connection
        return (
            self._in_flight < MAX_IN_FLIGHT
            and connection.outbox.roomy
            and self._going_on is None
            and not self.is_leaving
            and not connection.closed
        )

    async def ready_for_more(self) -> None:
        """Wait while this connection is not to be read."""
        if not self.ready:
            self.connection.heard_at = None  # until its next heartbeat
        while (
            self._going_on is not None or self.is_leaving
        ) and not self.connection.closed:
            await self._told_fewer()
        while self._in_flight >= MAX_IN_FLIGHT and not self.connection.closed:
            await self._told_fewer()
        while not self.connection.outbox.roomy and not self.connection.closed:
            # Replies are never dropped, so whoever does not read them is not heard.
            await self.connection.outbox.room_in()

    async def _told_fewer(self) -> None:
        if self._fewer is None:
            self._fewer = asyncio.Event()
        await self._fewer.wait()

    def _tell_fewer(self) -> None:
        if self._fewer is not None:
            self._fewer.set()
            self._fewer = None

    async def attend(self, hear: Callable[[str], Awaitable[None]], text: str) -> None:
        """Have a frame heard once this connection may be read; it is begun then."""
        await self.ready_for_more()
        self._attended = True
        try:
            await hear(text)
        finally:
            self._attended = False
            self._leave_when_done()

    # --- ending ---

    @property
    def is_leaving(self) -> bool:
        """Whether the server has sent them away: nothing more is heard of them."""
        return self.back_in_ms is not None

    def go_away(self, back_in_ms: int, farewell: GoingAway | None) -> None:
        """Send them away, once they are in; end when what they began is answered.

        `farewell` is what is said of it, in a mode that has words for it.
        """
        self.back_in_ms, self._farewell = back_in_ms, farewell
        if self._arrived_at is not None:
            if farewell is not None:
                self.say(farewell)
            self._leave_when_done()

    def _leave_when_done(self) -> None:
        begun = self._in_flight > 0 or self._attended
        if self.is_leaving and not begun:
            self.connection.end(Close.GOING_AWAY, None, after_what_waits=True)

    def ended(self) -> Close | None:
        """Return how to close after a `CancelledError`, if the connection was ended.

        None means that the task itself is to end: raise the error again.
        """
        task, ending = asyncio.current_task(), self.connection.ending
        if task is None or ending is None or task.uncancel() > 0:
            return None
        return ending

    async def close(self, code: int | None = None, reason: str = "") -> None:
        """Leave all rooms and let go of the connection.

        `code` and `reason` are those of the WebSocket's close, by whomever.
        """
        self._tell_fewer()
        if self._marks is not None:
            self._marks.close()
        if self._going_on is not None:
            self._going_on.cancel()
        if self._arrived_at is not None:
            seconds = asyncio.get_running_loop().time() - self._arrived_at
            ended = code or self.connection.ending or NO_STATUS
            gone = handlers_of("disconnected")
            self.engine.teller.tell(gone, self.actor, int(ended), reason, seconds)
        self.engine.visitors.discard(self)
        self.engine.own_texts.left(self.connection)
        self.engine.node.remove(self.connection)


def seq_of(verdict: Written | Known) -> int:
    """Return the seq that a verdict tells."""
    return verdict.push.seq if isinstance(verdict, Written) else verdict.seq
