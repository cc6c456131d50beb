"""Telling systems that many connections of this process cannot keep up.

Nobody looks where no destination wants to be told, as a look goes over all connections.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

from headgate.chat.engine import Engine, started_engine
from headgate.chat.measured import look
from headgate.live.ports import LogUnavailable

__all__ = ["ConnectionsWatch", "Degradation", "Sample"]

logger = logging.getLogger("headgate.outbound")

LOOK_SECONDS = 2.0
WINDOW_SECONDS = 10.0
WANTED_SECONDS = 30.0  # between questions whether any destination wants to be told
AGAIN_SECONDS = 300.0  # between two notices that it is bad
PART = 0.05  # of the connections
LEAST = 20  # connections: fewer are single people

Change = Literal["degraded", "recovered"]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one look has seen.

    Attributes:
        at: When, in seconds of a clock that only goes on.
        connections: That are open.
        behind: Of these, that lack some of a room's events.
        stalled: Cut off as stalled since the process began.
    """

    at: float
    connections: int
    behind: int
    stalled: int


class Degradation:
    """Says when it becomes bad, and when it is over.

    It is bad where, over the whole of the last 10 s, more than one in twenty
    connections and at least 20 were behind, or were cut off as stalled. It is over
    where it was less for as long.
    """

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self._told_at: float | None = None
        self._is_bad = False

    def add(self, sample: Sample) -> Change | None:
        """Take a look into account; return what is to be told, if anything."""
        samples = self._samples
        samples.append(sample)
        # One from before the window is kept: by it the window is a whole one.
        while len(samples) > 1 and samples[1].at <= sample.at - WINDOW_SECONDS:
            samples.popleft()
        if sample.at - samples[0].at < WINDOW_SECONDS:
            return None
        behind = [each.behind for each in samples]
        if self._is_bad:
            if self._is_much(sample, max(behind)):
                return None
            self._is_bad = False
            return "recovered"
        again = self._told_at is None or sample.at - self._told_at >= AGAIN_SECONDS
        if not again or not self._is_much(sample, min(behind)):
            return None
        self._is_bad, self._told_at = True, sample.at
        return "degraded"

    def cut_off(self) -> int:
        """Return how many were cut off within the window."""
        return self._samples[-1].stalled - self._samples[0].stalled

    def _is_much(self, sample: Sample, behind: int) -> bool:
        cut_off = self.cut_off()
        affected = behind + cut_off
        return affected >= LEAST and affected > PART * (sample.connections + cut_off)


class ConnectionsWatch:
    """Looks at the connections of this process, and owes the notices.

    Args:
        number: The worker's, which the notices name; 1 where one process serves.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._degradation = Degradation()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; called on the event loop, which ends it with itself."""
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        wanted, ask_at = False, 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            running = started_engine()
            if running is None:
                continue  # nobody has come yet
            try:
                if time.monotonic() >= ask_at:
                    wanted = await running.reader.run(_is_wanted)
                    ask_at = time.monotonic() + WANTED_SECONDS
                if wanted:
                    await self._look(running)
            except LogUnavailable:
                continue  # the database is away; it is looked at again
            except Exception:  # whatever it is, the next look is another chance
                logger.exception("connections_watch_failed")

    async def _look(self, running: Engine) -> None:
        seen = await look(running)
        sample = Sample(
            time.monotonic(),
            sum(seen.connections.values()),
            seen.connections_behind,
            running.node.meters.stalled,
        )
        change = self._degradation.add(sample)
        if change is None:
            return
        payload = {
            "process": self._number,
            "connections": sample.connections,
            "behind": sample.behind,
            "cut_off": self._degradation.cut_off(),
        }
        logger.warning(
            "connections_%s connections=%d behind=%d cut_off=%d",
            change,
            payload["connections"],
            payload["behind"],
            payload["cut_off"],
        )
        await running.reader.run(_owe, f"connections.{change}", payload, self._number)


def _is_wanted() -> bool:
    from headgate.outbound.models import Destination

    # Those of rooms are told of their rooms alone.
    rows = Destination.objects.filter(enabled=True, room=None)
    listed = rows.values_list("events", flat=True)
    return any("connections.degraded" in events for events in listed)


def _owe(event: str, payload: dict[str, Any], number: int) -> None:
    from headgate.outbound.notices import owe_notice

    owe_notice(event, payload, key=f"connections-{number}")
