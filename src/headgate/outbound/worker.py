"""The worker: leases calls, has them made, and notes what came of them.

One loop of turns. A turn hands to the ledger what has ended and gets what goes next, in
one transaction; while that runs, calls are made and their results gather, so that under
load many are noted together and in quiet each at once. Whose turn it is, and how many
calls of each may be on their way, say the places.

Several workers, of several processes, share the work; what may be called is decided in
the destinations' rows.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connections

from headgate.chat.histogram import Histogram
from headgate.outbound import wakes
from headgate.outbound.calls import Outcome, Sender
from headgate.outbound.ledger import Finished, Turn, due_destinations, turn
from headgate.outbound.ledger_thread import LedgerThread
from headgate.outbound.places import OnTheirWay, Place, Places
from headgate.outbound.purge import purge
from headgate.outbound.telling import Leased

__all__ = ["Worker", "WorkerMeters"]

logger = logging.getLogger("headgate.outbound")

MAX_ENDED = 256  # results noted in one turn
LOOK_SECONDS = 0.25  # between looks while there is something to do
IDLE_SECONDS = 0.5  # at most, where nothing was found
MAX_SHUT_SECONDS = 1.0  # for which a gate that was shut is not asked again
# After a turn that took long, others get at the database: SQLite has no queue.
REST_SECONDS = 0.005
FIRST_BACKOFF_SECONDS = 0.25  # while the database is away; then twice as long
LONGEST_BACKOFF_SECONDS = 5.0
STOP_SECONDS = 10.0  # for calls that are on their way
# Past its time limit, after which a sender that does not end is ended.
SENDER_GRACE_SECONDS = 5.0
PURGE_SECONDS = 60.0
PURGE_PIECES_SECONDS = 0.1  # between pieces, where there is more
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(slots=True)
class WorkerMeters:
    """What one worker has counted since its start.

    Attributes:
        calls: By result, as in `headgate.outbound.calls`.
        in_flight: Calls that are on their way now.
        leases: Calls that were leased together.
        finishes: Calls that were noted together.
        failed_turns: Turns that the database did not take.
    """

    calls: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    leases: Histogram = field(default_factory=lambda: Histogram(BATCH_BOUNDS))
    finishes: Histogram = field(default_factory=lambda: Histogram(BATCH_BOUNDS))
    failed_turns: int = 0


class Worker:
    """Makes the calls that are owed, in the event loop that runs it.

    Args:
        senders: Who makes calls of each kind of destination; others are left alone.
            They are the caller's, to be closed when `run` has returned.
        using: The alias of the database.
        stop_seconds: How long calls that are on their way may take after `stop`.
        rest_seconds: Between two turns, so that more comes together in one.

    Attributes:
        meters: What was counted.
    """

    def __init__(
        self,
        senders: Mapping[str, Sender],
        *,
        using: str = "default",
        stop_seconds: float = STOP_SECONDS,
        rest_seconds: float = 0.0,
    ) -> None:
        self._senders = dict(senders)
        self._using = using
        self._stop_seconds = stop_seconds
        self._rest_seconds = rest_seconds
        self.meters = WorkerMeters()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._stopping = False
        self._cancelled = False
        self._ended: list[Finished] = []
        self._calls: dict[asyncio.Task[Outcome], tuple[Leased, Place]] = {}
        self._places = Places()
        self._shut_until: dict[int, float] = {}
        self._ready_at = math.inf  # when a batch has waited for long enough
        self._keys_after: dict[int, str] = {}
        self._one_by_one = False  # since something that ended could not be noted
        self._purge_at = 0.0

    # --- from any thread ---

    def wake(self) -> None:
        """Look at once: something is owed."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._woken.set)

    def stop(self) -> None:
        """Have `run` return, when what is on its way has ended or time is up."""
        self._stopping = True
        self.wake()

    # --- in the loop ---

    async def run(self) -> None:
        """Work until it is stopped or cancelled; then give back what is not done."""
        self._loop = asyncio.get_running_loop()
        thread = LedgerThread(self._using)
        wakes.listen(self.wake)
        try:
            await self._work(thread)
        except asyncio.CancelledError:
            self._cancelled = True
            raise
        finally:
            wakes.stop_listening(self.wake)
            # A cancellation comes once; what is given back here is not left leased.
            await asyncio.shield(self._wind_up(thread))

    async def _work(self, thread: LedgerThread) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        rest = REST_SECONDS if connections[self._using].vendor == "sqlite" else 0.0
        while not self._stopping:
            self._woken.clear()
            began = time.monotonic()
            if not await self._turn(thread):
                await self._pause(backoff)
                backoff = min(2 * backoff, LONGEST_BACKOFF_SECONDS)
                continue
            backoff = FIRST_BACKOFF_SECONDS
            await self._purge(thread)
            took = time.monotonic() - began
            await asyncio.sleep(max(min(took, rest), self._rest_seconds))
            if not self._ended:
                await self._woken_within(self._wait_seconds())

    async def _pause(self, seconds: float) -> None:
        """Wait, whatever is owed meanwhile, but not past the wish to stop."""
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._woken.clear()
            await self._woken_within(left)

    def _wait_seconds(self) -> float:
        """Return how long to wait, where nobody wakes us."""
        opens = min([self._ready_at, *self._shut_until.values()]) - time.time()
        limit = LOOK_SECONDS if self._calls or self._shut_until else IDLE_SECONDS
        return max(0.0, min(limit, opens))

    async def _woken_within(self, seconds: float) -> None:
        handle = asyncio.get_running_loop().call_later(seconds, self._woken.set)
        try:
            await self._woken.wait()
        finally:
            handle.cancel()

    # --- turns ---

    async def _turn(self, thread: LedgerThread) -> bool:
        """Note what has ended and begin what goes next; return whether it worked."""
        most = 1 if self._one_by_one else MAX_ENDED
        ended, self._ended = self._ended[:most], self._ended[most:]
        now = time.time()
        soon = now + MAX_SHUT_SECONDS  # past it only another clock could say
        self._shut_until = {
            i: t for i, t in self._shut_until.items() if now < t <= soon
        }
        # As they are now: while the thread is at work, calls end.
        work = partial(self._at_the_ledger, ended, self._places.on_their_way())
        piece = asyncio.ensure_future(thread.run(work))
        try:
            found = await asyncio.shield(piece)
        except asyncio.CancelledError:
            # It is being written; what it leases is to be given back.
            self._stopping = True
            self._took(ended, await piece)
            raise
        except (OperationalError, InterfaceError) as exc:
            self.meters.failed_turns += 1
            logger.warning("turn_failed ended=%d error=%s", len(ended), exc)
            self._ended = [*ended, *self._ended]
            return False
        except Exception:
            self.meters.failed_turns += 1
            logger.exception("turn_failed ended=%d", len(ended))
            # One of them may be at fault. It is found, and its lease left to run out.
            if not self._one_by_one:
                self._ended = [*ended, *self._ended]
            self._one_by_one = bool(self._ended)
            return False
        self._took(ended, found)
        if found.untold:
            self.meters.failed_turns += 1
        return not found.untold

    def _at_the_ledger(
        self, ended: list[Finished], on_their_way: OnTheirWay, connection: Any
    ) -> Turn:
        """Run a turn, on the thread; what it reads of this object waits for it."""
        limits: dict[int, int] = {}
        if not self._one_by_one:  # then nothing else may be at fault
            due = due_destinations(connection, time.time())
            open_ = {i: most for i, most in due.items() if i not in self._shut_until}
            limits = self._places.limits(open_, on_their_way)
        if not limits and not ended:
            return Turn()
        kinds = self._senders.keys()
        return turn(connection, ended, limits, self._keys_after, kinds=kinds)

    def _took(self, ended: list[Finished], found: Turn) -> None:
        """Begin what was leased; where it is time to stop, it is given back."""
        if ended:
            self.meters.finishes.add(len(ended))
            self._one_by_one = self._one_by_one and bool(self._ended)
        if found.leased:
            self.meters.leases.add(len(found.leased))
        self._ready_at = found.ready_at
        soon = time.time() + MAX_SHUT_SECONDS
        for i, until in found.look_at.items():
            if until < math.inf:
                self._shut_until[i] = min(until, soon)
        self._ended += [Finished(leased, None) for leased in found.untold]
        for leased in found.leased:
            if self._stopping:
                self._ended.append(Finished(leased, None))
            else:
                self._begin(leased)

    # --- calls ---

    def _begin(self, leased: Leased) -> None:
        task = asyncio.get_running_loop().create_task(self._make(leased))
        self._calls[task] = leased, self._places.take(leased.call.target.id)
        self.meters.in_flight = len(self._calls)
        task.add_done_callback(self._call_ended)

    async def _make(self, leased: Leased) -> Outcome:
        call, began = leased.call, time.monotonic()
        if leased.fault:
            return Outcome(result="failed", error=leased.fault)
        if not call.told:
            return Outcome(result="refused", error="Its event is not there any more.")
        limit = call.target.timeout_seconds + SENDER_GRACE_SECONDS
        try:
            async with asyncio.timeout(limit):
                return await self._senders[call.target.kind].send(call)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            error = "It was cancelled."
        except TimeoutError:
            error = f"It did not end in {limit:.0f} s."
        except (Exception, SystemExit):  # a sender's fault is nobody else's
            logger.exception("sender_failed destination=%s", call.target.name)
            error = "It failed here; the log of the worker says how."
        took = time.monotonic() - began
        return Outcome(result="failed", service_seconds=took, error=error)

    def _call_ended(self, task: asyncio.Task[Outcome]) -> None:
        leased, place = self._calls.pop(task)
        self.meters.in_flight = len(self._calls)
        outcome = None if task.cancelled() else task.result()
        self._places.leave(place, answered=_is_answered(outcome))
        if outcome is not None:
            self.meters.calls[outcome.result] += 1
        self._ended.append(Finished(leased, outcome))
        self._woken.set()

    # --- the end, and what is old ---

    async def _wind_up(self, thread: LedgerThread) -> None:
        """Wait for what is on its way, give back the rest, and note all of it."""
        calls = set(self._calls)
        if calls and not self._cancelled:
            await asyncio.wait(calls, timeout=self._stop_seconds)
        for task in tuple(self._calls):
            task.cancel()
        if self._calls:
            await asyncio.wait(set(self._calls), timeout=STOP_SECONDS)
        await asyncio.sleep(0)  # the last of them are told on the loop
        try:
            while self._ended:
                ended, self._ended = self._ended[:MAX_ENDED], self._ended[MAX_ENDED:]
                await thread.run(partial(_note, ended))
        except Exception as exc:  # noqa: BLE001 - what is not noted is made again
            logger.warning("not_noted calls=%d error=%s", len(ended), exc)
        await thread.close()

    async def _purge(self, thread: LedgerThread) -> None:
        """Delete a piece of what is old, from time to time."""
        if time.monotonic() < self._purge_at:
            return
        try:
            more = await thread.run(purge)
        except (DatabaseError, InterfaceError) as exc:
            logger.warning("purge_failed error=%s", exc)
            more = False
        wait = PURGE_PIECES_SECONDS if more else PURGE_SECONDS
        self._purge_at = time.monotonic() + wait


def _is_answered(outcome: Outcome | None) -> bool:
    if outcome is None:
        return False
    return outcome.result == "delivered" or outcome.status is not None


def _note(ended: list[Finished], connection: Any) -> None:
    turn(connection, ended, {})
