"""What outlives a socket: connects, comes back, resumes, knows when it is over.

One task runs `Link.run` for the client's whole life; the work on each connection is
a `Visit`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, overload

from headgate.client.errors import (
    ClientClosed,
    ClosedByServer,
    IdentityChanged,
    Lost,
    NotSent,
    Refused,
    wait_seconds,
)
from headgate.client.incoming import encode_command
from headgate.client.outbox import Sent
from headgate.client.state import State, Status
from headgate.client.visit import Visit
from headgate.client.watching import Watching
from headgate.protocol.commands import Hello, History, Read
from headgate.protocol.fields import MAX_COMMAND_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.client.backoff import Backoff
    from headgate.client.connection import Connection
    from headgate.client.dial import Dial
    from headgate.client.inbox import Inbox
    from headgate.client.incoming import Page, Push
    from headgate.client.outbox import Entry, Outbox
    from headgate.protocol.pushes import Author, Done, MessagesPage, Welcome

__all__ = ["Link"]

_log = logging.getLogger("headgate.client")


class Link:
    """The client's link to its server.

    Args:
        dial: Opens sockets.
        backoff: Says how long to wait between them.
        outbox: What is to be sent.
        inbox: Where pushes go.
        hello: What to say first; `guest` is kept up to date, the rest filled in.
        clock: Gives seconds that never run backwards.
        on_state: Called with each new state; must not raise.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        backoff: Backoff,
        outbox: Outbox,
        inbox: Inbox[Push],
        hello: Hello,
        clock: Callable[[], float],
        on_state: Callable[[State], None] | None,
    ) -> None:
        self._work = asyncio.Event()  # something may be due on the connection
        self._changed = asyncio.Event()  # there is a connection, or an end
        self.watching = Watching(inbox, self._work)
        self.state = State(Status.CONNECTING)
        self.user: Author | None = None
        self.guest = hello.guest
        self.max_message_bytes = MAX_COMMAND_BYTES
        self._ending: BaseException | None = None
        self._dial = dial
        self._backoff = backoff
        self._outbox = outbox
        self._inbox = inbox
        self._hello = hello
        self._clock = clock
        self._on_state = on_state
        self._connection: Connection | None = None

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

    @overload
    async def ask(self, command: History) -> MessagesPage | Page: ...
    @overload
    async def ask(self, command: Read) -> Done: ...

    async def ask(self, command: History | Read) -> MessagesPage | Page | Done:
        """Send a command that may be repeated, until there is a final answer."""
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

    async def run(self) -> None:
        """Connect and come back until the server says not to, or cancelled."""
        try:
            while True:
                self._move(State(Status.CONNECTING, reason=self.state.reason))
                try:
                    await self._visit()
                except Lost as lost:
                    _pass_on_cancellation()
                    delay = self._backoff.next_delay(lost.retry_in_seconds)
                    _log.warning("No connection: %s; next try in %.1f s", lost, delay)
                    at = self._clock() + delay
                    self._move(State(Status.WAITING, at, lost.reason))
                    await asyncio.sleep(delay)
        except (ClosedByServer, IdentityChanged) as exc:
            _log.warning("No connection any more: %s", exc)
            self._end(exc)
        except asyncio.CancelledError:
            self._end(ClientClosed())
            raise
        except BaseException as exc:
            self._end(exc)
            raise

    async def _visit(self) -> None:
        """Connect once and work until the connection ends, which is raised."""
        connection = await self._dial.open(on_call=self._inbox.stir)
        try:
            hello = self._next_hello()
            self._welcome(hello, await connection.hello(hello))
            self._backoff.opened()
            self._connection = connection
            self._changed.set()
            self._move(State(Status.ONLINE))
            visit = Visit(
                connection,
                watching=self.watching,
                outbox=self._outbox,
                inbox=self._inbox,
                work=self._work,
                clock=self._clock,
            )
            await visit.run()
        finally:
            self._connection = None
            self._outbox.lost()
            self.watching.disconnect()
            await connection.close()

    def _next_hello(self) -> Hello:
        """Return what to say first, within the size of a command.

        Rooms that do not fit are joined by command, messages that are not asked
        about are sent again: both end the same.
        """
        hello = Hello(
            guest=self.guest,
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
        if self.user is not None and self.user.id != welcome.user.id:
            raise IdentityChanged(self.user.id, welcome.user.id)
        self.user = welcome.user
        self.guest = welcome.guest or self.guest
        self.max_message_bytes = welcome.max_message_bytes
        for slug, info in welcome.rooms.items():
            for entry, seq in self._outbox.landed(slug, info.landed):
                entry.settle(Sent(seq, None, entry.client_id))
            if slug in hello.resume:
                self.watching.resumed(slug, info)

    def _move(self, state: State) -> None:
        self.state = state
        if self._on_state is not None:
            self._on_state(state)

    def _end(self, ending: BaseException) -> None:
        """Let everybody who waits know that nothing will come any more."""
        self._ending = ending
        for entry in self._outbox.clear():
            entry.settle(self._not_sent(entry))
        self.watching.end(ending)
        self._inbox.end(None if isinstance(ending, ClientClosed) else ending)
        self._changed.set()
        self._move(State(Status.CLOSED, reason=str(ending)))

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
