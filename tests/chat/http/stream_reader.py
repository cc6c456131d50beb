"""Readers of the event stream of the real application, in this process.

`stream` opens them and lets go of them: `await stream("general,help", user)` is a
reader that was welcomed, `await stream.raw(…)` one that was answered, however it was.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any, Self
from urllib.parse import urlencode

import pytest

from tests.chat.talker import (
    SECONDS,
    Talkers,
    application,
    in_thread,
    session_of,
)
from tests.event_stream import Event, EventParser

__all__ = ["HOST", "Over", "Reader", "Readers", "stream_fixture"]

HOST = (b"host", b"testserver")
Headers = Iterable[tuple[bytes, bytes]]


class Over(Exception):  # noqa: N818 - not an error
    """The answer has ended."""


class Reader:
    """One request for the stream.

    Attributes:
        status: The status of the answer.
        headers: Its headers, by their names in lower case.
        body: All bytes that came.
        heard: The events that were read.
        reads: Cleared, the client takes nothing.
    """

    def __init__(self, scope: dict[str, Any]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.heard: list[Event] = []
        self.reads = asyncio.Event()
        self.reads.set()
        given = dict(scope["headers"]).get(b"last-event-id", b"")
        self.parser = EventParser(given.decode())
        self.complete = False
        self._gone = False
        self._begun = asyncio.Event()
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._out: asyncio.Queue[Event | Over] = asyncio.Queue()
        self._in.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        served = application()(scope, self._in.get, self._send)
        self.task: asyncio.Task[None] = asyncio.create_task(served)
        self.task.add_done_callback(self._over)

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        if self._gone:
            raise OSError("the client is gone")
        if message["type"] == "http.response.start":
            if self.status:
                raise RuntimeError("a second beginning")
            self.status = message["status"]
            for name, value in message["headers"]:
                self.headers[name.decode()] = value.decode()
        else:
            if not self.status or self.complete:
                raise RuntimeError("no time for a body")
            self.body += message.get("body", b"")
            self.complete = not message.get("more_body", False)
            if self.headers.get("content-type", "").startswith("text/event-stream"):
                for event in self.parser.feed(message.get("body", b"")):
                    self._out.put_nowait(event)
            self._begun.set()

    def _over(self, _task: asyncio.Task[None]) -> None:
        self._out.put_nowait(Over())
        self._begun.set()

    async def begun(self) -> Self:
        """Wait for the first bytes of the answer's body."""
        async with asyncio.timeout(SECONDS):
            await self._begun.wait()
        return self

    @property
    def problem(self) -> dict[str, Any]:
        """The problem with which the request was answered."""
        if self.headers["content-type"] != "application/problem+json":
            raise AssertionError(f"{self.status}: {self.body!r}")
        found: dict[str, Any] = json.loads(self.body)
        return found

    # --- reading ---

    async def event(self) -> Event:
        """Return the next event; raises `Over`, or what the application raised."""
        async with asyncio.timeout(SECONDS):
            event = await self._out.get()
        if isinstance(event, Over):
            self._out.put_nowait(event)
            self.task.result()
            raise event
        self.heard.append(event)
        return event

    def waiting(self) -> list[Event]:
        """Return the events that have come and were not read."""
        found: list[Event] = []
        while not self._out.empty():
            event = self._out.get_nowait()
            if isinstance(event, Over):
                self._out.put_nowait(event)
                break
            found.append(event)
        self.heard += found
        return found

    async def named(self, name: str) -> Event:
        """Return the next event of a name; what stands before it is in `heard`."""
        while (event := await self.event()).name != name:
            pass
        return event

    async def until(self, room: str, seq: int) -> list[Event]:
        """Return all that comes up to an event of a room."""
        found = [await self.event()]
        while not (
            found[-1].said.get("room") == room and found[-1].said.get("seq", 0) >= seq
        ):
            found.append(await self.event())
        return found

    async def reach(self, **heads: int) -> None:
        """Read on until rooms have been read up to these seqs; all is in `heard`."""
        while heads:
            said = (await self.event()).said
            room = said.get("room", "")
            if room in heads and said.get("seq", 0) >= heads[room]:
                del heads[room]

    async def over(self) -> list[Event]:
        """Wait until the server ends the answer; return what came before."""
        found = []
        try:
            while True:
                found.append(await self.event())
        except Over:
            return found

    # --- ending ---

    async def end(self) -> None:
        """Go away; raises what the application raised."""
        self._in.put_nowait({"type": "http.disconnect"})
        async with asyncio.timeout(SECONDS):
            await self.task

    async def vanish(self) -> None:
        """Be gone without a word that the server could read first."""
        self._gone = True
        self.reads.set()
        await self.end()


class Readers:
    """Opens readers; as a context it ends them."""

    def __init__(self) -> None:
        self.open: list[Reader] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for reader in self.open:
            reader.reads.set()
        for reader in self.open:
            await reader.end()

    def ask(
        self,
        query: str,
        headers: Headers = (HOST,),
        *,
        method: str = "GET",
        path: str = "/api/v1/stream",
        root_path: str = "",
    ) -> Reader:
        """Ask, and do not wait for the answer."""
        reader = Reader(
            {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "method": method,
                "scheme": "http",
                "path": path,
                "raw_path": path.encode(),
                "root_path": root_path,
                "query_string": query.encode(),
                "headers": list(headers),
                "client": ("127.0.0.1", 5000),
                "server": ("testserver", 80),
            },
        )
        self.open.append(reader)
        return reader

    async def raw(
        self,
        rooms: str = "general",
        user: Any = None,
        *,
        last: str | None = None,
        headers: Headers = (),
        query: dict[str, str] | None = None,
        method: str = "GET",
    ) -> Reader:
        """Ask for the stream and wait for the answer, whatever it is.

        `user` comes with a cookie, `last` is the Last-Event-ID.
        """
        given = [HOST, *headers]
        if user is not None:
            cookie = f"sessionid={await in_thread(session_of, user)}"
            given.append((b"cookie", cookie.encode()))
        if last is not None:
            given.append((b"last-event-id", last.encode()))
        asked = urlencode({"rooms": rooms, **(query or {})})
        return await self.ask(asked, given, method=method).begun()

    async def __call__(
        self,
        rooms: str = "general",
        user: Any = None,
        **more: Any,
    ) -> Reader:
        """Open a stream; its first event, the welcome, is in `heard`."""
        reader = await self.raw(rooms, user, **more)
        if reader.status != 200:
            raise AssertionError(f"{reader.status}: {reader.body!r}")
        welcome = await reader.event()
        if welcome.name != "welcome":
            raise AssertionError(f"no welcome, but {welcome}")
        return reader

    async def end(self, reader: Reader) -> None:
        """End one of them."""
        self.open.remove(reader)
        reader.reads.set()
        await reader.end()


@pytest.fixture(name="stream")
async def stream_fixture(talk: Talkers) -> AsyncIterator[Readers]:
    """Readers of the real application; they end before its engine does."""
    async with Readers() as readers:
        yield readers
