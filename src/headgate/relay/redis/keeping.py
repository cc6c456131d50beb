"""Keeping a connection: made anew for ever, after a wait that spreads the crowd."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import hiredis
from redis.exceptions import RedisError

from headgate.relay.redis.link import Link, LinkOpener
from headgate.relay.redis.outage import Outage

__all__ = ["keep"]

logger = logging.getLogger("headgate.relay")

# A wait is random between nothing and a ceiling, which doubles up to its cap.
FIRST_SECONDS = 0.05
CAP_SECONDS = 1.0
HELD_SECONDS = 1.0  # one that is accepted and dropped at once is no success

# What servers and networks do; anything else is a fault of ours.
FAILURES = (RedisError, OSError, hiredis.ProtocolError)


async def keep(
    name: str,
    opener: LinkOpener,
    outage: Outage,
    use: Callable[[Link], Awaitable[None]],
) -> None:
    """Open a connection and have it used, again whenever that fails.

    Args:
        name: The connection's, in the log.
        opener: Opens it.
        outage: Is told when it is lost; `use` tells it when it works.
        use: Uses it for as long as it holds; raises when it does not.
    """
    loop = asyncio.get_running_loop()
    ceiling_seconds = FIRST_SECONDS
    while True:
        opened_at: float | None = None
        try:
            link = await opener.open()
            opened_at = loop.time()
            try:
                await use(link)
            finally:
                await link.close()
        except Exception as exc:
            if outage.lost(name, exc) and not isinstance(exc, FAILURES):
                logger.exception("relay_failed connection=%s", name)
        if opened_at is not None and loop.time() - opened_at >= HELD_SECONDS:
            ceiling_seconds = FIRST_SECONDS
        await asyncio.sleep(random.random() * ceiling_seconds)  # noqa: S311 - no secret
        ceiling_seconds = min(ceiling_seconds * 2, CAP_SECONDS)
