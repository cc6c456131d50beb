"""Reports in Redis: how processes of all machines see each other's refusals.

A key for each process, which Redis forgets after ten minutes, and an index of them,
so that nobody has to look through all keys. A reset deletes the numbers themselves.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import RedisError

from headgate.limits.owner import is_meant, owner_of
from headgate.limits.redis import PREFIX
from headgate.limits.reports import (
    FRESH_SECONDS,
    KEPT_SECONDS,
    Report,
    ReportsUnusable,
    Reset,
)

__all__ = ["RedisReports", "Stored"]

TIMEOUT_SECONDS = 2.0
BATCH = 1000  # keys in one question; none of them holds others up for long
_REPORTS = "{headgate:reports}"  # in braces: one slot of a Redis Cluster
_INDEX = f"{_REPORTS}:processes"
_RESETS = f"{_REPORTS}:resets"


@dataclass(frozen=True, slots=True)
class Stored:
    """A number in Redis: until when a key is not as fresh as a new one."""

    policy: str
    key: str
    rested_after_us: int


class RedisReports:
    """Reports in the Redis where the limits are; see `Reports`.

    Args:
        url: As for `RedisStore`.
        prefix: Before the names of the limits, as for `RedisStore`.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = PREFIX,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._prefix = prefix
        self._clock = clock
        with _telling():
            self._client: Any = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
            )

    def write(self, report: Report) -> None:
        """Put a process's report in the place of its last one."""
        name, now = f"{report.host}-{report.process}", self._clock()
        with _telling():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.set(_report(name), report.to_json(), ex=int(FRESH_SECONDS))
            pipeline.zadd(_INDEX, {name: now})
            pipeline.zremrangebyscore(_INDEX, "-inf", now - KEPT_SECONDS)
            pipeline.expire(_INDEX, int(KEPT_SECONDS))
            pipeline.execute()

    def read(self) -> list[Report]:
        """Return the reports of all processes that are not too old."""
        found = []
        with _telling():
            names = [name.decode() for name in self._client.zrange(_INDEX, 0, -1)]
            for start in range(0, len(names), BATCH):
                some = [_report(name) for name in names[start : start + BATCH]]
                for text in self._client.mget(some):
                    if text is not None:
                        with contextlib.suppress(ValueError):
                            found.append(Report.from_json(text))
        return found

    def reset(self, key: str) -> None:
        """Delete what is counted of a key, and have each process forget it."""
        now = self._clock()
        asked = Reset.of(key, now).to_json()
        with _telling():
            for names in self._names(key):
                self._client.unlink(*names)
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zadd(_RESETS, {asked: now})
            pipeline.zremrangebyscore(_RESETS, "-inf", now - KEPT_SECONDS)
            pipeline.expire(_RESETS, int(KEPT_SECONDS))
            pipeline.execute()

    def resets(self, since: float) -> list[Reset]:
        """Return the resets of the last hour that were asked for since then."""
        since = max(since, self._clock() - KEPT_SECONDS)
        with _telling():
            texts = self._client.zrangebyscore(_RESETS, since, "+inf")
        found = []
        for text in texts:
            with contextlib.suppress(ValueError):  # of another version
                found.append(Reset.from_json(text))
        return found

    def stored(self, key: str) -> list[Stored]:
        """Return what is counted of a key, or of all keys of a person."""
        found = []
        with _telling():
            seconds, microseconds = self._client.time()
            now_us = int(seconds) * 1_000_000 + int(microseconds)
            for names in self._names(key):
                # Gone in between is as good as never counted.
                for name, number in zip(names, self._client.mget(names), strict=True):
                    if number is not None and int(number) > now_us:
                        policy, kept = self._parts(name)
                        found.append(Stored(policy, kept, int(number) - now_us))
        return sorted(found, key=lambda each: (each.policy, each.key))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _names(self, asked: str) -> Iterator[list[bytes]]:
        """Yield the names of the numbers that are meant, some at a time."""
        prefix, owner = _literal(self._prefix), _literal(owner_of(asked))
        pattern = f"{prefix}:*{{{owner}}}*"
        cursor = None
        while cursor != 0:
            cursor, names = self._client.scan(cursor or 0, match=pattern, count=BATCH)
            meant = [name for name in names if is_meant(asked, self._parts(name)[1])]
            if meant:
                yield meant

    def _parts(self, name: bytes) -> tuple[str, str]:
        """Return policy and key of a name; see `redis_key`."""
        rest = name.decode(errors="replace").removeprefix(f"{self._prefix}:")
        policy, _, tagged = rest.partition(":")
        own_braces = tagged.startswith(":")
        return policy, tagged[1:] if own_braces else tagged[1:-1]


def _literal(text: str) -> str:
    """Return a text for a pattern, in which nothing of it stands for more."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


def _report(name: str) -> str:
    return f"{_REPORTS}:of:{name}"


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, ValueError) as exc:
        raise ReportsUnusable(
            f"Redis cannot be asked: {exc}. Check that it runs, and its URL, such as "
            "redis://127.0.0.1:6379/0.",
        ) from exc
