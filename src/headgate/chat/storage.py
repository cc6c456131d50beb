"""How async code that is no connection reaches the database.

In a process that serves connections, reads go to the engine's threads and writes
through its journal, in a batch with others. Elsewhere (a task, a test, a process
that only answers HTTP by WSGI) each runs on the thread that Django keeps for its
database connections.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connections, router, transaction

from headgate.chat.append import append
from headgate.chat.django_thread import in_django_thread
from headgate.chat.engine import hint, started_engine, tell_handlers
from headgate.chat.entries import Change, Entry, Refused, Verdict, Written
from headgate.chat.erasure import truncate_log
from headgate.chat.hooks import is_anybody_told
from headgate.chat.journal import Overloaded
from headgate.chat.models import Event
from headgate.chat.per_loop import PerLoop
from headgate.live.ports import LogUnavailable
from headgate.protocol.codec import error
from headgate.protocol.codes import Code

__all__ = ["RETRY_MS", "change", "read", "write", "write_here"]

logger = logging.getLogger("headgate.storage")

RETRY_MS = 1000  # what `unavailable` asks to wait
# Of the threads that read: what takes long there leaves the others to the chat.
MOST_CHANGES = 2

P = ParamSpec("P")
R = TypeVar("R")


async def read(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what a function that uses the ORM returns; raises `LogUnavailable`."""
    running = started_engine()
    if running is not None:
        return await running.reader.run(function, *args, **kwargs)
    try:
        return await in_django_thread(function, *args, **kwargs)
    except (OperationalError, InterfaceError) as exc:
        raise LogUnavailable(str(exc)) from exc


_changes: PerLoop[asyncio.Semaphore] = PerLoop()


async def change(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what a function that writes by the ORM returns; raises `LogUnavailable`.

    It is never done twice: where the connection broke, it may have been done.
    """
    async with _changes.get("", lambda: asyncio.Semaphore(MOST_CHANGES)):
        running = started_engine()  # one that was borrowed may have ended meanwhile
        if running is None:
            return await read(function, *args, **kwargs)
        return await running.reader.run_once(function, *args, **kwargs)


async def write(entry: Entry) -> Verdict:
    """Append one entry to its room's log and return the log's verdict.

    A database that is away is a verdict too: `unavailable`.
    """
    running = started_engine()
    if running is not None:
        try:
            return await running.journal.write(entry)
        except Overloaded as full:
            refusal = error(Code.OVERLOADED, retry_after_ms=full.retry_after_ms)
            return Refused(refusal)
    try:
        return await in_django_thread(write_here, entry)
    except (OperationalError, InterfaceError) as exc:
        # As the journal has it: it may be written, and the client_id will tell.
        logger.warning("commit_failed entries=1 error=%s", exc)
        return Refused(error(Code.UNAVAILABLE, retry_after_ms=RETRY_MS))


def write_here(entry: Entry, *, handlers: bool = True) -> Verdict:
    """Append one entry on the caller's connection, in the transaction that is open.

    It is told once it is committed; what is rolled back was never sent. The project's
    handlers are told too, unless the caller does that.
    """
    using = router.db_for_write(Event)
    with transaction.atomic(using=using):
        verdict = append(connections[using], [entry])[0]
        if isinstance(verdict, Written):
            push = verdict.push
            transaction.on_commit(lambda: hint(entry.room_id, push.seq), using=using)
            if handlers and is_anybody_told():
                transaction.on_commit(lambda: tell_handlers(push), using=using)
            if isinstance(entry, Change) and entry.text is None:
                transaction.on_commit(
                    lambda: truncate_log(connections[using]), using=using
                )
    return verdict if verdict is not None else Refused(error(Code.INTERNAL))
