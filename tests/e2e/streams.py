"""Event streams over real sockets, read by programs that are not ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.bare import LIMIT_SECONDS
from tests.event_stream import Event, EventParser
from tests.processes import spawn, stop
from tests.servers import HeadgateServer

__all__ = ["PATH", "Program", "Stream", "curl", "running", "streaming"]

PATH = "/api/v1/stream"


class Stream:
    """An answer that goes on, read with httpx.

    Attributes:
        heard: The events that were read.
    """

    def __init__(self, response: httpx.Response, last_id: str) -> None:
        self.response = response
        self.heard: list[Event] = []
        self.parser = EventParser(last_id)
        self._chunks = response.aiter_raw()
        self._waiting: list[Event] = []

    @property
    def last_id(self) -> str:
        """The id of the last event that was whole."""
        return self.parser.last_id

    async def event(self, limit_seconds: float = LIMIT_SECONDS) -> Event:
        """Return the next event; raises StopAsyncIteration at the answer's end."""
        async with asyncio.timeout(limit_seconds):
            while not self._waiting:
                self._waiting = self.parser.feed(await anext(self._chunks))
        event = self._waiting.pop(0)
        self.heard.append(event)
        return event

    async def named(self, name: str) -> Event:
        """Return the next event of a name."""
        while (event := await self.event()).name != name:
            pass
        return event

    async def over(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Read on until the server ends the answer, as HTTP says it."""
        async with asyncio.timeout(limit_seconds):
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    await self.event(limit_seconds)


@contextlib.asynccontextmanager
async def streaming(
    server: HeadgateServer,
    rooms: str,
    *,
    last_id: str = "",
    headers: dict[str, str] | None = None,
) -> AsyncIterator[Stream]:
    """Open a stream; the welcome is in `heard`."""
    given = dict(headers or {})
    if last_id:
        given["Last-Event-ID"] = last_id
    async with (
        httpx.AsyncClient(trust_env=False, timeout=LIMIT_SECONDS) as client,
        client.stream(
            "GET", server.url + PATH, params={"rooms": rooms}, headers=given
        ) as response,
    ):
        if response.status_code != 200:
            raise RuntimeError(f"{response.status_code}: {await response.aread()!r}")
        stream = Stream(response, last_id)
        welcome = await stream.event()
        if welcome.name != "welcome":
            raise RuntimeError(f"no welcome, but {welcome}")
        yield stream


class Program:
    """A program that reads a stream, and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def printed(self) -> str:
        """All that it has printed."""
        return self._output.read_bytes().decode()

    async def prints(self, text: str) -> None:
        """Wait until it has printed something."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while text not in self.printed:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.01)

    async def ended(self) -> int:
        """Wait until it ends by itself, and return its exit code."""
        async with asyncio.timeout(LIMIT_SECONDS):
            return await asyncio.to_thread(self._process.wait)


@contextlib.contextmanager
def running(folder: Path, *command: Any) -> Iterator[Program]:
    """Run a program until the end of the context."""
    output = folder / "program.out"
    with output.open("wb") as out:
        process = spawn(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield Program(process, output)
    finally:
        stop(process, signal.SIGTERM, limit_seconds=LIMIT_SECONDS)


def curl(folder: Path, *arguments: Any) -> contextlib.AbstractContextManager[Program]:
    """Run curl without buffering its output."""
    program = shutil.which("curl")
    if program is None:
        why = "curl is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return running(folder, program, "-N", "-sS", "--noproxy", "*", *arguments)
