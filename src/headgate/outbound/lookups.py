"""Looking names up, so that a name server that hangs holds up nothing else.

`getaddrinfo` cannot be ended. Each name has a thread of its own while it is looked up,
shared by all who ask for it then; the threads do not keep a process from ending. Names
that took long the last time have half of the threads, so that others find one free.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["Lookups", "NotFound", "NotLookedUp", "Resolve", "system_addresses"]

LOOKUP_SECONDS = 5.0
MAX_LOOKUPS = 64  # names at once; past it others have to wait
MAX_SLOW = 32  # of them, names that took long
SLOW_SECONDS = 1.0  # and longer is long
SLOW_KEPT = 1000  # names of which that is known

# Returns the addresses of a name, in the order in which they are to be tried; raises
# `OSError` where there are none. It is called in a thread.
Resolve = Callable[[str], Sequence[str]]


class NotFound(Exception):  # noqa: N818 - it may be found next time
    """A name has no address, or was not found in time; the text says which."""


class NotLookedUp(Exception):  # noqa: N818 - it may be looked up next time
    """Too many other names are just now: nothing is known of this one."""


class _Running(NamedTuple):
    """A name that is being looked up."""

    answer: asyncio.Future[Sequence[str]]
    since: float


def system_addresses(host: str) -> list[str]:
    """Return the addresses of a name as the system knows them."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Lookups:
    """The names that are being looked up, for one event loop."""

    def __init__(self, resolve: Resolve = system_addresses) -> None:
        self._resolve = resolve
        self._running: dict[str, _Running] = {}
        self._slow: OrderedDict[str, None] = OrderedDict()

    async def addresses(self, host: str) -> Sequence[str]:
        """Return the addresses of a name, at least one.

        Raises:
            NotFound: It has none, or none was found in time.
            NotLookedUp: Too many other names are looked up.
        """
        running = self._running.get(host)
        if running is None:
            if self._is_full(host):
                raise NotLookedUp(
                    f"{host} was not looked up yet: too many other names are just now."
                )
            running = self._begin(host)
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                found = await asyncio.shield(running.answer)
        except TimeoutError:
            raise NotFound(
                f"{host} was not found within {LOOKUP_SECONDS:g} s.",
            ) from None
        except (OSError, UnicodeError):
            raise NotFound(f"{host} has no address that could be found.") from None
        if not found:
            raise NotFound(f"{host} has no address.")
        return found

    def _is_full(self, host: str) -> bool:
        if len(self._running) >= MAX_LOOKUPS:
            return True
        if host not in self._slow:
            return False
        oldest = time.monotonic() - SLOW_SECONDS
        slow = sum(
            each.since <= oldest or name in self._slow
            for name, each in self._running.items()
        )
        return slow >= MAX_SLOW

    def _note(self, host: str, seconds: float) -> None:
        self._slow.pop(host, None)
        if seconds >= SLOW_SECONDS:
            self._slow[host] = None
            if len(self._slow) > SLOW_KEPT:
                self._slow.popitem(last=False)

    def _begin(self, host: str) -> _Running:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[str]] = loop.create_future()
        running = self._running[host] = _Running(future, time.monotonic())

        def end(found: Sequence[str] | None, exc: Exception | None) -> None:
            del self._running[host]
            self._note(host, time.monotonic() - running.since)
            if exc is not None:
                future.set_exception(exc)
                future.exception()  # those who asked may have stopped waiting
            else:
                future.set_result(found or ())

        def run() -> None:
            found, failure = None, None
            try:
                found = self._resolve(host)
            except Exception as exc:  # noqa: BLE001 - raised where it is waited for
                failure = exc
            try:
                loop.call_soon_threadsafe(end, found, failure)
            except RuntimeError:  # the loop is closed, and nobody waits
                return

        threading.Thread(target=run, name="headgate-lookup", daemon=True).start()
        return running
