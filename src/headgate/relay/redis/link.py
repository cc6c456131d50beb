"""One connection to Redis: bytes out, answers in.

The library makes it: URL, TLS, AUTH, SELECT. From then on its streams are used as they
are. Its own reads differ from version to version in what a time limit means, close a
connection whose read is cancelled or not, and cost three times as much for each
message as the parser below them.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import hiredis
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from headgate.relay.redis.failures import ServerClosed, ServerRefused, ServerSilent

__all__ = ["Link", "LinkOpener"]

READ_BYTES = 64 * 1024
OPEN_SECONDS = 1.0  # to connect, and for all that the server asks before it serves
WRITE_SECONDS = 1.0  # for the system to take what is sent
ANSWER_SECONDS = 1.0  # a healthy server takes less than 1 ms

_NOTHING = object()


class LinkOpener:
    """Opens connections to one server.

    Args:
        url: Such as `redis://127.0.0.1:6379/0`, `rediss://…` or `unix://…`.

    Raises:
        ValueError: The URL cannot be used. Says nothing of what is in it.
    """

    def __init__(self, url: str) -> None:
        try:
            options: dict[str, Any] = dict(parse_url(url))
            self._class: Any = options.pop("connection_class", Connection)
            options.pop("max_connections", None)  # of a pool: there is none
            self._options = options | {
                "protocol": 2,  # messages come as arrays, from every server
                # With a limit the library writes under `wait_for`, which before
                # Python 3.12 may swallow that its task is cancelled. `open` has one.
                "socket_timeout": None,
                "socket_connect_timeout": OPEN_SECONDS,
                "health_check_interval": 0,
                "retry": Retry(NoBackoff(), 0),
            }
            self._class(**self._options)
        except (RedisError, TypeError, ValueError) as exc:
            why = type(exc).__name__
            # Without its cause, which may quote a password.
            raise ValueError(f"The URL of Redis cannot be used: {why}") from None

    async def open(self) -> Link:
        """Connect.

        Raises:
            RedisError, OSError: It was not possible.
        """
        connection = self._class(**self._options)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return Link(connection)


class Link:
    """A connection that is open.

    Attributes:
        heard: Whether anything came since somebody set it to False.
    """

    def __init__(self, connection: Any) -> None:
        self.heard = True
        self._connection = connection
        self._reader: asyncio.StreamReader = connection._reader  # noqa: SLF001 - see above
        self._writer: asyncio.StreamWriter = connection._writer  # noqa: SLF001 - the same
        self._parser = hiredis.Reader(notEnoughData=_NOTHING)
        self._failure: Exception | None = None

    @property
    def is_ended(self) -> bool:
        """Whether it is known to be gone."""
        return self._reader.at_eof() or self._reader.exception() is not None

    def write(self, data: bytes) -> None:
        """Send; never waits."""
        self._writer.write(data)

    async def drained(self) -> None:
        """Wait until the system has most of what was written.

        Raises:
            OSError: The connection is gone, or that took too long.
        """
        async with asyncio.timeout(WRITE_SECONDS):
            await self._writer.drain()

    async def answers(self) -> list[Any]:
        """Wait for answers, and return all that have come: at least one.

        Raises:
            ServerRefused: One of them is an error.
            Exception: The connection is gone; or what `fail` was given.
        """
        found: list[Any] = []
        while not found:
            data = await self._reader.read(READ_BYTES)
            if not data:
                raise self._failure or ServerClosed
            self.heard = True
            self._parser.feed(data)
            while (answer := self._parser.gets()) is not _NOTHING:
                if isinstance(answer, hiredis.ReplyError):
                    raise ServerRefused.of(str(answer))
                found.append(answer)
        return found

    async def answers_soon(self) -> list[Any]:
        """Wait for `answers`, but not for long.

        Raises:
            ServerSilent: There were none in time.
            Exception: See `answers`.
        """
        # Twice half of the time: when this loop stood still for all of it, the answers
        # are there, and the second wait is none.
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS / 2):
                    return await self.answers()
        raise ServerSilent

    def fail(self, failure: Exception) -> None:
        """Give it up, for a reason that whoever reads is told."""
        self._failure = failure
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close it at once, whatever has not been sent."""
        self._writer.transport.abort()  # to close would wait for a server that stands
        await self._connection.disconnect(nowait=True)
        with contextlib.suppress(Exception):  # what it ended of was told to the reader
            await self._writer.wait_closed()
