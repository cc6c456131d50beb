"""Clients of the real ASGI application, in this process and without a server.

`talk` opens them and lets go of them: `await talk(user)` is a client of
`headgate.v1` that was welcomed, `await talk.plain(user)` one of plain mode. Each
must end well: what the application raises is raised here.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from functools import cache
from types import TracebackType
from typing import Any, Self

import pytest
from channels.db import database_sync_to_async
from django.core.asgi import get_asgi_application
from django.test import Client
from pytest_django import Settings

from headgate.asgi import with_chat
from headgate.chat.engine import Engine, close_engine, engine

__all__ = [
    "Ended",
    "Said",
    "Talker",
    "Talkers",
    "application",
    "guests_fixture",
    "in_thread",
    "seqs",
    "session_of",
    "talk_fixture",
]

SECONDS = 60.0  # to wait for what must come
V1 = "headgate.v1"
ORIGIN = "http://testserver"

Said = dict[str, Any]


class Ended(Exception):  # noqa: N818 - not an error
    """The connection is over, with this close code."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


@cache
def application() -> Any:
    """Return the application as a project mounts it."""
    return with_chat(get_asgi_application())


async def in_thread(function: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """Run ORM code off the loop; its connection is closed after it."""
    return await database_sync_to_async(function)(*args, **more)


def session_of(user: Any) -> str:
    """Return the key of a session in which somebody is signed in; asks the database."""
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def seqs(frames: Iterable[Said], kind: str = "message") -> list[int]:
    """Return the seqs of the pushes of a kind."""
    return [said["seq"] for said in frames if said.get("push") == kind]


class Talker:
    """One WebSocket. `pushes` holds what came while something else was waited for."""

    def __init__(self, scope: dict[str, Any], app: Any = None) -> None:
        self.scope = scope
        self.accepted: dict[str, Any] | None = None
        self.responses: list[dict[str, Any]] = []
        self.pushes: list[Said] = []
        self.welcome: Said = {}
        self.see_people = False
        self._ids = 0
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._out: asyncio.Queue[str | Ended] = asyncio.Queue()
        self._begun = asyncio.Event()
        self.reads = asyncio.Event()  # cleared: the client takes nothing
        self.reads.set()
        self._gone = False
        self._in.put_nowait({"type": "websocket.connect"})
        served = (app or application())(scope, self._in.get, self._send)
        self.task: asyncio.Task[None] = asyncio.create_task(served)
        self.task.add_done_callback(self._over)

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        if self._gone:
            raise OSError("the client is gone")
        kind = message["type"]
        if kind == "websocket.accept":
            self.accepted = message
        elif kind == "websocket.send":
            self._out.put_nowait(message["text"])
        elif kind == "websocket.close":
            ended = Ended(message["code"], message.get("reason", ""))
            self._out.put_nowait(ended)
        else:
            self.responses.append(message)
        self._begun.set()

    def _over(self, _task: asyncio.Task[None]) -> None:
        self._out.put_nowait(Ended(None))
        self._begun.set()

    async def begun(self) -> Self:
        """Wait for the server's answer to the handshake."""
        async with asyncio.timeout(SECONDS):
            await self._begun.wait()
        return self

    # --- talking ---

    async def say(self, command: Said | str | bytes) -> None:
        """Send a frame: a command, or any text, or bytes."""
        message: dict[str, Any] = {"type": "websocket.receive"}
        if isinstance(command, bytes):
            message["bytes"] = command
        else:
            text = command if isinstance(command, str) else json.dumps(command)
            message["text"] = text
        self._in.put_nowait(message)
        await asyncio.sleep(0)

    async def hear(self) -> Said:
        """Return the next frame; raises `Ended`, or what the application raised.

        Who is there is told whenever a second is over, so only those hear of it who
        `see_people`.
        """
        async with asyncio.timeout(SECONDS):
            frame = await self._out.get()
            while not self.see_people and '"push":"presence"' in str(frame):
                frame = await self._out.get()
        if isinstance(frame, Ended):
            self._out.put_nowait(frame)
            if self.task.done():
                self.task.result()
            raise frame
        said: Said = json.loads(frame)
        return said

    async def ask(self, cmd: str, **fields: Any) -> Said:
        """Send a command of v1 with an id and return its reply."""
        self._ids += 1
        await self.say({"cmd": cmd, "id": self._ids, **fields})
        return await self.reply(self._ids)

    async def reply(self, number: int | None) -> Said:
        """Return the reply to a command; all else is kept."""
        for said in self.pushes:
            if "reply" in said and said["reply"] == number:
                self.pushes.remove(said)
                return said
        while True:
            said = await self.hear()
            if "reply" in said and said["reply"] == number:
                return said
            self.pushes.append(said)

    async def refusal(self, cmd: str, **fields: Any) -> str:
        """Send a command that must be refused, and return the error's code."""
        reply = await self.ask(cmd, **fields)
        return str(reply["error"]["code"])

    async def push(self, kind: str) -> Said:
        """Return the first push of a kind that was not asked for yet."""
        for said in self.pushes:
            if said.get("push") == kind:
                self.pushes.remove(said)
                return said
        while True:
            said = await self.hear()
            if said.get("push") == kind:
                return said
            self.pushes.append(said)

    async def all(self) -> list[Said]:
        """Return all that has come by now: what stands before the answer to a ping."""
        await self.ask("ping")
        found, self.pushes = self.pushes, []
        return found

    async def until(self, room: str, seq: int) -> list[Said]:
        """Return all that comes up to an event of a room."""
        while not any(
            said.get("room") == room and said.get("seq", 0) >= seq
            for said in self.pushes
        ):
            self.pushes.append(await self.hear())
        found, self.pushes = self.pushes, []
        return found

    # --- ending ---

    async def closed(self) -> Ended:
        """Wait for the server's close; what came before it is in `pushes`."""
        while True:
            try:
                self.pushes.append(await self.hear())
            except Ended as ended:
                return ended

    async def end(self, code: int = 1001) -> None:
        """Close; raises what the application raised."""
        self._in.put_nowait({"type": "websocket.disconnect", "code": code})
        async with asyncio.timeout(SECONDS):
            await self.task

    async def vanish(self) -> None:
        """Be gone without a word that the server could read first."""
        self._gone = True
        self.reads.set()
        await self.end(1006)


class _Faults(logging.Handler):
    """Keeps what was logged with an exception: faults that the server survived."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record as text."""
        self.seen.append(self.format(record))


class Talkers:
    """Opens clients; as a context it ends them, and then the engine.

    It fails where the server logged a fault, unless the test took it from `faults`.
    """

    def __init__(self) -> None:
        self.open: list[Talker] = []
        self._handler = _Faults()
        self.faults = self._handler.seen

    async def __aenter__(self) -> Self:
        engine()
        logging.getLogger("headgate").addHandler(self._handler)
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for talker in self.open:
            talker.reads.set()
        try:
            for talker in self.open:
                await talker.end()
        finally:
            await close_engine()
            logging.getLogger("headgate").removeHandler(self._handler)
        if self.faults and error is None:
            raise AssertionError("\n".join(self.faults))

    async def raw(
        self,
        user: Any = None,
        room: str | None = "general",
        *,
        subprotocols: Iterable[str] = (V1,),
        query: str = "",
        headers: Iterable[tuple[bytes, bytes]] | None = None,
        extensions: Iterable[str] = (),
        app: Any = None,
    ) -> Talker:
        """Open a WebSocket and wait for the answer to its handshake."""
        if headers is None:
            headers = [(b"host", b"testserver"), (b"origin", ORIGIN.encode())]
        if user is not None:
            cookie = f"sessionid={await in_thread(session_of, user)}"
            headers = [*headers, (b"cookie", cookie.encode())]
        path = "/ws/chat/" if room is None else f"/ws/chat/{room}/"
        talker = Talker(
            {
                "type": "websocket",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "scheme": "ws",
                "path": path,
                "raw_path": path.encode(),
                "root_path": "",
                "query_string": query.encode(),
                "headers": list(headers),
                "client": ("127.0.0.1", 5000),
                "server": ("testserver", 80),
                "subprotocols": list(subprotocols),
                "extensions": {name: {} for name in extensions},
            },
            app,
        )
        self.open.append(talker)
        return await talker.begun()

    async def __call__(
        self,
        user: Any = None,
        room: str | None = "general",
        **hello: Any,
    ) -> Talker:
        """Open a client of v1 that was welcomed."""
        talker = await self.raw(user, room)
        await talker.say({"cmd": "hello", **hello})
        talker.welcome = await talker.push("welcome")
        return talker

    async def plain(
        self,
        user: Any = None,
        room: str | None = "general",
        query: str = "",
    ) -> Talker:
        """Open a client of plain mode, and wait until it watches or was refused."""
        node = engine().node
        before = set(node.connections)
        talker = await self.raw(user, room, subprotocols=(), query=query)
        async with asyncio.timeout(SECONDS):
            # Nothing of plain mode's own would tell.
            while talker._out.empty() and not any(  # noqa: ASYNC110
                connection.watches for connection in node.connections - before
            ):
                await asyncio.sleep(0)
        return talker

    async def end(self, talker: Talker) -> None:
        """End one of them."""
        self.open.remove(talker)
        await talker.end()


@pytest.fixture(name="talk")
async def talk_fixture(transactional_db: None, chat: Engine) -> AsyncIterator[Talkers]:
    """Clients of the real application."""
    async with Talkers() as talkers:
        yield talkers


@pytest.fixture(name="guests")
def guests_fixture(settings: Settings) -> None:
    """Guests may come in."""
    settings.HEADGATE = {"GUESTS": True}
