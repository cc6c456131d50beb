"""Places: how many calls a worker begins of each destination, so all have their turn.

A destination is slow while a call of it has been on its way for half a second, and
after one that brought no answer in five. The quick and the slow have places of their
own: however many hang, they take none of those who answer. Who has not been called yet
is taken for quick; what it holds counts as slow half a second later.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

__all__ = ["MAX_IN_FLIGHT", "OnTheirWay", "Place", "Places"]

SLOW_SECONDS = 0.5  # on its way for so long is slow
ANSWER_SECONDS = 5.0  # without an answer in them, slow stays slow
MAX_QUICK = 256  # calls of quick destinations at once
MAX_SLOW = 256  # and of slow ones
# Of all. It is more than both: of those that were quick until now, some hang.
MAX_IN_FLIGHT = 640
# Whoever was slow and is called rarely is tried among the quick again.
SLOW_KEPT_SECONDS = 600.0


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """What a call holds while it is on its way."""

    destination: int
    since: float


@dataclass(slots=True)
class OnTheirWay:
    """How many calls are on their way, by destination, at one moment.

    Attributes:
        quick: Of quick destinations.
        slow: Of slow ones.
        known_slow: The slow destinations, with those that have no call just now.
    """

    quick: Counter[int] = field(default_factory=Counter)
    slow: Counter[int] = field(default_factory=Counter)
    known_slow: Collection[int] = ()


class Places:
    """The places of one worker."""

    def __init__(self) -> None:
        # By destination, those first that were taken first.
        self._held: dict[int, dict[Place, None]] = {}
        self._slow: dict[int, float] = {}  # when it was last slow
        self._last = {"quick": 0, "slow": 0}  # the destinations that had their turn

    def take(self, destination: int) -> Place:
        """Return a place for a call that begins; it is to be left, once."""
        place = Place(destination, time.monotonic())
        self._held.setdefault(destination, {})[place] = None
        return place

    def leave(self, place: Place, *, answered: bool) -> None:
        """Note that a call has ended, and whether there was an answer."""
        held, now = self._held[place.destination], time.monotonic()
        del held[place]
        if not held:
            del self._held[place.destination]
        took = now - place.since
        if took < (ANSWER_SECONDS if answered else SLOW_SECONDS):
            self._slow.pop(place.destination, None)
        else:
            self._slow[place.destination] = now

    def on_their_way(self) -> OnTheirWay:
        """Return what is on its way, for a thread that goes on while calls end."""
        now = time.monotonic()
        oldest = now - SLOW_KEPT_SECONDS
        self._slow = {i: at for i, at in self._slow.items() if at > oldest}
        found = OnTheirWay()
        slow = set(self._slow)
        for i, held in self._held.items():
            if now - next(iter(held)).since >= SLOW_SECONDS:
                slow.add(i)
            (found.slow if i in slow else found.quick)[i] = len(held)
        found.known_slow = slow
        return found

    def limits(self, due: Mapping[int, int], now: OnTheirWay) -> dict[int, int]:
        """Return how many calls to lease of each, whose turn is next first.

        Args:
            due: Destinations in the order of their ids, with their concurrency.
            now: What is on its way.
        """
        left = MAX_IN_FLIGHT - now.quick.total() - now.slow.total()
        slow = {i: most for i, most in due.items() if i in now.known_slow}
        quick = {i: most for i, most in due.items() if i not in slow}
        limits = self._of_lot("quick", quick, now.quick, MAX_QUICK, left)
        left -= sum(limits.values())
        return limits | self._of_lot("slow", slow, now.slow, MAX_SLOW, left)

    def _of_lot(
        self,
        lot: str,
        due: Mapping[int, int],
        on_their_way: Counter[int],
        places: int,
        left: int,
    ) -> dict[int, int]:
        """Share out the places of the quick or of the slow.

        Nobody gets more than an equal share of half of them, nor more than half of what
        is free; so those that hang leave room for the next one. Where places are
        scarce, only those get one that have none.
        """
        last = self._last[lot]
        order = [i for i in due if i > last] + [i for i in due if i <= last]
        free = min(places - on_their_way.total(), left)
        share = places // (2 * len({*due, *on_their_way}) or 1)
        limits: dict[int, int] = {}
        for i in order:
            own = on_their_way[i]
            fair = max(min(share - own, free // 2), 1 - own)
            most = min(due[i] - own, fair, free)
            if most > 0:
                limits[i] = most
                free -= most
        if limits:
            self._last[lot] = next(reversed(limits))
        return limits
