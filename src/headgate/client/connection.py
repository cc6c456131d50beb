"""One socket's life: open, hello, welcome, replies matched to commands, the end.

A connection ends once, in `read`, with `Lost` (come back) or `ClosedByServer`
(don't); every command that waits then gets `Lost`. Who comes back is the link.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from typing import TYPE_CHECKING, overload

from websockets.exceptions import ConnectionClosed

from headgate.client.errors import (
    MAX_WAIT_SECONDS,
    ClosedByServer,
    Lost,
    Refused,
    wait_seconds,
)
from headgate.client.incoming import (
    Answer,
    FromServer,
    Page,
    Reply,
    Unreadable,
    decode_frame,
    decode_reply,
    encode_command,
)
from headgate.protocol.commands import (
    Append,
    Cancel,
    Command,
    Delete,
    Edit,
    Hello,
    History,
    Join,
    Leave,
    Ping,
    Read,
    Send,
    Typing,
)
from headgate.protocol.pushes import (
    Done,
    Error,
    GoingAway,
    Joined,
    MessagesPage,
    Saved,
    Welcome,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from websockets.asyncio.client import ClientConnection

    from headgate.client.pacing import Pacing, Turn

__all__ = ["Connection"]


_FINAL_CLOSES = frozenset({1009, *range(4500, 5000)})


class Connection:
    """One open socket.

    `on_call` is called whenever a command begins to wait for its reply; `pacing` says
    when commands may go, and is told how they were counted.
    """

    def __init__(
        self,
        socket: ClientConnection,
        *,
        on_call: Callable[[], None],
        pacing: Pacing,
        open_timeout_seconds: float,
        reply_timeout_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._socket = socket
        self._on_call = on_call
        self._pacing = pacing
        self._open_timeout_seconds = open_timeout_seconds
        self._reply_timeout_seconds = reply_timeout_seconds
        self._clock = clock
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[Command, asyncio.Future[Reply]]] = {}
        self._failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._ended = False
        self._last_error: Error | None = None  # of those that answer no command
        self._back_at: float | None = None  # on the clock; from going_away
        self.parting_ticket: str | None = None  # from going_away
        self._frames = 0  # read so far; that it grows is a sign of life
        self._held_up = False  # whether the application does not read
        self.heartbeat_seconds = 20.0

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._ended or self._failed.done()

    def is_awaited(self) -> bool:
        """Whether a command waits for its reply."""
        return bool(self._waiting)

    async def hello(self, hello: Hello) -> Welcome:
        """Say hello and return the welcome. To be called once, before `read`.

        Raises:
            Lost: There was no welcome, but there may be another time.
            ClosedByServer: There will be none.
        """
        try:
            async with asyncio.timeout(self._open_timeout_seconds):
                with suppress(Lost):  # closed already; what was said is to be read
                    await self._send(encode_command(hello, next(self._numbers)))
                while True:
                    push = await self._receive()
                    if isinstance(push, Welcome):
                        self.heartbeat_seconds = max(push.heartbeat_ms / 1000, 0.1)
                        return push
                    if isinstance(push, GoingAway):
                        self._take_leave(push)
                    elif isinstance(push, Answer) and push.error is not None:
                        self._refused_hello(push.error, answered=push.reply is not None)
        except TimeoutError:
            self.fail("no welcome in time")
            raise Lost("no welcome in time") from None

    async def read(self, on_push: Callable[[FromServer], Awaitable[None]]) -> None:
        """Read until the end, which it raises; replies go to those who wait.

        While `on_push` waits, the socket is not read.
        """
        try:
            while True:
                incoming = await self._receive()
                if isinstance(incoming, Answer):
                    self._answered(incoming)
                elif isinstance(incoming, GoingAway):
                    self._take_leave(incoming)
                elif incoming is not None:
                    self._held_up = True
                    await on_push(incoming)
                    self._held_up = False
        except (Lost, ClosedByServer) as exc:
            self._end(str(exc))
            raise

    async def keep_alive(self) -> None:
        """Ping the server, and fail the connection when it does not answer.

        While the application does not read, the pong cannot be read either: then
        silence means nothing.
        """
        with suppress(ConnectionClosed):  # `read` says so
            while True:
                await asyncio.sleep(self.heartbeat_seconds)
                if self._held_up:
                    continue
                frames = self._frames
                try:
                    async with asyncio.timeout(self._reply_timeout_seconds):
                        await (await self._socket.ping())
                except TimeoutError:
                    if self._frames == frames and not self._held_up:
                        self.fail("no answer to a ping")

    async def failure(self) -> None:
        """Wait until the connection is given up, and raise `Lost`."""
        raise Lost(await asyncio.shield(self._failed))

    def fail(self, reason: str) -> None:
        """Give the connection up: the other end is not there any more."""
        self.give_up(reason)
        self._socket.transport.abort()

    def give_up(self, reason: str) -> None:
        """Have the connection end as lost, although it is there; `close` it then."""
        if not self._failed.done():
            self._failed.set_result(reason)

    @overload
    async def call(self, command: Send | Edit | Delete, turn: Turn) -> Saved: ...
    @overload
    async def call(self, command: Cancel) -> Saved: ...
    @overload
    async def call(self, command: Append) -> Done | Saved: ...
    @overload
    async def call(self, command: Join) -> Joined: ...
    @overload
    async def call(self, command: History) -> MessagesPage | Page: ...
    @overload
    async def call(self, command: Leave | Ping | Read | Typing) -> Done: ...

    async def call(self, command: Command, turn: Turn | None = None) -> Reply:
        """Send a command and return its reply.

        A command that was given no `turn` waits for it here.

        Raises:
            Refused: The server said no, for now or for good.
            Lost: There was no reply; whether the command was carried out is unknown.
        """
        turn = turn or await self._turn(command)
        number = next(self._numbers)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (command, answer)
        self._on_call()
        try:
            async with asyncio.timeout(self._reply_timeout_seconds):
                await self._send(encode_command(command, number))
                return await answer
        except TimeoutError:
            self.fail("no reply in time")
            raise Lost("no reply in time") from None
        except Refused as refusal:
            turn.refused(refusal.error, self._clock())
            raise
        finally:
            turn.counted(self._clock())
            self._waiting.pop(number, None)
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # lost while it was being sent: said already

    async def close(self) -> None:
        """Close the socket; what still comes in is let go."""
        self._end("closed")
        async with asyncio.TaskGroup() as group:
            # Reading on lets the goodbye through when unread pushes are before it.
            group.create_task(self._discard())
            group.create_task(self._socket.close())

    async def _turn(self, command: Command) -> Turn:
        """Wait until a command may go, and count it."""
        while True:
            if self.is_lost:
                raise Lost("the connection is gone")
            now = self._clock()
            wait = self._pacing.wait(command, now)
            if not wait.seconds:
                return self._pacing.begin(command, now)
            await asyncio.sleep(wait.seconds)

    async def _discard(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self._socket.recv()

    async def _send(self, text: str) -> None:
        if self.is_lost:
            raise Lost("the connection is gone")
        try:
            await self._socket.send(text)
        except ConnectionClosed as exc:
            raise Lost(str(exc)) from exc

    async def _receive(self) -> FromServer | Answer | None:
        try:
            text = await self._socket.recv(decode=True)
            self._frames += 1
            return decode_frame(text)
        except ConnectionClosed as exc:
            raise self._ending(exc) from exc
        except Unreadable as exc:
            self.fail(f"unreadable: {exc}")
            raise Lost(f"unreadable: {exc}") from exc

    def _answered(self, answer: Answer) -> None:
        """Give a reply to the one who waits for it; nobody may."""
        if answer.reply is None:
            self._last_error = answer.error
            return
        command, waiting = self._waiting.pop(answer.reply, (None, None))
        if command is None or waiting is None or waiting.done():
            return
        if answer.error is not None:
            waiting.set_exception(Refused(answer.error))
            return
        try:
            waiting.set_result(decode_reply(command, answer.text))
        except Unreadable as exc:
            waiting.set_exception(Lost(f"unreadable: {exc}"))
            self.fail(f"unreadable: {exc}")

    def _take_leave(self, going: GoingAway) -> None:
        """Note when to come back, and with which ticket; the close follows."""
        self._back_at = self._clock() + going.reconnect_in_ms / 1000
        self.parting_ticket = going.ticket

    def _refused_hello(self, error: Error, *, answered: bool) -> None:
        if not answered:
            self._last_error = error  # the close that follows says what it means
            return
        wait = wait_seconds(error)
        if wait is None:
            raise ClosedByServer(None, error.text, error)
        raise Lost(error.text, wait, error=error)

    def _ending(self, exc: ConnectionClosed) -> Lost | ClosedByServer:
        """Return what the end of the socket means."""
        error, closed = self._last_error, exc.rcvd
        if closed is not None and exc.rcvd_then_sent and closed.code in _FINAL_CLOSES:
            return ClosedByServer(closed.code, closed.reason, error)
        reason = self._failed.result() if self._failed.done() else str(exc)
        wait = 0.0
        if self._back_at is not None:
            wait = min(max(self._back_at - self._clock(), 0.0), MAX_WAIT_SECONDS)
        elif error is not None and error.retry_after_ms is not None:
            wait = wait_seconds(error) or 0.0
        code = None if closed is None else closed.code
        drawn = self._back_at is not None
        return Lost(reason, wait, is_drawn=drawn, close_code=code, error=error)

    def _end(self, reason: str) -> None:
        self._ended = True
        waiting, self._waiting = self._waiting, {}
        for _, answer in waiting.values():
            if not answer.done():
                answer.set_exception(Lost(reason))
