"""Which tickets were used: so that each opens one connection, in whatever process.

Every process remembers those that were brought to it. Beyond that, all of them share
the cache that TICKET_CACHE names, or else the Redis that there is.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from importlib.resources import files
from typing import TYPE_CHECKING

from django.core.cache import caches

from headgate.chat.conf import conf
from headgate.chat.installation import namespace
from headgate.chat.per_loop import PerLoop
from headgate.live.ports import LogUnavailable

if TYPE_CHECKING:
    from headgate.chat.shared_redis import SharedScript

__all__ = ["UsedTickets", "close_used_tickets", "is_first_use"]

logger = logging.getLogger("headgate.tickets")

MAX_REMEMBERED = 250_000  # used tickets in memory, about 25 MB
_BUCKET_SECONDS = 60.0

# By how much the clocks of two machines may differ: to the slower one a ticket is good
# for so much longer.
_CLOCKS_APART_SECONDS = 60.0


async def is_first_use(nonce: int, expires_at: float) -> bool:
    """Note that a ticket is used; False where it was already.

    Args:
        nonce: The ticket's own number.
        expires_at: Until when it is good, as a Unix time in seconds.

    Raises:
        LogUnavailable: The cache of TICKET_CACHE is away.
    """
    settings = conf()
    lives_seconds = max(0.0, expires_at - time.time())
    if settings.TICKET_CACHE is not None:
        return await _first_in_cache(settings.TICKET_CACHE, nonce, lives_seconds)
    if not _used.add(nonce, expires_at):
        return False
    if settings.REDIS is None:
        return True
    return await _first_in_redis(settings.REDIS, nonce, lives_seconds)


async def close_used_tickets() -> None:
    """Close the running loop's connection to Redis, if it has one."""
    for each in _scripts.take_all():
        await each.aclose()


async def _first_in_cache(cache: str, nonce: int, lives_seconds: float) -> bool:
    name = f"headgate.ticket.{nonce}"
    try:
        return bool(await caches[cache].aadd(name, 1, max(1, round(lives_seconds) + 1)))
    except Exception as exc:  # each backend has errors of its own
        logger.warning("ticket_cache_away cache=%r error=%r", cache, exc)
        raise LogUnavailable(str(exc)) from exc


async def _first_in_redis(url: str, nonce: int, lives_seconds: float) -> bool:
    """Ask; while Redis is away, what this process remembers has to do."""
    script = _scripts.get(url, lambda: _opened(url))
    kept_ms = round((lives_seconds + _CLOCKS_APART_SECONDS) * 1000)
    key = f"{namespace()}:ticket:{nonce}"
    (answer,) = await script.ask([[1, key, secrets.token_hex(8), kept_ms]])
    return answer is None or answer == [1]


def _opened(url: str) -> SharedScript:
    from headgate.chat.shared_redis import SharedScript

    text = (files("headgate.chat") / "used_ticket.lua").read_text(encoding="utf-8")
    return SharedScript(url, text, name="tickets")


class UsedTickets:
    """The used tickets of this process, each until it would be too old anyway."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # several loops may share a process
        self._buckets: dict[int, set[int]] = {}  # by the minute of their end

    def add(self, nonce: int, expires_at: float) -> bool:
        """Remember a ticket; False where it is known, or no more can be known."""
        minute = int(expires_at // _BUCKET_SECONDS)
        with self._lock:
            if minute not in self._buckets:
                self._forget()
                self._buckets[minute] = set()
            if nonce in self._buckets[minute]:
                return False
            if sum(map(len, self._buckets.values())) >= MAX_REMEMBERED:
                return False
            self._buckets[minute].add(nonce)
            return True

    def _forget(self) -> None:
        """Forget the tickets that are too old by now."""
        now = int(time.time() // _BUCKET_SECONDS)
        for minute in [minute for minute in self._buckets if minute < now]:
            del self._buckets[minute]


_used = UsedTickets()
_scripts: PerLoop[SharedScript] = PerLoop()
