"""The chat of a test: all that it asks of the database goes where the test's does.

A server's engine has threads with connections of their own. They would not see what
a `TestCase` has written, since that is never committed, and on SQLite they would wait
for its lock. So here everything runs on the thread that Django keeps for its
connections, one thing after the other; that orders it, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from typing import ParamSpec, TypeVar, cast

from django.db import InterfaceError, OperationalError

from headgate.chat.django_thread import in_django_thread
from headgate.chat.engine import Engine
from headgate.chat.entries import Entry, Refused, Verdict, Written
from headgate.chat.heads import HeadWatch
from headgate.chat.journal import Answer, Journal, Overloaded
from headgate.chat.models import Room
from headgate.chat.notices import Notice, Notices
from headgate.chat.project_threads import ProjectThreads
from headgate.chat.reader import Reader
from headgate.chat.storage import write_here
from headgate.live.hub import Hub
from headgate.live.ports import LogUnavailable
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.pushes import LogEvent

__all__ = ["InlineEngine"]

logger = logging.getLogger("headgate.testing")

P = ParamSpec("P")
R = TypeVar("R")

RETRY_MS = 1000  # what a refusal by fault asks to wait
SETTLE_SECONDS = 5.0  # for events that are in the log to go out


class _Thread:
    """Django's thread, as whoever began the engine reaches it.

    What a hint from that thread begins would inherit its context, in which asgiref
    takes every further call for a deadlock.
    """

    def __init__(self) -> None:
        self._context = copy_context()

    async def run(
        self,
        function: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Return what a function returns there."""
        running = in_django_thread(function, *args, **kwargs)
        loop = asyncio.get_running_loop()
        return await loop.create_task(running, context=self._context.copy())


class InlineReader(Reader):
    """Reads on Django's thread."""

    def __init__(self) -> None:
        self._django = _Thread()

    async def run(
        self,
        function: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Return what a function returns; raises `LogUnavailable`."""
        try:
            return await self._django.run(function, *args, **kwargs)
        except (OperationalError, InterfaceError) as exc:
            raise LogUnavailable(str(exc)) from exc

    run_once = run

    async def close(self) -> None:
        """There is nothing to end."""


class InlineJournal(Journal):
    """Writes one entry after the other, on Django's thread."""

    def __init__(
        self,
        on_written: Callable[[list[tuple[int, LogEvent]]], None],
        *,
        max_waiting: int,
        max_waiting_bytes: int,
        using: str = "default",
    ) -> None:
        del max_waiting_bytes, using
        self._django = _Thread()
        self._tell = on_written
        self._most = max_waiting
        self._asked: deque[tuple[Entry, Answer]] = deque()
        self._writing: asyncio.Task[None] | None = None

    def submit(self, entry: Entry, answer: Answer) -> None:
        """Take an entry; raises `Overloaded` when as much waits as may."""
        if len(self._asked) >= self._most:
            raise Overloaded(RETRY_MS)
        self._asked.append((entry, answer))
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def write(self, entry: Entry) -> Verdict:
        """Submit an entry and wait for its verdict; raises `Overloaded`."""
        done: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        def answer(verdict: Verdict) -> None:
            if not done.done():
                done.set_result(verdict)

        self.submit(entry, answer)
        return await done

    async def close(self) -> None:
        """Write all that was submitted, and answer it."""
        if self._writing is not None:
            await self._writing

    def abandon(self) -> None:
        """There is no thread to end."""

    async def _write_all(self) -> None:
        try:
            while self._asked:
                entry, answer = self._asked.popleft()
                verdict = await self._verdict(entry)
                answer(verdict)
                if isinstance(verdict, Written):
                    self._tell([(entry.room_id, verdict.push)])
        finally:
            self._writing = None

    async def _verdict(self, entry: Entry) -> Verdict:
        try:
            return await self._django.run(write_here, entry, handlers=False)
        except Exception:  # as the journal: it is answered, and seen in the log
            logger.exception("entry_failed")
            return Refused(error(Code.INTERNAL, retry_after_ms=RETRY_MS))


class InlineHeads(HeadWatch):
    """Looks at the log when it is asked to; by itself only for a hint."""

    def __init__(
        self,
        hub: Hub,
        *,
        changed: Callable[[Sequence[Notice]], None],
        lost: Callable[[], None],
        replaced: Callable[[int], None],
    ) -> None:
        del lost, replaced  # nothing is kept longer than a test
        self._django = _Thread()
        self._of = hub
        self._on_notices = changed
        self._kept = Notices()
        self._looking: set[asyncio.Task[None]] = set()

    def hint(self) -> None:
        """Look for what was noted, soon."""
        task = asyncio.get_running_loop().create_task(self.look())
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    def compare(self, rooms: Iterable[int]) -> None:
        """Do nothing: tests say when to look."""

    async def look(self) -> None:
        """Have all go out that is in the log by now, written by whomever."""
        watched = sorted(self._of.rooms)
        heads, notices = await self._django.run(self._read, watched)
        if notices:
            self._on_notices(notices)
        for room_id, head in heads:
            self._of.reach(room_id, head)
            room = self._of.rooms.get(room_id)
            if room is not None and room.filling is not None:
                await asyncio.wait([room.filling], timeout=SETTLE_SECONDS)

    def _read(
        self, watched: Sequence[int]
    ) -> tuple[list[tuple[int, int]], list[Notice]]:
        rooms = Room.objects.filter(pk__in=watched).values_list("pk", "head")
        return list(rooms), self._kept.look()

    async def close(self) -> None:
        """Stop looking."""
        for task in self._looking:
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)


class InlineThreads(ProjectThreads):
    """Runs the project's functions on Django's thread."""

    def __init__(self) -> None:
        self._django = _Thread()

    async def run(
        self,
        function: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Return what a function returns."""
        return await self._django.run(function, *args, **kwargs)

    async def close(self) -> None:
        """There is nothing to end."""


class InlineEngine(Engine):
    """The chat of one test's event loop; `clients` counts who needs it."""

    reader_class = InlineReader
    journal_class = InlineJournal
    heads_class = InlineHeads
    threads_class = InlineThreads

    def __init__(self) -> None:
        super().__init__()
        self.clients = 0

    async def look(self) -> None:
        """Have all go out that is in the log by now."""
        await cast("InlineHeads", self._heads).look()
        async with asyncio.timeout(SETTLE_SECONDS):
            while not self.node.still:  # noqa: ASYNC110 - nobody would tell but here
                await asyncio.sleep(0.001)
