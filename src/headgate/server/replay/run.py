"""One replay from beginning to end.

Try the server, open all connections, offer each message at its time, wait until
everything is answered and seen, read the log back, judge. Whatever happens, the run
ends: with what it waits for, or when nothing has happened for the time agreed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
from time import monotonic
from typing import TYPE_CHECKING

from headgate.server.replay.display import Display
from headgate.server.replay.report import Report
from headgate.server.replay.stages import HeadgateStage, Stage, StrangerStage
from headgate.server.replay.tally import Tally
from headgate.server.replay.wire import OpeningFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headgate.server.replay.link import Link
    from headgate.server.replay.plan import Plan

__all__ = ["Unreachable", "play"]

_OPENING_AT_ONCE = 64
_LOOK_SECONDS = 0.02
_GOODBYE_SECONDS = 1.0
_ROWS_WITHOUT_PAUSE = 50
_SPARE_FILES = 64


class Unreachable(Exception):  # noqa: N818 - it is an answer to the user
    """The run could not begin, for this reason."""


async def play(plan: Plan) -> Report:
    """Carry out a plan; raises `Unreachable` if it could not begin."""
    tally = Tally(plan.traffic)
    run = secrets.token_hex(4)
    stage: Stage
    if plan.dialect is None:
        stage = HeadgateStage(plan, tally, run)
    else:
        stage = StrangerStage(plan, tally, run, plan.dialect)
    _allow_files(plan.watchers + plan.senders + _SPARE_FILES)
    try:
        await stage.prepare()
    except (OSError, OpeningFailed) as exc:
        where = plan.target.where
        raise Unreachable(f"No chat could be reached at {where}: {exc}") from exc
    with Display(len(plan.traffic)) as display:
        return await _Run(plan, tally, stage, display).play()


class _Run:
    """A run that has found its server."""

    def __init__(
        self, plan: Plan, tally: Tally, stage: Stage, display: Display
    ) -> None:
        self._plan = plan
        self._tally = tally
        self._stage = stage
        self._display = display
        self._offered = 0

    async def play(self) -> Report:
        """Keep the connections while everything happens."""
        links = self._stage.links
        gate = asyncio.Semaphore(_OPENING_AT_ONCE)
        keepers = [asyncio.ensure_future(link.keep(gate)) for link in links]
        try:
            await self._open(links)
            gc.freeze()  # nothing made so far is garbage; do not look through it again
            wall_seconds = await self._measure()
        finally:
            gc.unfreeze()
            await _say_goodbye(links, keepers)
        self._stage.refresh()
        return Report.of(self._tally, self._stage.verdict(), wall_seconds)

    async def _open(self, links: Sequence[Link]) -> None:
        """Wait until every connection is ready."""
        ready, since = -1, monotonic()
        while True:
            now_ready = sum(link.is_ready for link in links)
            if now_ready == len(links):
                return
            failed = next((link for link in links if link.barred), None)
            if now_ready != ready:
                ready, since = now_ready, monotonic()
            elif failed is None and monotonic() - since > self._plan.timeout_seconds:
                failed = next(link for link in links if not link.is_ready)
            if failed is not None:
                raise Unreachable(
                    f"Only {now_ready} of {len(links)} connections could be opened: "
                    f"{failed.failure}"
                )
            self._display.show("connecting", self._tally)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _measure(self) -> float:
        """Send, wait for the end, read back; return how long the sending took."""
        tally, stage, total = self._tally, self._stage, len(self._plan.traffic)
        started = monotonic()
        async with asyncio.TaskGroup() as group:
            pacer = group.create_task(self._offer_all())
            everything = await self._until(
                "playing",
                lambda: pacer.done() and tally.answered >= total,
                idle=lambda: tally.answered >= self._offered,
            )
            pacer.cancel()
        arrived = await self._until("arriving", stage.watchers_are_done)
        wall_seconds = monotonic() - started
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_forgiving(stage))
            await self._until("reading the log back", reading.done)
            reading.cancel()
        if everything and arrived:
            # The log may know of more than any watcher has seen.
            await self._until("arriving", stage.watchers_are_done)
        return wall_seconds

    async def _offer_all(self) -> None:
        """Offer each message to its author's connection when it is due."""
        plan, tally, senders = self._plan, self._tally, self._stage.senders
        authors = plan.traffic.authors
        started = monotonic()
        without_pause = 0
        for row, due_ms in enumerate(plan.traffic.due_ms):
            due = started + due_ms / 1000 / plan.speed
            wait = due - monotonic()
            if wait > 0 or without_pause >= _ROWS_WITHOUT_PAUSE:
                await asyncio.sleep(max(0, wait))
                without_pause = 0
            without_pause += 1
            tally.behind_seconds = max(tally.behind_seconds, monotonic() - due)
            senders[authors[row] % len(senders)].offer(row)
            self._offered = row + 1

    async def _until(
        self,
        phase: str,
        finished: Callable[[], bool],
        *,
        idle: Callable[[], bool] | None = None,
    ) -> bool:
        """Wait; return False if nothing happened for too long.

        While `idle` nothing is owed, so that nothing needs to happen.
        """
        tally, timeout = self._tally, self._plan.timeout_seconds
        last, since = -1, monotonic()
        while not finished():
            self._stage.refresh()
            if tally.progress != last or (idle is not None and idle()):
                last, since = tally.progress, monotonic()
            elif monotonic() - max(since, tally.quiet_until) > timeout:
                tally.problem(f"Gave up {phase}: nothing came for {timeout:g} s.")
                return False
            self._display.show(phase, tally)
            await asyncio.sleep(_LOOK_SECONDS)
        return True


async def _forgiving(stage: Stage) -> None:
    """Read the log back; that it cannot be read is for the verdict to say."""
    try:
        await stage.read_back()
    except (OSError, OpeningFailed):
        return


async def _say_goodbye(
    links: Sequence[Link], keepers: Sequence[asyncio.Future[None]]
) -> None:
    """Close every connection, politely where that is possible."""
    for link in links:
        link.stop()
    if keepers:
        await asyncio.wait(keepers, timeout=_GOODBYE_SECONDS)
    for link, keeper in zip(links, keepers, strict=True):
        keeper.cancel()
        link.give_up("The run is over.")
    results = await asyncio.gather(*keepers, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _allow_files(needed: int) -> None:
    """Raise the limit of open files as far as the system lets us."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(ValueError, OSError):  # then opening tells
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
