"""Places that all processes count together, in Redis, by lease.

What a process holds of a key stands there with an end, 30 s ahead, and is told again
every 10 s; so the places of a process that dies are free soon. It is told as a whole
number, not as a change: whatever is lost on the way, the next word is right.

While Redis is away this process's own count decides, and is told when it is back. Then
more may be open than the cap, until some close: none is given up. Needs the extra
`redis`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import islice

from headgate.chat.open_places import LocalPlaces, Place
from headgate.chat.shared_redis import MOST_AT_ONCE, SharedScript
from headgate.limits.redis import redis_key

__all__ = ["LeasedPlaces"]

logger = logging.getLogger("headgate.places")

LEASE_SECONDS = 30.0
RENEW_SECONDS = 10.0  # two of them may fail
CLOSE_SECONDS = 1.0  # for giving back, when the process ends

# Keys of one trip: as many of those that somebody waits for, and as many others.
SLICE = MOST_AT_ONCE // 2

# Keys of which nothing is held, but which Redis may not know yet. Past it, the oldest
# are left to expire.
MAX_OWED = 50_000


@dataclass(slots=True)
class _Wanted:
    """Who waits for a place of one key."""

    cap: int
    takers: list[asyncio.Future[bool]] = field(default_factory=list)


class LeasedPlaces:
    """The places that one event loop has taken; see `Places`.

    Args:
        url: The Redis.
        prefix: Before the names of the keys.
        local: Counts the places of this process, and decides while Redis is away.
    """

    def __init__(self, url: str, prefix: str, local: LocalPlaces) -> None:
        text = (files("headgate.chat") / "leased_places.lua").read_text("utf-8")
        self._script = SharedScript(url, text, name="places")
        self._prefix = prefix
        self._local = local
        self._process = secrets.token_hex(8)
        self._held: dict[Place, int] = {}  # how many; 0 while Redis may know of one
        self._wanted: dict[Place, _Wanted] = {}
        self._due: dict[Place, None] = {}  # to be told, in this order
        self._owed: dict[Place, None] = {}  # those of which 0 are held
        self._wake = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._closed = False

    async def take(self, place: Place, cap: int) -> bool:
        """Take one; False where as many as the cap are taken, in all processes.

        While Redis is away that is known at once, after a few time limits at the
        beginning.
        """
        taken = asyncio.get_running_loop().create_future()
        wanted = self._wanted.setdefault(place, _Wanted(cap))
        wanted.cap = cap
        wanted.takers.append(taken)
        self._tell()
        try:
            found: bool = await taken
        except asyncio.CancelledError:
            # It may have been decided in the turn in which whoever asked went away.
            if taken.done() and not taken.cancelled() and taken.result():
                self.give(place)
            raise
        return found

    def give(self, place: Place) -> None:
        """Give back one that was taken. Never waits; Redis is told soon."""
        self._local.give(place)
        if self._closed:
            return  # given back already
        self._held[place] -= 1
        self._tell_again(place)
        self._tell()

    async def close(self) -> None:
        """Give back all places in Redis, if it answers, and close the connection.

        They stay counted in this process until each is given back.
        """
        self._closed = True
        self._held = dict.fromkeys(self._held, 0)
        self._due |= dict.fromkeys(self._held)
        task = self._telling
        if task is not None:
            self._wake.set()
            await asyncio.wait([task], timeout=CLOSE_SECONDS)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._script.aclose()

    # --- telling ---

    def _tell(self) -> None:
        """Have told what is due: at once, and from time to time while any are held."""
        self._wake.set()
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._keep_telling())

    async def _keep_telling(self) -> None:
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + RENEW_SECONDS
        try_at = 0.0
        try:
            while self._wanted or self._held:
                now = loop.time()
                if now >= renew_at:
                    renew_at = now + RENEW_SECONDS
                    self._due |= dict.fromkeys(self._held)
                if self._wanted or (self._due and now >= try_at):
                    if not await self._trip():
                        try_at = loop.time() + self._script.next_try_seconds
                    elif try_at:  # it is back, and may have forgotten all
                        try_at, renew_at = 0.0, now
                else:
                    await self._woken(min(renew_at, try_at) if self._due else renew_at)
        except Exception:  # a fault of ours; whoever comes next begins again
            logger.exception("places_failed")
        finally:
            self._telling = None
            for place in list(self._wanted):
                self._decide_here(place, self._wanted.pop(place))

    async def _woken(self, until: float) -> None:
        """Wait until there is news, or until a time of the loop."""
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._wake.wait()

    async def _trip(self) -> bool:
        """Ask about some keys; return whether all were answered."""
        places = dict.fromkeys(islice(self._wanted, SLICE))
        places |= dict.fromkeys(islice(self._due, SLICE))
        asked: list[tuple[Place, _Wanted, int]] = []
        for place in places:
            self._due.pop(place, None)
            who = self._wanted.pop(place, None) or _Wanted(0)
            asked.append((place, who, self._held.get(place, 0)))
        answers: Sequence[list[int] | None] = [None] * len(asked)
        try:
            answers = await self._script.ask([self._question(*each) for each in asked])
        finally:
            for (place, who, held), answer in zip(asked, answers, strict=True):
                if answer is None:
                    self._decide_here(place, who)
                else:
                    self._settle(place, who, held, answer[0])
        return None not in answers

    def _question(self, place: Place, who: _Wanted, held: int) -> list[str | int]:
        wanted = sum(not each.done() for each in who.takers)
        key = redis_key(self._prefix, *place)
        lease_ms = round(LEASE_SECONDS * 1000)
        return [1, key, self._process, held, wanted, who.cap, lease_ms]

    def _settle(self, place: Place, who: _Wanted, held: int, given: int) -> None:
        """Hand out what was given, on top of what was held when that was asked."""
        takers = [each for each in who.takers if not each.done()]
        for taken in takers[:given]:
            self._local.add(place)
            self._hold(place)
            taken.set_result(True)
        for taken in takers[given:]:
            taken.set_result(False)
        if self._held.get(place, 0) != held + given:
            self._tell_again(place)  # somebody went away meanwhile
        elif not held + given:
            self._forget(place)

    def _decide_here(self, place: Place, who: _Wanted) -> None:
        """Decide by this process's own count: there was no answer."""
        for taken in who.takers:
            if not taken.done():
                found = self._local.take_now(place, who.cap)
                if found:
                    self._hold(place)
                taken.set_result(found)
        self._tell_again(place)  # what Redis knows of it is not known

    # --- what is held ---

    def _hold(self, place: Place) -> None:
        if not self._closed:
            self._held[place] = self._held.get(place, 0) + 1
            self._owed.pop(place, None)

    def _tell_again(self, place: Place) -> None:
        """Have told how many are held, be it 0."""
        self._due[place] = None
        if self._held.setdefault(place, 0):
            return
        self._owed[place] = None
        if len(self._owed) > MAX_OWED:
            self._forget(next(iter(self._owed)))

    def _forget(self, place: Place) -> None:
        """Forget a key of which nothing is held."""
        for kept in (self._held, self._owed, self._due):
            kept.pop(place, None)
