"""Comparing heads: how events written by other processes are noticed.

Once a second the heads of the watched rooms are read, on SQLite only when the
database file has changed (`PRAGMA data_version`). No relay is needed for that, and
no relay that loses something can cause more than this delay.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from django.db import DatabaseError, connection, connections

from headgate.chat.models import Room
from headgate.live.hub import Hub

__all__ = ["HeadWatch"]

logger = logging.getLogger("headgate.heads")

INTERVAL_SECONDS = 1.0


class HeadWatch:
    """Compares heads on a thread of its own, whose connection stays the same.

    `data_version` says something only about two looks through one connection.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="headgate-heads")
        # The file's version at the last look, and the rooms looked for: a room that
        # was added since must be looked for even in an unchanged file.
        self._seen: tuple[int, list[int]] | None = None
        self._away = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            self._hub.sweep()
            watched = sorted(self._hub.rooms)
            try:
                moved = await loop.run_in_executor(self._thread, self._look, watched)
            except Exception:  # whatever it is, the next second is another chance
                logger.exception("heads_failed")
                continue
            for room_id, head in moved:
                self._hub.reach(room_id, head)

    def _look(self, watched: list[int]) -> list[tuple[int, int]]:
        try:
            heads = self._heads(watched)
        except DatabaseError as exc:
            if not self._away:
                logger.warning("heads_away error=%s", exc)
            self._away = True
            connection.close()
            self._seen = None
            return []
        if self._away:
            logger.warning("heads_back")
        self._away = False
        return heads

    def _heads(self, watched: list[int]) -> list[tuple[int, int]]:
        if not watched:
            return []
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA data_version")
                (version,) = cursor.fetchone()
            if self._seen == (version, watched):
                return []
            self._seen = (version, watched)
        rooms = Room.objects.filter(pk__in=watched)
        return list(rooms.values_list("pk", "head"))

    async def close(self) -> None:
        """Stop comparing and close the connection."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, connections.close_all)
        await asyncio.to_thread(self._thread.shutdown)
