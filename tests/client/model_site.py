"""The model server with HTTP beside it, on one port, as a project has them.

What it answers is put into `answers`, by path; `asked` holds what was asked.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

from headgate.protocol import pushes
from tests.accepting import stop_accepting
from tests.client.model_server import ModelServer

CONNECT = "/api/v1/connect"
ADA = pushes.Author(id="u:1", kind="user", name="Ada")
BOB = pushes.Author(id="u:2", kind="user", name="Bob")


@dataclass(frozen=True)
class Asked:
    """A request as it came; names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def cookies(self) -> dict[str, str]:
        pairs = self.headers.get("cookie", "").split("; ")
        return dict(pair.split("=", 1) for pair in pairs if pair)


@dataclass
class Answer:
    """What a path answers; `body` is sent as JSON."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


class ModelSite:
    """Use as an async context manager; `url` is what a client takes."""

    def __init__(self) -> None:
        self.chat = ModelServer()
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self.asked: list[Asked] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.chat.start(0)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        await stop_accepting(self._server)
        await self.chat.stop()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    def descriptor(
        self, author: pushes.Author, *rooms: str, **changed: Any
    ) -> dict[str, Any]:
        """Return a descriptor as it comes in a header, with a fresh ticket."""
        found = {
            "url": f"ws://127.0.0.1:{self.port}/ws/chat/",
            "protocol": "headgate.v1",
            "ticket": self.chat.ticket_for(author),
            "ticket_expires_in_ms": 30_000,
            "rooms": list(rooms),
        }
        if author.kind == "guest":
            found["guest"] = author.id
        return found | changed

    def connect(self, path: str, found: Mapping[str, Any], status: int = 201) -> None:
        """Have the next answer of a path connect the caller."""
        headers = {"Headgate-Connect": json.dumps(found)}
        self.answers[path].append(Answer(status, headers, {}))

    def asked_for(self, path: str) -> list[Asked]:
        return [each for each in self.asked if each.path == path]

    # --- one connection -----------------------------------------------------------

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"upgrade: websocket" in head.lower():
                    await self._pass_on(head, reader, writer)
                    break
                await self._answer(head, reader, writer)
        self._writers.discard(writer)
        writer.close()

    async def _answer(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        method, path, _version = first.split(" ")
        named = (line.split(": ", 1) for line in lines)
        headers = {name.lower(): value for name, value in named}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.asked.append(Asked(method, path, headers, body))
        waiting = self.answers[path]
        answer = waiting.pop(0) if waiting else Answer(404)
        text = b"" if answer.body is None else json.dumps(answer.body).encode()
        said = [
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            f"Content-Length: {len(text)}",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
        ]
        writer.write("\r\n".join(said).encode() + b"\r\n\r\n" + text)
        await writer.drain()

    async def _pass_on(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Let the chat and its client talk until one of them ends."""
        chat_reader, chat_writer = await asyncio.open_connection(
            "127.0.0.1", self.chat.port
        )
        chat_writer.write(head)
        ways = [
            asyncio.ensure_future(_copy(reader, chat_writer)),
            asyncio.ensure_future(_copy(chat_reader, writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)
        chat_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
