"""Project code in a process of its own, which a test drives step by step.

    async with project(server) as shop:
        await shop.begin()
        sent = await shop.send("general", "Order 7 is paid.")
        await shop.roll_back()

Run as a module it is that process: it sets Django up as the server's, reads one
command a line from stdin and answers each with one line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.servers import HeadgateServer

__all__ = ["Project", "project"]

REPOSITORY = Path(__file__).parents[2]
LIMIT_SECONDS = 30.0


class Project:
    """The test's end: one method for each step."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def begin(self) -> None:
        """Begin a transaction, or within one a savepoint."""
        await self._do("begin")

    async def commit(self) -> float:
        """End the innermost transaction or savepoint; return when, monotonically."""
        return float((await self._do("commit"))["at"])

    async def roll_back(self) -> None:
        """Undo the innermost transaction or savepoint."""
        await self._do("roll_back")

    async def send(self, room: str, text: str, **more: Any) -> dict[str, Any]:
        """Call `headgate.send_message`; return its `seq`, `seconds` and `at`.

        Outside a transaction it is committed by then.
        """
        return await self._do("send", room=room, text=text, **more)

    async def run(self, code: str) -> float:
        """Run Python that finds `headgate` and `User`; return when it was done.

        Outside a transaction, what it writes is committed by then.
        """
        return float((await self._do("run", code=code))["at"])

    async def hear(self) -> dict[str, Any]:
        """Return the next answer."""
        if self._process.stdout is None:
            raise RuntimeError("the project has no stdout")
        line = await self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line or b'{"error": "it has ended"}')
        if "error" in answer:
            raise RuntimeError(f"the project failed: {answer['error']}")
        return answer

    async def _do(self, step: str, **more: Any) -> dict[str, Any]:
        if self._process.stdin is None:
            raise RuntimeError("the project has no stdin")
        self._process.stdin.write(json.dumps({"do": step, **more}).encode() + b"\n")
        async with asyncio.timeout(LIMIT_SECONDS):
            await self._process.stdin.drain()
            return await self.hear()


@contextlib.asynccontextmanager
async def project(server: HeadgateServer) -> AsyncIterator[Project]:
    """Start project code with a server's settings; its end closes its stdin."""
    arguments = [str(server.data)]
    if server.database_url is not None:
        arguments.append(server.database_url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.project", *arguments),
        stdin=PIPE,
        stdout=PIPE,
        cwd=REPOSITORY,
    )
    try:
        running = Project(process)
        async with asyncio.timeout(LIMIT_SECONDS):
            await running.hear()
        yield running
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


# --- the process itself ---


class _RollBack(Exception):  # noqa: N818 - a way out, not an error
    """Undo the innermost transaction."""


def _answer(**more: Any) -> None:
    sys.stdout.write(json.dumps(more) + "\n")
    sys.stdout.flush()


def _converse() -> None:
    """Carry out steps until the end of the innermost transaction, or of stdin."""
    from django.db import connection, transaction

    # Not `for line in stdin`: it would read ahead of a nested conversation.
    while line := sys.stdin.readline():
        step = json.loads(line)
        what = step.pop("do")
        if what == "commit":
            return
        if what == "roll_back":
            raise _RollBack
        if what == "begin":
            with contextlib.suppress(_RollBack), transaction.atomic():
                _answer(begun=True)
                _converse()
            _answer(ended=True, at=time.monotonic())
        elif what == "run":
            _run(**step)
        else:
            _send(**step)
    if connection.in_atomic_block:
        raise _RollBack


def _run(code: str) -> None:
    from django.contrib.auth.models import User

    import headgate

    try:
        exec(code, {"headgate": headgate, "User": User})  # the test's own
    except Exception as exc:  # noqa: BLE001 - told to the test, which raises it
        _answer(error=repr(exc))
        return
    _answer(done=True, at=time.monotonic())


def _send(**message: Any) -> None:
    import headgate
    from headgate.chat.people import SYSTEM

    began = time.monotonic()
    try:
        sent = headgate.send_message(author=SYSTEM, **message)
    except Exception as exc:  # noqa: BLE001 - told to the test, which raises it
        _answer(error=repr(exc))
        return
    now = time.monotonic()
    _answer(seq=sent.seq, seconds=now - began, at=now)


def main() -> None:
    """Be the project."""
    import dj_database_url

    from headgate.server.options import ServeOptions
    from headgate.server.setup import set_up

    database = dict(dj_database_url.parse(sys.argv[2])) if sys.argv[2:] else None
    set_up(ServeOptions(data=Path(sys.argv[1]), database=database))
    _answer(ready=True)
    _converse()


if __name__ == "__main__":
    main()
