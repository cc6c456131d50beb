"""The worker's thread: the one place of a worker that uses the database.

It has a connection of its own. On SQLite its commits do not wait until they are on the
disk: what is lost of them with the machine's power is that a call was leased or made,
and then it is made again under the same id. What is owed was written elsewhere, and is
as safe as the message that it is owed for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import connections

__all__ = ["LedgerThread"]

logger = logging.getLogger("headgate.outbound")

R = TypeVar("R")


class LedgerThread:
    """Runs pieces of work, one after the other, each given the connection.

    Args:
        using: The alias of the database.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="headgate-ledger")

    async def run(self, work: Callable[[Any], R]) -> R:
        """Return what the work returns; a connection that it broke is closed."""
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, self._call, work
        )

    def _call(self, work: Callable[[Any], R]) -> R:
        connection = connections[self._using]
        try:
            if connection.connection is None and connection.vendor == "sqlite":
                with connection.cursor() as cursor:
                    cursor.execute("PRAGMA synchronous = NORMAL")
            return work(connection)
        except Exception:
            connection.close()
            raise

    async def close(self) -> None:
        """Close the connection and end the thread."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._pool, self._close)
        self._pool.shutdown()

    def _close(self) -> None:
        connections[self._using].close()
