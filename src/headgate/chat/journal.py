"""The journal: one thread a process that writes what waits, in batches.

Entries gather on the event loop and are handed over together; the thread commits
all that waits in one transaction and hands the verdicts back together. So one fsync
serves many messages and no message costs a thread hop of its own.

Never a false acknowledgement: a verdict other than `Refused` leaves here only after
its commit returned. A commit that failed refuses its whole batch with `unavailable`;
one whose connection broke while committing may have been written, which is why the
refusal asks to try again with the same client_id.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.db import DatabaseError, DataError, IntegrityError, connections, transaction
from msgspec import Struct

from headgate.chat.append import append
from headgate.chat.entries import (
    Change,
    Draft,
    Ended,
    Entry,
    Grown,
    Refused,
    Verdict,
    Written,
)
from headgate.chat.erasure import truncate_log
from headgate.chat.histogram import Histogram
from headgate.protocol.codec import encode, error
from headgate.protocol.codes import Code
from headgate.protocol.pushes import LogEvent

__all__ = ["Journal", "JournalMeters", "Overloaded"]

logger = logging.getLogger("headgate.journal")

MAX_BATCH = 512  # entries in one transaction: a few ms of work
HELD_POLL_SECONDS = 0.02  # between tries at a room that another transaction holds
HELD_LIMIT_SECONDS = 5.0  # then its entries are refused, to be sent again
RETRY_MS = 1000  # what `unavailable` asks to wait
PURGE_SECONDS = 1.0  # between tries to take deleted text out of SQLite's log file
# After a batch of several, the thread rests as long as that took, at most this
# long. Others of the same load come meanwhile, so batches are larger and cost less;
# and SQLite, which has no queue of writers, lets another process in: whoever asks
# while the journal writes back to back must find a gap by chance.
REST_SECONDS = 0.005
# Buckets of what is counted of batches.
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
WAIT_BOUNDS_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)

Answer = Callable[[Verdict], None]

_WITH_TEXT = (Draft, Change, Grown, Ended)
_WITH_DETAILS = (Draft, Change)
_ANY_TEXT = "utf-8", "surrogatepass"  # what no log takes is refused later


class Overloaded(Exception):  # noqa: N818 - it is an answer, not a fault of ours
    """As much waits for the database as may; come back in `retry_after_ms`."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__(f"The journal is full; try again in {retry_after_ms} ms.")
        self.retry_after_ms = retry_after_ms


@dataclass(slots=True)
class JournalMeters:
    """What one journal has counted since its start, once for each batch.

    Attributes:
        batches: Entries that got their verdicts together.
        waits: How long the first of each batch waited for that, in seconds.
        failed_commits: Transactions that the database did not take.
        overloaded: Entries that were not taken.
    """

    batches: Histogram = field(default_factory=lambda: Histogram(BATCH_BOUNDS))
    waits: Histogram = field(default_factory=lambda: Histogram(WAIT_BOUNDS_SECONDS))
    failed_commits: int = 0
    overloaded: int = 0


class _Waiting(Struct):
    """An entry, whom to answer, what it takes of the bounds, and since when it waits.

    All that gathered in one iteration of the loop wait since it began.
    """

    entry: Entry
    answer: Answer
    size_bytes: int
    since: float
    held_since: float | None = None


