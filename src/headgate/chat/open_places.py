"""Places for open connections: how many one person, or one address, may have at once.

With a Redis, all processes count together; see `leased_places`. Without one, each
counts by itself. A place is taken in the same moment in which it is looked for.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from headgate.chat.conf import conf
from headgate.chat.installation import namespace
from headgate.chat.per_loop import PerLoop

if TYPE_CHECKING:
    from headgate.chat.leased_places import LeasedPlaces

__all__ = [
    "LocalPlaces",
    "Place",
    "Places",
    "close_open_places",
    "local_places",
    "open_places",
]

Place = tuple[str, str]  # the name of a cap, and what is counted: ("connect.open", key)


class Places(Protocol):
    """Where places are taken; used on one event loop."""

    async def take(self, place: Place, cap: int) -> bool:
        """Take one; False where as many as the cap are taken."""

    def give(self, place: Place) -> None:
        """Give back one that was taken. Never waits."""


class LocalPlaces:
    """The places that are taken in this process; for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[Place] = Counter()

    async def take(self, place: Place, cap: int) -> bool:
        """Take one; False where as many as the cap are taken."""
        return self.take_now(place, cap)

    def take_now(self, place: Place, cap: int) -> bool:
        """Do what `take` does, from sync code."""
        with self._lock:
            if self._taken[place] >= cap:
                return False
            self._taken[place] += 1
            return True

    def add(self, place: Place) -> None:
        """Count one that is taken, however many there are."""
        with self._lock:
            self._taken[place] += 1

    def give(self, place: Place) -> None:
        """Give back one that was taken."""
        with self._lock:
            self._taken[place] -= 1
            if self._taken[place] <= 0:
                del self._taken[place]

    def counts(self) -> Mapping[Place, int]:
        """Return how many are taken."""
        with self._lock:
            return dict(self._taken)


local_places = LocalPlaces()
_leased: PerLoop[LeasedPlaces] = PerLoop()


def open_places() -> Places:
    """Return where the running loop takes places, by the settings in force."""
    url = conf().REDIS
    if url is None:
        return local_places
    prefix = f"{namespace()}:open"
    return _leased.get((url, prefix), lambda: _opened(url, prefix))


async def close_open_places() -> None:
    """Give back all places that the running loop took in Redis, if it can be reached.

    Call it when the connections are closed, or about to be. What it cannot give back
    expires.
    """
    for each in _leased.take_all():
        await each.close()


def _opened(url: str, prefix: str) -> LeasedPlaces:
    from headgate.chat.leased_places import LeasedPlaces

    return LeasedPlaces(url, prefix, local_places)
