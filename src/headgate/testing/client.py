"""A client of the chat in a test: commands, replies and pushes of `headgate.v1`.

    async with ChatClient(ada, "general") as client:
        sent = await client.send("general", "hi")
        push = await client.push("message")

What the application raises is raised here, so a test fails where it should.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any, Self

import channels.db
from django.db import connections

from headgate.chat.django_thread import close_old_connections, in_django_thread
from headgate.chat.engine import close_engine, engine
from headgate.testing.doors import Application, application_of_project, socket_scope
from headgate.testing.inline_engine import InlineEngine

__all__ = ["ChatClient", "Closed", "Refused"]

_CLOSE_OLD_CONNECTIONS = channels.db.close_old_connections

LOOK_SECONDS = 0.05  # between looks at the log while a client waits
_NORMAL = 1000  # how clients close (RFC 6455, section 7.4.1)


class Refused(Exception):  # noqa: N818 - an answer, which a test may want
    """A command was refused. `code` is an error code, `error` all that was said."""

    def __init__(self, failure: Mapping[str, Any]) -> None:
        super().__init__(f"{failure['code']}: {failure['text']}")
        self.code = str(failure["code"])
        self.error = dict(failure)


class Closed(Exception):  # noqa: N818 - an answer as well
    """The server closed. `code` is the close code, `said` the last error before it."""

    def __init__(
        self, code: int | None, reason: str, said: dict[str, Any] | None
    ) -> None:
        why = reason or ("the handshake was refused" if code is None else "")
        super().__init__(f"closed with {code}: {(said or {}).get('text') or why}")
        self.code = code
        self.reason = reason
        self.said = said


class ChatClient:
    """One WebSocket of somebody, opened by `async with` or `await`.

    Args:
        who: A saved user, or the name of a guest.
        rooms: Slugs of rooms to join at once.
        application: The ASGI application; by default the settings' ASGI_APPLICATION,
            and without that the chat's consumer alone.
        path: Of the WebSocket; by default where `headgate.urls` is mounted.
        headers: More headers of the handshake, such as a token of the project's.
        timeout_seconds: How long to wait for what must come, in calls that say no
            other time.

    Attributes:
        welcome: What the server said at the beginning.
    """

    def __init__(
        self,
        who: Any,
        *rooms: str,
        application: Application | None = None,
        path: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 5.0,
    ) -> None:
        self._name = who if isinstance(who, str) else None
        self._user = None if isinstance(who, str) else _saved(who)
        self._rooms = rooms
        self._application = application
        self._path = path
        self._headers = headers or {}
        self._timeout_seconds = timeout_seconds
        self.welcome: dict[str, Any] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        self._engine: InlineEngine | None = None
        self._task: asyncio.Task[None] | None = None
        self._accepted = False
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        # What came while something else was waited for.
        self._replies: dict[int | None, dict[str, Any]] = {}
        self._pushes: list[dict[str, Any]] = []
        self._said: dict[str, Any] | None = None
        self._ids = 0

    # --- beginning and end ---

    async def open(self) -> Self:
        """Connect, say hello and join the rooms; raises `Closed` and `Refused`."""
        self.loop = asyncio.get_running_loop()
        self._engine = _engine()
        try:
            serving, scope = await socket_scope(
                self._user,
                self._application or application_of_project(),
                path=self._path,
                headers=self._headers,
            )
            self._in.put_nowait({"type": "websocket.connect"})
            served = serving(scope, self._in.get, self._out.put)
            self._task = self.loop.create_task(_awaited(served))
            self._task.add_done_callback(
                lambda _: self._out.put_nowait({"type": "over"})
            )
            await self._accept()
            hello = {"cmd": "hello", "agent": "headgate.testing"}
            self._say(hello | ({} if self._name is None else {"name": self._name}))
            self.welcome = await self.push("welcome")
            for room in self._rooms:
                await self.join(room)
        except BaseException:
            await self.close()
            raise
        return self

    async def close(self) -> None:
        """Close the WebSocket; the last client of a test ends its chat."""
        task, self._task = self._task, None
        running, self._engine = self._engine, None
        if task is not None:
            self._in.put_nowait({"type": "websocket.disconnect", "code": _NORMAL})
            await asyncio.wait([task], timeout=self._timeout_seconds)
            task.cancel()
        if running is not None:
            await _let_go(running)
        if task is not None and not task.cancelled():
            task.result()  # raises what the application raised

    def __await__(self) -> Generator[Any, None, Self]:
        return self.open().__await__()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # --- commands ---

    async def command(
        self, cmd: str, *, timeout_seconds: float | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Send a command and return its reply; raises `Refused` and `Closed`.

        `timeout_seconds` is how long to wait for it in place of the client's own, here
        and in `join` and `send`; no command has such a field.
        """
        self._ids += 1
        number = self._ids
        self._say({"cmd": cmd, "id": number, **fields})
        reply = await self._until(
            lambda: self._replies.pop(number, None),
            f"the reply to {cmd!r}",
            timeout_seconds,
        )
        if "error" in reply:
            raise Refused(reply["error"])
        return reply

    async def join(self, room: str, **place: Any) -> dict[str, Any]:
        """Watch a room: from now on, or `after` a seq."""
        return await self.command("join", room=room, **place)

    async def leave(self, room: str) -> dict[str, Any]:
        """Stop watching a room."""
        return await self.command("leave", room=room)

    async def send(self, room: str, text: str, **more: Any) -> dict[str, Any]:
        """Write a message; the reply has its `seq` and the time, `at`."""
        return await self.command("send", room=room, text=text, **more)

    # --- pushes ---

    async def push(
        self, kind: str, *, timeout_seconds: float | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Return the next push of a kind with these fields, such as room="general".

        What came before it is kept for those who ask for it. `timeout_seconds` is how
        long to wait in place of the client's own; no push has such a field.
        """

        def found() -> dict[str, Any] | None:
            for push in self._pushes:
                if push["push"] == kind and fields.items() <= push.items():
                    self._pushes.remove(push)
                    return push
            return None

        wanted = " ".join([kind, *(f"{k}={v!r}" for k, v in fields.items())])
        return await self._until(found, f"a push {wanted}", timeout_seconds)

    async def pushes(self) -> list[dict[str, Any]]:
        """Return all that has come and was not asked for; nothing is kept.

        Whatever is in the log by now has come.
        """
        if self._engine is not None:
            await self._engine.look()
        await self.command("ping")
        found, self._pushes = self._pushes, []
        return found

    async def closed(self) -> Closed:
        """Wait until the server closes, and return how."""
        try:
            await self._until(lambda: None, "a close")
        except Closed as closed:
            return closed
        raise AssertionError("unreachable: the wait above ends by raising")

    # --- what comes ---

    def _say(self, command: dict[str, Any]) -> None:
        if self._task is None:
            raise RuntimeError("This client is not open: use `async with`, or `await`.")
        text = json.dumps(command)
        self._in.put_nowait({"type": "websocket.receive", "text": text})

    async def _until(
        self, found: Any, what: str, timeout_seconds: float | None = None
    ) -> dict[str, Any]:
        """Return what `found` returns, once something has come that makes it."""
        if timeout_seconds is None:
            timeout_seconds = self._timeout_seconds
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_seconds
        while (result := found()) is None:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    self._hear(await self._out.get())
            except TimeoutError:
                if loop.time() > until:
                    raise TimeoutError(
                        f"{what} did not come in {timeout_seconds:g} s; "
                        f"what came instead: {self._pushes}",
                    ) from None
                if self._engine is not None:
                    await self._engine.look()
        answer: dict[str, Any] = result
        return answer

    async def _accept(self) -> None:
        """Wait until the handshake is accepted."""
        async with asyncio.timeout(self._timeout_seconds):
            message = await self._out.get()
        self._accepted = message["type"] == "websocket.accept"
        if not self._accepted:
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        """Take an ASGI message of the application; raises `Closed` at the end."""
        if message["type"] == "websocket.send":
            said = json.loads(message["text"])
            if "push" in said:
                self._pushes.append(said)
            else:
                self._replies[said["reply"]] = said
                self._said = said.get("error", self._said)
            return
        if message["type"] == "over" and self._task is not None:
            self._task.result()  # raises what the application raised
        self._out.put_nowait(message)  # for whoever waits next
        code = message.get("code") if self._accepted else None
        raise Closed(code, message.get("reason") or "", self._said)


def _saved(who: Any) -> Any:
    if getattr(who, "pk", None) is None or not hasattr(who, "is_authenticated"):
        raise TypeError(f"{who!r} is nobody: pass a saved user, or a guest's name.")
    return who


async def _awaited(served: Any) -> None:
    await served


def _engine() -> InlineEngine:
    """Return the loop's chat for tests, started with the first client."""
    running = engine(InlineEngine)
    if not isinstance(running, InlineEngine):
        raise RuntimeError(  # noqa: TRY004 - not of an argument
            "A server's chat runs in this event loop already. Open the first client "
            "before anything else is asked of the ASGI application.",
        )
    # Channels' middleware would close the connection of an open TestCase.
    channels.db.close_old_connections = close_old_connections
    running.clients += 1
    return running


async def _let_go(running: InlineEngine) -> None:
    running.clients -= 1
    if running.clients == 0:
        await close_engine()
        await in_django_thread(_close_connections)
        channels.db.close_old_connections = _CLOSE_OLD_CONNECTIONS


def _close_connections() -> None:
    """Close what would keep the test database from being dropped."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
