"""What a process does for the growing messages of others.

It hears what their texts are by now, and reads what is saved where it has missed the
beginning. And it ends those whose authors have gone: where nothing was heard of one
for 30 s (`growing_silence`) its process has died, or its author has not come back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from headgate.chat.growing_rows import Growing, growing_at, left_at, old_marks
from headgate.chat.growing_silence import (
    LOOK_SECONDS,
    MOST_MARKS,
    OLD_SECONDS,
    Silence,
)
from headgate.chat.reader import Reader
from headgate.live.hub import Hub
from headgate.live.ports import LogUnavailable
from headgate.protocol.pushes import Partial

__all__ = ["GrowingCare"]

logger = logging.getLogger("headgate.growing")

READ_SECONDS = 2.0  # between two looks at what is saved of one: as often as it is
MOST_AT_ONCE = 100  # messages that one look ends

# Ends a message in a room unless its author was heard of since that mark.
Cut = Callable[[str, Growing, datetime], Awaitable[object]]


class GrowingCare:
    """Cares for growing messages whose authors write through another process.

    Args:
        hub: The rooms of this process.
        reader: What reads them.
        cut: Ends one.
        is_here: Whether the one with a seq grows here, and its author is there.
    """

    def __init__(
        self,
        hub: Hub,
        reader: Reader,
        cut: Cut,
        is_here: Callable[[str, int], bool],
    ) -> None:
        self._hub = hub
        self._reader = reader
        self._cut = cut
        self._is_here = is_here
        self._silence = Silence()
        self._loop = asyncio.get_running_loop()
        # What came of texts whose beginnings are being read, or just were.
        self._ahead: dict[tuple[int, int], Partial] = {}
        self._reads: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(LOOK_SECONDS, self._begin)

    # --- hearing ---

    def heard(self, room_id: int, partial: Partial) -> None:
        """Take what another process tells of a text."""
        if self._hub.grow(room_id, partial):
            return
        key = room_id, partial.seq
        is_read = key in self._ahead
        self._ahead[key] = partial
        if not is_read:
            task = self._loop.create_task(self._read(key))
            self._reads.add(task)
            task.add_done_callback(self._reads.discard)

    async def _read(self, key: tuple[int, int]) -> None:
        """Read the beginning of a text, and add what came of it meanwhile."""
        room_id, seq = key
        try:
            found = await self._reader.run(growing_at, room_id, seq)
            if found is not None:
                ahead = self._ahead[key]
                whole = Partial(room=ahead.room, seq=seq, at=0, text=found.text)
                self._hub.grow(room_id, whole)
                self._hub.grow(room_id, ahead)
        except LogUnavailable:
            pass  # what comes of it later is another chance
        except Exception:  # as above
            logger.exception("growing_read_failed room=%d seq=%d", room_id, seq)
        finally:
            self._loop.call_later(READ_SECONDS, self._ahead.pop, key, None)

    # --- ending ---

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._look())

    async def _look(self) -> None:
        try:
            await self.end_silent(self._loop.time())
        except LogUnavailable:
            self._silence.forget()  # authors could not write either
        except Exception:  # whatever it is, the next look is another chance
            logger.exception("growing_look_failed")
        self._timer = self._loop.call_later(LOOK_SECONDS, self._begin)

    async def end_silent(self, now: float) -> None:
        """End the messages of which nothing was heard for long, with what is saved."""
        marks = await self._reader.run(old_marks, OLD_SECONDS, MOST_MARKS)
        self._silence.look(marks, now)
        due = self._silence.take_due(now, MOST_AT_ONCE)
        if not due:
            return
        for room, growing, mark in await self._reader.run(left_at, due):
            # Its mark is old where the journal could not write for long.
            if not self._is_here(room, growing.seq):
                await self._cut(room, growing, mark.alive_at)

    async def close(self) -> None:
        """Stop."""
        self._timer.cancel()
        tasks = [*self._reads, *([] if self._task is None else [self._task])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
