"""Questions of one event loop to Redis, joined: one connection, one trip for many.

While an answer is on its way, what is asked meanwhile waits and goes out together. So
a thousand connections that send at once cost a few round trips, not a thousand. Where
a trip fails, nobody who waits tries the same again: all are told at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import ClusterCrossSlotError, NoScriptError, RedisError

__all__ = ["JoinedQuestions", "is_callers_error"]

MOST_AT_ONCE = 128  # questions of one trip: about a millisecond of the server's time

Question = list[str | int]


class JoinedQuestions:
    """Runs one script for everybody on the loop.

    Args:
        client: The loop's own; closed by `aclose`.
        script: The script's text.
        sha: Its name on the server.
        timeout_seconds: How long one trip may take.
        worked: Called after each trip that brought answers.
        failed: Called with the reason after each other one.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        script: str,
        sha: str,
        *,
        timeout_seconds: float,
        worked: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self.client = client
        self._script = script
        self._sha = sha
        self._timeout_seconds = timeout_seconds
        self._worked = worked
        self._failed = failed
        self._waiting: deque[tuple[Question, asyncio.Future[list[int] | None]]]
        self._waiting = deque()
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> list[int] | None:
        """Return the script's answer to what EVALSHA takes after its name.

        None where there is none; after two time limits at the latest, since a trip
        may be under way.

        Raises:
            RedisError: The caller asked for what cannot be.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[int] | None] = loop.create_future()
        self._waiting.append((question, answer))
        if self._asking is None:
            self._asking = loop.create_task(self._ask())
        return await answer

    async def _ask(self) -> None:
        """Ask what waits, until nothing does."""
        batch: list[tuple[Question, asyncio.Future[list[int] | None]]] = []
        try:
            while self._waiting:
                count = min(len(self._waiting), MOST_AT_ONCE)
                batch = [self._waiting.popleft() for _ in range(count)]
                found = await self._answers([question for question, _ in batch])
                failure: Exception | None = None
                for (_, answer), each in zip(batch, found, strict=True):
                    if not isinstance(each, Exception) or is_callers_error(each):
                        _tell(answer, each)
                    else:
                        failure = each
                        _tell(answer, None)
                batch = []
                if failure is None:
                    self._worked()
                else:
                    self._failed(failure)
        except (RedisError, OSError) as exc:
            self._failed(exc)
        finally:
            # Also those who asked meanwhile: they would wait for the same.
            self._asking = None
            for _, answer in (*batch, *self._waiting):
                _tell(answer, None)
            self._waiting.clear()

    async def _answers(self, questions: list[Question]) -> list[Any]:
        """Return an answer or an exception for each question, of one trip."""
        async with asyncio.timeout(self._timeout_seconds):
            try:
                found = await self._trip(questions)
            except redis.ConnectionError:
                # A new server, or it closed what was idle: it may be back at once.
                # What was answered counts twice then, and too few are let in.
                found = await self._trip(questions)
            gone = [n for n, each in enumerate(found) if _is_gone(each)]
            if gone:
                # A new server, or somebody flushed its scripts: these were not run.
                again = await self._trip([questions[n] for n in gone], whole=True)
                for n, each in zip(gone, again, strict=True):
                    found[n] = each
            return found

    async def _trip(
        self, questions: list[Question], *, whole: bool = False
    ) -> list[Any]:
        """Ask by the script's name, or with all of its text."""
        command = ("EVAL", self._script) if whole else ("EVALSHA", self._sha)
        trip = self.client.pipeline(transaction=False)
        for question in questions:
            trip.execute_command(*command, *question)
        found: list[Any] = await trip.execute(raise_on_error=False)
        return found

    async def aclose(self) -> None:
        """Close the connection; who still waits is told that there is no answer."""
        task = self._asking
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        # A task that had not begun has told nobody.
        self._asking = None
        for _, answer in self._waiting:
            _tell(answer, None)
        self._waiting.clear()
        await self.client.aclose()


def is_callers_error(exc: Exception) -> bool:
    """Whether the store is there and the question was wrong."""
    return isinstance(exc, ClusterCrossSlotError)


def _is_gone(answer: object) -> bool:
    return isinstance(answer, NoScriptError)


def _tell(
    answer: asyncio.Future[list[int] | None], what: list[int] | Exception | None
) -> None:
    if answer.done():
        return  # whoever asked is gone
    if isinstance(what, Exception):
        answer.set_exception(what)
    else:
        answer.set_result(what)
