"""Questions of sync code to Redis: one connection for each thread that asks just now.

The library's own pool looks at a connection before each use, and its clients do more
around a command than this needs: without that, an answer takes a third less time.
"""

from __future__ import annotations

import os
from typing import Any

import redis
from redis.exceptions import NoScriptError

__all__ = ["DirectQuestions"]

Question = list[str | int]


class DirectQuestions:
    """Runs one script for all threads.

    Args:
        pool: Makes the connections, with their time limits.
        script: The script's text.
        sha: Its name on the server.
    """

    def __init__(self, pool: redis.ConnectionPool, script: str, sha: str) -> None:
        self._pool = pool
        self._script = script
        self._sha = sha
        self._idle: list[Any] = []  # used last in, first out; safe for threads
        self._pid = os.getpid()

    def ask(self, question: Question) -> list[int]:
        """Return the script's answer to what EVALSHA takes after its name.

        Raises:
            RedisError, OSError: There is none, within the time limits.
        """
        if self._pid != os.getpid():  # the connections are those of the parent
            self._idle, self._pid = [], os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._pool.make_connection()
        try:
            try:
                found = self._once(connection, question)
            except redis.ConnectionError:
                # A new server, or it closed what was idle: it may be back at once.
                # Was the question answered, it counts twice, and too few are let in.
                connection.disconnect()
                found = self._once(connection, question)
        except BaseException:
            connection.disconnect()  # whose answer comes next is not known
            raise
        finally:
            self._idle.append(connection)  # which connects when it is used
        return found

    def _once(self, connection: Any, question: Question) -> list[int]:
        try:
            connection.send_command("EVALSHA", self._sha, *question)
            found: list[int] = connection.read_response()
        except NoScriptError:  # a new server, or somebody flushed its scripts
            connection.send_command("EVAL", self._script, *question)
            found = connection.read_response()
        return found

    def close(self) -> None:
        """Close the connections that nobody uses just now."""
        while self._idle:
            self._idle.pop().disconnect()
