"""Questions of one event loop to Redis, joined: one connection, one trip for many.

While an answer is on its way, what is asked meanwhile waits and goes out together. So
a thousand connections that send at once cost a few round trips, not a thousand.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import redis.asyncio
from redis.exceptions import NoScriptError

__all__ = ["JoinedQuestions"]

MOST_AT_ONCE = 128  # questions of one trip: about a millisecond of the server's time

Question = list[str | int]


class JoinedQuestions:
    """Runs one script for everybody on the loop.

    Args:
        client: The loop's own; closed by `aclose`.
        script: The script's text.
        sha: Its name on the server.
    """

    def __init__(self, client: redis.asyncio.Redis, script: str, sha: str) -> None:
        self.client = client
        self._script = script
        self._sha = sha
        self._waiting: deque[tuple[Question, asyncio.Future[list[int]]]] = deque()
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> list[int]:
        """Return the script's answer to what EVALSHA takes after its name.

        Raises:
            RedisError, OSError: There is none, within the client's time limit.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[int]] = loop.create_future()
        self._waiting.append((question, answer))
        if self._asking is None:
            self._asking = loop.create_task(self._ask())
        return await answer

    async def _ask(self) -> None:
        """Ask what waits, until nothing does."""
        try:
            while self._waiting:
                count = min(len(self._waiting), MOST_AT_ONCE)
                batch = [self._waiting.popleft() for _ in range(count)]
                try:
                    found = await self._answers([question for question, _ in batch])
                except Exception as exc:  # noqa: BLE001 - handed to who asked
                    found = [exc] * count
                for (_, answer), each in zip(batch, found, strict=True):
                    if answer.done():
                        continue  # whoever asked is gone
                    if isinstance(each, BaseException):
                        answer.set_exception(each)
                    else:
                        answer.set_result(each)
        finally:
            self._asking = None

    async def _answers(self, questions: list[Question]) -> list[Any]:
        """Return an answer or an exception for each question, of one trip."""
        found = await self._trip(questions)
        if not any(isinstance(each, NoScriptError) for each in found):
            return found
        # A new server, or somebody flushed its scripts: nothing was run of these.
        await self.client.script_load(self._script)
        missing = [n for n, each in enumerate(found) if isinstance(each, NoScriptError)]
        again = await self._trip([questions[n] for n in missing])
        for n, each in zip(missing, again, strict=True):
            found[n] = each
        return found

    async def _trip(self, questions: list[Question]) -> list[Any]:
        trip = self.client.pipeline(transaction=False)
        for question in questions:
            trip.execute_command("EVALSHA", self._sha, *question)
        found: list[Any] = await trip.execute(raise_on_error=False)
        return found

    async def aclose(self) -> None:
        """Close the connection; who still waits is told so."""
        task = self._asking
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for _, answer in self._waiting:
            if not answer.done():
                answer.set_exception(ConnectionError("the store was closed"))
        self._waiting.clear()
        await self.client.aclose()