class Journal:
    """Writes entries for the connections of one event loop.

    Args:
        on_written: Called on the loop with what was written, in commit order, after
            every answer of the same batch has been given.
        max_waiting: How many entries may wait; past it `submit` raises `Overloaded`.
        max_waiting_bytes: The same in bytes: of text and `data`, with 500 for each.
        using: The alias of the database.

    Attributes:
        meters: What was counted.
    """

    def __init__(
        self,
        on_written: Callable[[list[tuple[int, LogEvent]]], None],
        *,
        max_waiting: int,
        max_waiting_bytes: int,
        using: str = "default",
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_written = on_written
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._using = using
        self.meters = JournalMeters()
        # On the loop: what gathers in this iteration, and what has no verdict yet.
        self._gathering: list[_Waiting] = []
        self._gathering_since = 0.0
        self._waiting = 0
        self._waiting_bytes = 0
        self._pace = 0.001  # seconds an entry has taken lately, for retry_after_ms
        self._closed = False
        # Between the loop and the thread: batches in, None to end.
        self._handed: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run,
            name="headgate-journal",
            daemon=True,
        )
        self._thread.start()

    # --- on the event loop ---

    def submit(self, entry: Entry, answer: Answer) -> None:
        """Take an entry; `answer` is called on the loop with its verdict.

        Entries of one room are written in the order in which they are submitted.

        Raises:
            Overloaded: When as much waits as may; nothing was taken.
        """
        size = _size(entry)
        if (
            self._closed
            or self._waiting >= self._max_waiting
            or self._waiting_bytes + size > self._max_waiting_bytes
        ):
            self.meters.overloaded += 1
            wait_ms = int(self._waiting * self._pace * 1000)
            raise Overloaded(min(max(wait_ms, 100), 5000))
        self._waiting += 1
        self._waiting_bytes += size
        if not self._gathering:
            self._gathering_since = time.monotonic()
            self._loop.call_soon(self._hand_over)
        self._gathering.append(_Waiting(entry, answer, size, self._gathering_since))

    @property
    def waiting(self) -> int:
        """How many entries have no verdict yet."""
        return self._waiting

    @property
    def waiting_bytes(self) -> int:
        """What these weigh."""
        return self._waiting_bytes

    async def write(self, entry: Entry) -> Verdict:
        """Submit an entry and wait for its verdict; raises `Overloaded`."""
        done: asyncio.Future[Verdict] = self._loop.create_future()

        def answer(verdict: Verdict) -> None:
            if not done.done():
                done.set_result(verdict)

        self.submit(entry, answer)
        return await done

    async def close(self) -> None:
        """Write all that was submitted, answer it, and end the thread."""
        self._closed = True
        self._hand_over()
        self._handed.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # the last verdicts are already on the loop

    def abandon(self) -> None:
        """End the thread of a journal whose loop is closed; for any thread."""
        self._handed.put(None)

    def _hand_over(self) -> None:
        gathered, self._gathering = self._gathering, []
        if gathered:
            self._handed.put(gathered)

    def _settle(
        self,
        settled: list[tuple[_Waiting, Verdict]],
        took_seconds: float,
    ) -> None:
        """Answer, then tell: one's own reply precedes one's own broadcast."""
        self._pace += (took_seconds / len(settled) - self._pace) * 0.1
        self.meters.batches.add(len(settled))
        # Those that were held come first, then the others as they came.
        self.meters.waits.add(time.monotonic() - settled[0][0].since)
        self._waiting -= len(settled)
        self._waiting_bytes -= sum(waiting.size_bytes for waiting, _ in settled)
        written: list[tuple[int, LogEvent]] = []
        for waiting, verdict in settled:
            if isinstance(verdict, Written):
                written.append((waiting.entry.room_id, verdict.push))
            try:
                waiting.answer(verdict)
            except Exception:  # one connection's fault is not its neighbours'
                logger.exception("answer_failed")
        if written:
            self._on_written(written)

    # --- on the thread ---

    def _run(self) -> None:
        held: list[_Waiting] = []
        purge_at: float | None = None
        try:
            while True:
                batch, ended = self._gather(held, purge_at)
                held = self._write(batch) if batch else []
                if any(_takes_text_out(waiting.entry) for waiting in batch):
                    purge_at = purge_at or time.monotonic() + PURGE_SECONDS
                if purge_at is not None and (ended or time.monotonic() >= purge_at):
                    done = truncate_log(connections[self._using])
                    purge_at = None if done else time.monotonic() + PURGE_SECONDS
                if ended and not held and self._handed.empty():
                    return
                if ended:
                    time.sleep(HELD_POLL_SECONDS)
                    self._handed.put(None)
        finally:
            connections[self._using].close()

    def _gather(
        self,
        held: list[_Waiting],
        purge_at: float | None,
    ) -> tuple[list[_Waiting], bool]:
        """Return what is to be written next, what was held first, and whether to end.

        Waits for something to come, but not past a held room's next try nor past
        the time to purge.
        """
        batch = held
        timeout = HELD_POLL_SECONDS if held else None
        if purge_at is not None:
            until_purge = max(0.0, purge_at - time.monotonic())
            timeout = until_purge if timeout is None else min(timeout, until_purge)
        try:
            handed = self._handed.get(timeout=timeout)
            while handed is not None:
                batch = batch + handed
                if len(batch) >= MAX_BATCH:
                    break
                handed = self._handed.get_nowait()
            else:
                return batch, True
        except queue.Empty:
            pass
        return batch, False

    def _write(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Commit a batch, hand the verdicts back, and return what is held."""
        started = time.monotonic()
        verdicts = self._commit([waiting.entry for waiting in batch])
        held: list[_Waiting] = []
        settled: list[tuple[_Waiting, Verdict]] = []
        for waiting, verdict in zip(batch, verdicts, strict=True):
            if verdict is not None:
                settled.append((waiting, verdict))
                continue
            if waiting.held_since is None:
                waiting.held_since = started
            if started - waiting.held_since < HELD_LIMIT_SECONDS:
                held.append(waiting)
            else:
                settled.append((waiting, self._unavailable()))
        took = time.monotonic() - started
        if settled:
            self._loop.call_soon_threadsafe(self._settle, settled, took)
        if len(batch) > 1:
            time.sleep(min(took, REST_SECONDS))
        return held

    def _commit(
        self,
        entries: Sequence[Entry],
        *,
        look: bool = False,
    ) -> Sequence[Verdict | None]:
        """Write entries in one transaction; on a bad one, find it by halving.

        A retry is not bad: where one of the batch may be, all begins again with a
        look at what is known. So batches without one need neither look nor savepoint.
        """
        connection = connections[self._using]
        try:
            with transaction.atomic(using=self._using):
                return append(connection, entries, wait=False, look=look)
        except IntegrityError as exc:
            if not look:
                return self._commit(entries, look=True)
            bad: Exception = exc
        except DataError as exc:
            bad = exc
        except DatabaseError as exc:
            # The database is away, its disk is full, or somebody holds it.
            self.meters.failed_commits += 1
            logger.warning("commit_failed entries=%d error=%s", len(entries), exc)
            connection.close()
            return [self._unavailable() for _ in entries]
        except Exception as exc:  # noqa: BLE001 - logged below, for the one at fault
            bad = exc
        if len(entries) > 1:
            half = len(entries) // 2
            first, second = entries[:half], entries[half:]
            verdicts = [*self._commit(first, look=look)]
            # What is held may be free by now; nothing of its room passes it.
            held = {
                entry.room_id
                for entry, verdict in zip(first, verdicts, strict=True)
                if verdict is None
            }
            free = [entry for entry in second if entry.room_id not in held]
            others = iter(self._commit(free, look=look) if free else ())
            return [
                *verdicts,
                *(None if e.room_id in held else next(others) for e in second),
            ]
        logger.error("entry_failed", exc_info=bad)
        return [Refused(error(Code.INTERNAL, retry_after_ms=RETRY_MS))]

    def _unavailable(self) -> Refused:
        return Refused(error(Code.UNAVAILABLE, retry_after_ms=RETRY_MS))


def _takes_text_out(entry: Entry) -> bool:
    """Return whether a text that was saved is to be gone."""
    if isinstance(entry, Draft):  # as most are
        return False
    if isinstance(entry, Ended):
        return entry.replaces and not entry.text
    return isinstance(entry, Change) and entry.text is None


def _size(entry: Entry) -> int:
    """Return what an entry counts for, in bytes: its text and `data`, and 500."""
    size_bytes = 500
    text = entry.text if isinstance(entry, _WITH_TEXT) else None
    if text:  # most are ASCII, of which Python knows it: no copy is made of these
        size_bytes += len(text if text.isascii() else text.encode(*_ANY_TEXT))
    details = entry.details if isinstance(entry, _WITH_DETAILS) else None
    if details and "data" in details:
        size_bytes += len(encode(details["data"]))
    return size_bytes
