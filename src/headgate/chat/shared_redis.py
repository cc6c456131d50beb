"""Asking the Redis that all processes share, one script at a time.

While it is away nobody waits for it: a question has a time limit, and after a few that
were not answered a breaker lets one through now and then. Whoever asked decides by what
this process knows. Needs the extra `redis`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from headgate.limits.breaker import Breaker
from headgate.limits.joined_questions import MOST_AT_ONCE, JoinedQuestions
from headgate.relay.redis.failures import reason

__all__ = ["MOST_AT_ONCE", "SharedScript"]

logger = logging.getLogger("headgate.shared")

# Of one trip. Once for each connection, so it may be longer than that of a limit.
TIMEOUT_SECONDS = 0.25


class SharedScript:
    """Runs one script for everybody on one event loop, while the server answers.

    Args:
        url: Such as `redis://127.0.0.1:6379/0`, `rediss://…` or `unix://…`.
        script: The script's text.
        name: Of what it counts, for the log: `NAME_away`, `NAME_back`.
    """

    def __init__(self, url: str, script: str, *, name: str) -> None:
        self._url = url
        self._script = script
        self._sha = hashlib.sha1(script.encode()).hexdigest()  # noqa: S324 - its name there
        self._name = name
        self._breaker = Breaker(self._changed)
        self._error = ""
        self._joined: JoinedQuestions | None = None

    @property
    def next_try_seconds(self) -> float:
        """How long there will be no answer, as far as is known; mostly 0."""
        return self._breaker.opens_for_seconds if self._breaker.is_open else 0.0

    async def ask(
        self, questions: Sequence[list[str | int]]
    ) -> Sequence[list[int] | None]:
        """Return the script's answers to what EVALSHA takes after its name.

        Up to `MOST_AT_ONCE` of them go in one trip. None stands for no answer, which
        is known after two time limits at the latest; the server may have run the
        script all the same, even twice.
        """
        if not self._breaker.may_ask():
            return [None] * len(questions)
        if self._joined is None:
            self._joined = self._connected()
        ask = self._joined.ask
        return await asyncio.gather(*(ask(question) for question in questions))

    def _connected(self) -> JoinedQuestions:
        # No retries of the library's own: they would multiply the time limit.
        client = redis.asyncio.Redis.from_url(
            self._url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        )
        return JoinedQuestions(
            client,
            self._script,
            self._sha,
            timeout_seconds=TIMEOUT_SECONDS,
            worked=self._breaker.worked,
            failed=self._failed,
        )

    def _failed(self, exc: Exception) -> None:
        self._error = reason(exc)
        self._breaker.failed()

    def _changed(self, away: bool) -> None:  # noqa: FBT001 - the breaker's call
        if away:
            logger.warning("%s_away error=%s", self._name, self._error)
        else:
            logger.warning("%s_back", self._name)

    async def aclose(self) -> None:
        """Close the connection; a later question opens another."""
        joined, self._joined = self._joined, None
        if joined is not None:
            await joined.aclose()
