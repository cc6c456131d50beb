"""What outlives a socket: connects, comes back, resumes, knows when it is over.

One task runs from `begin` to the end of the client; the work on each connection is a
`Visit`. A link that nobody has asked for anything yet, and that the server does not
know, is parked: it waits for a descriptor, or for a call that needs a connection.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, overload

from headgate.client.errors import (
    ClientClosed,
    ClosedByServer,
    IdentityChanged,
    Lost,
    NotConnected,
    NotSent,
    Refused,
    wait_seconds,
)
from headgate.client.growing import OwnGrowing
from headgate.client.identity import WELCOME_TICKET_SECONDS
from headgate.client.incoming import encode_command
from headgate.client.outbox import Sent
from headgate.client.signals import Signals
from headgate.client.state import State, States, Status
from headgate.client.visit import Visit
from headgate.client.watching import Watching
from headgate.protocol.codes import Close
from headgate.protocol.commands import Cancel, Hello, History, Leave, Ping
from headgate.protocol.fields import MAX_COMMAND_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headgate.client.backoff import Backoff
    from headgate.client.connection import Connection
    from headgate.client.descriptor import Descriptor
    from headgate.client.dial import Dial
    from headgate.client.identity import Identity, Ticket
    from headgate.client.inbox import Inbox
    from headgate.client.incoming import Page, Push
    from headgate.client.outbox import Entry, Outbox
    from headgate.client.pacing import Pacing
    from headgate.protocol.pushes import MessagesPage, Saved, Welcome

__all__ = ["Link"]

GOODBYE_SECONDS = 1.0  # how long the last read marks may take
SHORTEST_WAIT_SECONDS = 0.25  # also for whoever calls `retry_now` in a loop

_log = logging.getLogger("headgate.client")


class Link:
    """The client's link to its server.

    Args:
        dial: Opens sockets.
        backoff: Says how long to wait between them.
        outbox: What is to be sent.
        pacing: When it may go.
        inbox: Where pushes go.
        identity: Who we are.
        hello: What to say first; the rest is filled in.
        ask_ticket: Asks the server for a descriptor over HTTP; None where it gives
            none, and `Lost` where it may do so later.
        random: Gives numbers in [0, 1).
        clock: Gives seconds that never run backwards.
        on_state: Called with each new state; must not raise.

    Attributes:
        is_wanted: Whether anybody has asked for what needs a connection.
        is_parked: Whether it waits to be told who we are, or to be wanted.
        own_growing: Our own messages that grow.
        states: What it is doing.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        backoff: Backoff,
        outbox: Outbox,
        pacing: Pacing,
        inbox: Inbox[Push],
        identity: Identity,
        hello: Hello,
        ask_ticket: Callable[[], Awaitable[Descriptor | None]],
        random: Callable[[], float],
        clock: Callable[[], float],
        on_state: Callable[[State], None] | None,
    ) -> None:
        self._work = asyncio.Event()  # something may be due on the connection
        self._changed = asyncio.Event()  # there is a connection, or an end
        self.watching = Watching(inbox, self._work)
        self.states = States(on_state)
        self.identity = identity
        self._pacing = pacing
        self._signals = Signals()
        self.own_growing = OwnGrowing()
        self.is_wanted = self.is_parked = False
        self.max_message_bytes = MAX_COMMAND_BYTES
        self._ending: BaseException | None = None
        self._dial = dial
        self._backoff = backoff
        self._outbox = outbox
        self._inbox = inbox
        self._hello = hello
        self._ask_ticket = ask_ticket
        self._has_asked = False  # for a ticket, since the last welcome
        self._wake = asyncio.Event()  # a parked link is to go on
        self._hurry = asyncio.Event()  # the next try is not to be waited for
        self._task: asyncio.Task[None] | None = None
        self._at_once = False  # the next connection needs no wait before it
        self._random = random
        self._clock = clock
        self._connection: Connection | None = None

    @property
    def is_begun(self) -> bool:
        """Whether it connects, or did."""
        return self._task is not None

    def begin(self) -> None:
        """Connect and come back from now on; does nothing if that has begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="headgate client")

    async def close(self) -> None:
        """End; raises what went wrong inside, if anything."""
        if self._task is None:
            self._end(ClientClosed())
            return
        await self._mark_at_last()
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    @property
    def connection(self) -> Connection | None:
        """The connection, if there is one now."""
        connection = self._connection
        return None if connection is None or connection.is_lost else connection

    async def connected(self) -> Connection:
        """Return the connection, waiting for it; raises what ended the client."""
        while (connection := self.connection) is None:
            self.check()
            self._changed.clear()
            await self._changed.wait()
        return connection

    async def settled(self) -> None:
        """Wait until there is a connection, or the link is parked; raises its end."""
        while not self.is_parked and self.connection is None:
            self.check()
            self._changed.clear()
            await self._changed.wait()

    def want(self) -> None:
        """Note that a connection is needed, also by a link that is parked."""
        self.is_wanted = True
        self._wake.set()

    def check_begun(self) -> None:
        """Raise what is in the way of calls: it was not opened, or has ended."""
        if self._task is None:
            raise ClientClosed
        self.check()

    def need(self) -> None:
        """Want a connection for a call; raises as `check_begun`."""
        self.check_begun()
        self.want()

    def retry_now(self) -> None:
        """Go on with the next try, as soon as the server has allowed it."""
        self._hurry.set()
        self._wake.set()

    def become(self, found: Descriptor) -> None:
        """Be whom a descriptor is for, with a connection of theirs."""
        self.identity.become(found)
        if self._connection is not None:
            self._at_once = True
            self._connection.give_up("coming back as somebody else")
        self._wake.set()

    def check(self) -> None:
        """Raise what ended the client, if anything did."""
        if self._ending is not None:
            raise self._ending

    def enqueue(self, entry: Entry) -> None:
        """Queue a message; raises as `Outbox.add`, and `NotSent` at the end."""
        if self._ending is not None:
            raise self._not_sent(entry)
        self._outbox.add(entry)
        self._work.set()

    def cancel(self, entry: Entry) -> None:
        """Forget a message whose caller has gone."""
        self._outbox.cancel(entry)
        self._work.set()  # another may be at the head of its room now

    def expire(self, entry: Entry) -> None:
        """Let a message fail that has waited for too long."""
        self._outbox.expire(entry)
        self._work.set()  # as above

    @overload
    async def ask(self, command: History) -> MessagesPage | Page: ...
    @overload
    async def ask(self, command: Cancel) -> Saved: ...

    async def ask(self, command: History | Cancel) -> MessagesPage | Page | Saved:
        """Ask until there is a final answer."""
        while True:
            connection = await self.connected()
            try:
                return await connection.call(command)
            except Lost:
                continue
            except Refused as refusal:
                wait = wait_seconds(refusal.error)
                if wait is None:
                    raise
            await asyncio.sleep(wait)

    async def leave(self, room: str) -> None:
        """Stop watching a room, with its read mark moved before that."""
        await self._mark_at_last(room)
        self.watching.remove(room)
        connection = self.connection
        if connection is not None:
            with suppress(Lost, Refused):  # then it is not watched either
                await connection.call(Leave(room=room))

    def typing(self, room: str, on: bool) -> None:  # noqa: FBT001 - like a switch
        """Say who writes; dropped where there is no connection."""
        if self.connection is not None:
            self._signals.typing(room, on)
            self._work.set()

    def read(self, room: str, seq: int) -> None:
        """Move a read mark in a moment."""
        self._signals.read(room, seq, self._clock())
        self._work.set()

    async def ping(self) -> float:
        """Return how many seconds an answer takes; raises `NotConnected`."""
        connection = self.connection
        if connection is None:
            raise NotConnected(self.states.now.reason)
        began = self._clock()
        try:
            await connection.call(Ping())
        except Lost as lost:
            raise NotConnected(lost.reason) from lost
        return self._clock() - began

    def stir(self) -> None:
        """Look again at what may be sent: the limits are others."""
        self._work.set()

    async def _mark_at_last(self, room: str | None = None) -> None:
        """Send the read marks that are gathered, of all rooms or one, for a moment."""
        connection = self.connection
        marks = self._signals.flush(room)
        if connection is None or not marks:
            return
        calls = [connection.call(mark) for mark in marks]
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await asyncio.gather(*calls, return_exceptions=True)

    # --- the connection ---

    async def _run(self) -> None:
        """Connect and come back until the server says not to, or cancelled."""
        try:
            while True:
                self.states.move(
                    State(Status.CONNECTING, reason=self.states.now.reason)
                )
                try:
                    await self._attempt()
                except Lost as lost:
                    _pass_on_cancellation()
                    await self._wait(lost)
        except (ClosedByServer, IdentityChanged) as exc:
            _log.warning("No connection any more: %s", exc)
            self._end(exc)
        except asyncio.CancelledError:
            self._end(ClientClosed())
            raise
        except BaseException as exc:
            self._end(exc)
            raise

    async def _wait(self, lost: Lost) -> None:
        """Wait before the next connection."""
        delay = 0.0
        if lost.is_drawn:
            delay = lost.retry_in_seconds  # spread already, and no failure
        elif not self._at_once:
            delay = self._backoff.next_delay(lost.retry_in_seconds)
        self._at_once = False
        _log.warning("No connection: %s; next try in %.1f s", lost, delay)
        began = self._clock()
        self._hurry.clear()
        self.states.move(State(Status.WAITING, began + delay, lost.reason))
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._hurry.wait()
        asked = max(lost.retry_in_seconds, SHORTEST_WAIT_SECONDS)
        due = began + min(delay, asked)
        if self._hurry.is_set() and due > self._clock():
            self.states.move(State(Status.WAITING, due, lost.reason))
            await asyncio.sleep(due - self._clock())

    async def _attempt(self) -> None:
        """Connect once; if the server does not know us, get ready to be known.

        Raises `Lost` after a connection, and what ends the link.
        """
        ticket = self.identity.take_ticket()
        try:
            await self._visit(ticket)
        except Lost as lost:
            self._learn(lost, ticket)
            raise
        except IdentityChanged as changed:
            # Without a ticket a user may be a guest to the WebSocket alone, such as
            # where a proxy takes their header away.
            _pass_on_cancellation()
            is_guest = self.identity.is_guest
            if ticket is not None or is_guest or not await self._get_ticket():
                raise changed from None
        except ClosedByServer as refused:
            _pass_on_cancellation()
            if not refused.is_of_identity:
                raise
            if not await self._get_ticket():
                if self.is_wanted or self.identity.user is not None:
                    raise
                await self._park(refused)

    def _learn(self, lost: Lost, ticket: Ticket | None) -> None:
        """Take in what the end of a connection says of tickets."""
        passes = lost.error is not None and wait_seconds(lost.error) is not None
        if lost.is_of_ticket:
            self._at_once = ticket is not None  # by what else we have
        elif lost.close_code == Close.IDENTITY_CHANGED:
            self.identity.forget_ticket()
        elif ticket is not None and passes:
            self.identity.put_back(ticket)  # it could not be looked at just now

    async def _get_ticket(self) -> bool:
        """Ask for a ticket over HTTP; raises `Lost` where that may work later."""
        if self._has_asked:
            # It gave one before, and that has not helped: not in a hurry.
            await asyncio.sleep(self._backoff.next_delay())
        self._has_asked = True
        found = await self._ask_ticket()
        if found is None:
            return False
        self.identity.ticket_for(found)
        return True

    async def _park(self, refused: ClosedByServer) -> None:
        """Wait until somebody says who we are, or cannot do without a connection."""
        _log.warning("No connection yet: %s; waiting for an HTTP answer", refused)
        self.is_parked = True
        self.states.move(State(Status.WAITING, reason=str(refused)))
        self._changed.set()
        self._wake.clear()
        await self._wake.wait()
        self.is_parked = False

    async def _open(self, ticket: Ticket | None) -> Connection:
        """Return an open connection; a ticket that did not arrive is kept.

        Whether it did is not always known. One that was used is refused at once.
        """
        shown = None if ticket is None else ticket.value
        try:
            return await self._dial.open(self._inbox.stir, self._pacing, shown)
        except Lost:
            if ticket is not None:
                self.identity.put_back(ticket)
            raise

    async def _visit(self, ticket: Ticket | None) -> None:
        """Connect once and work until the connection ends, which is raised."""
        connection = await self._open(ticket)
        try:
            hello = self._next_hello()
            self._welcome(hello, await connection.hello(hello))
            self._backoff.opened()
            self._has_asked = False
            self._connection = connection
            self._changed.set()
            self.states.move(State(Status.ONLINE))
            visit = Visit(
                connection,
                watching=self.watching,
                outbox=self._outbox,
                inbox=self._inbox,
                pacing=self._pacing,
                signals=self._signals,
                own_growing=self.own_growing,
                work=self._work,
                random=self._random,
                clock=self._clock,
            )
            await visit.run()
        finally:
            self._connection = None
            self.identity.keep(connection.parting_ticket, WELCOME_TICKET_SECONDS)
            self._outbox.lost()
            self._pacing.disconnected(self._clock())
            self._signals.disconnected(self._clock())
            self.watching.disconnect()
            await connection.close()

    def _next_hello(self) -> Hello:
        """Return what to say first, within the size of a command.

        Rooms that do not fit are joined by command, messages that are not asked
        about are sent again: both end the same.
        """
        hello = Hello(
            guest=self.identity.guest,
            name=self._hello.name,
            agent=self._hello.agent,
            pending=self._outbox.pending(),
        )
        size = len(encode_command(hello).encode())
        if size > MAX_COMMAND_BYTES // 2:
            hello.pending = {}
            size = len(encode_command(hello).encode())
        hello.resume = dict(self.watching.positions(MAX_COMMAND_BYTES - size - 64))
        return hello

    def _welcome(self, hello: Hello, welcome: Welcome) -> None:
        """Take in what the server knows of us."""
        self.identity.welcomed(welcome)
        self.max_message_bytes = welcome.max_message_bytes
        self._pacing.welcomed(welcome, self._clock())
        for slug, info in welcome.rooms.items():
            for entry, seq in self._outbox.landed(slug, info.landed):
                entry.settle(Sent(seq, None, entry.client_id))
            if slug in hello.resume:
                self.watching.resumed(slug, info)

    def _end(self, ending: BaseException) -> None:
        """Let everybody who waits know that nothing will come any more."""
        self._ending = ending
        for entry in self._outbox.clear():
            entry.settle(self._not_sent(entry))
        self.watching.end(ending)
        self._inbox.end(None if isinstance(ending, ClientClosed) else ending)
        self._changed.set()
        self.states.move(State(Status.CLOSED, reason=str(ending)))

    def _not_sent(self, entry: Entry) -> NotSent:
        error = NotSent(entry.client_id, unanswered=entry.unanswered)
        error.__cause__ = self._ending
        return error


def _pass_on_cancellation() -> None:
    """Raise CancelledError if this task was cancelled while it failed.

    A task group that is cancelled just as one of its tasks fails tells of the
    failure only (Python 3.11 and 3.12), and the client would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
