"""The memory store: one number for each key, in this process.

Bounded without being opened by that. Keys that no longer matter are swept away a
shard at a time, as new ones come. Where all that there is room for matters, new keys
of a policy share one number, and begin with it when there is room again, until it is
in the past: nobody gets more than the limit because others are many.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from headgate.limits.decision import Decision
from headgate.limits.owner import is_meant
from headgate.limits.policy import Charge, Policy
from headgate.limits.store import Note, check_distinct, ignore

__all__ = ["MemoryStore"]

MAX_KEYS = 200_000  # about 30 MB
_SHARDS = 64  # a power of 2; a sweep looks at one of them
_MASK = _SHARDS - 1
_LEAST_BETWEEN_SWEEPS = 16  # new keys
# While there is no room, each new key brings a sweep, also one that is refused. Where
# fewer than one in so many went, the next waits so long; a sweep takes 0.2 ms.
_WORTH = 32
_BETWEEN_FULL_SWEEPS_US = 10_000


class _Token:
    """A lock for moments: whoever has taken the token out of the list holds it.

    A list is safe for threads, with and without the GIL, and taking and giving back
    costs two fifths of `with threading.Lock()`.
    """

    __slots__ = ("_tokens", "give_back", "take")

    def __init__(self) -> None:
        self._tokens: list[None] = [None]
        # `take` raises IndexError while somebody else holds it.
        self.take = self._tokens.pop
        self.give_back = self._tokens.append

    def wait(self) -> None:
        """Take it as soon as it is there; who holds it does so for microseconds."""
        while True:
            time.sleep(0)  # lets the holder go on
            try:
                self.take()
            except IndexError:
                continue
            return

    def __enter__(self) -> None:
        try:
            self.take()
        except IndexError:
            self.wait()

    def __exit__(self, *_: object) -> None:
        self.give_back(None)


class _Shelf:
    """The keys of one policy: their numbers, and the one of those without room."""

    __slots__ = ("overflow_us", "shards")

    def __init__(self) -> None:
        self.shards: tuple[dict[str, int], ...] = tuple({} for _ in range(_SHARDS))
        self.overflow_us = 0


# Policy, key, increment, number, whether it fits, and where the number is kept.
_Found = tuple[Policy, str, int, int, bool, _Shelf, dict[str, int]]
_new = tuple.__new__  # half of what the class costs to call


class MemoryStore:
    """Limits of one process, for all its threads and event loops.

    Args:
        max_keys: How many keys, of all policies together, may be kept.
        clock: The time in nanoseconds, which only goes forward.
    """

    remote = False

    def __init__(
        self,
        *,
        max_keys: int = MAX_KEYS,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.note: Note = ignore
        self.degraded: Counter[str] = Counter()  # it is never away
        self._max_keys = max_keys
        self._clock = clock
        self._token = _Token()
        self._shelves: dict[str, _Shelf] = {}
        self._size = 0
        self._next_shard = 0
        self._until_sweep = _LEAST_BETWEEN_SWEEPS
        self._next_full_sweep_us = 0

    def __len__(self) -> int:
        """Return how many keys are kept."""
        return self._size

    def decide_one(self, policy: Policy, key: str, cost: int | None = None) -> Decision:
        """Decide one charge: `decide` for the most frequent case, written out."""
        increment = policy.increment_us if cost is None else policy.increment_of(cost)
        try:
            shelf = self._shelves[policy.name]
        except KeyError:
            shelf = self._shelf(policy.name)
        shard = shelf.shards[hash(key) & _MASK]
        token = self._token
        try:
            token.take()
        except IndexError:
            token.wait()
        try:
            now = self._clock() // 1000
            kept = shard.get(key)
            tat = self._of_others(shelf, now) if kept is None else kept
            if tat < now:
                tat = now
            elif tat > now + policy.ceiling_us:
                tat = now + policy.ceiling_us
            after = tat + increment
            fits = after - policy.tolerance_us <= now
            if fits and increment:
                if kept is None:
                    self._keep(shelf, shard, policy, key, increment, after, now)
                else:
                    shard[key] = after
            elif not fits and tat == now + policy.ceiling_us:
                self._correct(shelf, shard, key, tat)
        finally:
            token.give_back(None)
        if fits:
            return _new(Decision, (policy, key, True, increment, now, after))
        decision = Decision(policy, key, policy.dry_run, increment, now, tat)
        self.note(decision)
        return decision

    def decide(  # noqa: C901 - written out: in parts it takes half as long again
        self,
        charges: Sequence[Charge],
        *,
        write: bool = True,
        wait_us: int = 0,
    ) -> list[Decision]:
        """Decide several charges, all or none; see `Store`."""
        check_distinct(charges)
        found: list[_Found] = []
        counted = write
        shelves = self._shelves
        token = self._token
        try:
            token.take()
        except IndexError:
            token.wait()
        try:
            now = self._clock() // 1000
            for policy, key, cost in charges:
                increment = (
                    policy.increment_us if cost is None else policy.increment_of(cost)
                )
                shelf = shelves.get(policy.name) or self._shelf(policy.name)
                shard = shelf.shards[hash(key) & _MASK]
                kept = shard.get(key)
                tat = self._of_others(shelf, now) if kept is None else kept
                ceiling = now + policy.ceiling_us
                if tat < now:
                    tat = now
                elif tat > ceiling:
                    tat = ceiling
                tolerance = policy.tolerance_us
                fits = (
                    tat + increment - tolerance - wait_us <= now
                    and increment <= tolerance
                )
                found.append((policy, key, increment, tat, fits, shelf, shard))
                if not fits:
                    counted = counted and policy.dry_run
                    if write and tat == ceiling:
                        self._correct(shelf, shard, key, tat)
            if counted:
                self._count(found, now)
        finally:
            token.give_back(None)
        decisions = []
        for policy, key, increment, tat, fits, *_ in found:
            if fits:
                after = tat + increment if counted else tat
                fields = (policy, key, True, increment, now, after)
                decisions.append(_new(Decision, fields))
            else:
                decision = Decision(policy, key, policy.dry_run, increment, now, tat)
                decisions.append(decision)
                if write:
                    self.note(decision)
        return decisions

    def refund(self, charge: Charge) -> None:
        """Give back what was counted, for what was not done after all."""
        increment = charge.policy.increment_of(charge.cost)
        shelf = self._shelf(charge.policy.name)
        shard = shelf.shards[hash(charge.key) & _MASK]
        with self._token:
            now = self._clock() // 1000
            tat = shard.get(charge.key)
            if tat is not None and increment:
                tat = min(tat, now + charge.policy.ceiling_us) - increment
                if tat > now:
                    shard[charge.key] = tat
                else:
                    del shard[charge.key]
                    self._size -= 1

    def reset(self, policies: Sequence[str], key: str) -> None:
        """Forget a key under policies of these names."""
        with self._token:
            for name in policies:
                shard = self._shelf(name).shards[hash(key) & _MASK]
                if shard.pop(key, None) is not None:
                    self._size -= 1

    def reset_all(self, key: str) -> None:
        """Forget a key, or all keys of a person, under all policies: see `is_meant`."""
        for shelf in list(self._shelves.values()):
            for shard in shelf.shards:
                with self._token:  # for one at a time: nobody waits for all
                    for each in [each for each in shard if is_meant(key, each)]:
                        del shard[each]
                        self._size -= 1

    def attempted(self, policy: Policy, key: str, cost: int | None) -> Decision | None:
        """Return None: nothing is certain before it is decided, and that costs less."""

    async def adecide_one(
        self, policy: Policy, key: str, cost: int | None = None
    ) -> Decision:
        """`decide_one` from async code."""
        return self.decide_one(policy, key, cost)

    async def adecide(
        self,
        charges: Sequence[Charge],
        *,
        write: bool = True,
        wait_us: int = 0,
    ) -> list[Decision]:
        """`decide` from async code."""
        return self.decide(charges, write=write, wait_us=wait_us)

    async def arefund(self, charge: Charge) -> None:
        """`refund` from async code."""
        self.refund(charge)

    async def areset(self, policies: Sequence[str], key: str) -> None:
        """`reset` from async code."""
        self.reset(policies, key)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to let go of."""

    # --- with the token in hand ---

    def _count(self, found: list[_Found], now: int) -> None:
        """Count what fits."""
        for policy, key, increment, tat, fits, shelf, shard in found:
            if not fits or not increment:
                continue
            after = tat + increment
            if key in shard:  # one before it may have brought a sweep
                shard[key] = after
            else:
                self._keep(shelf, shard, policy, key, increment, after, now)

    def _correct(
        self, shelf: _Shelf, shard: dict[str, int], key: str, most: int
    ) -> None:
        """Lower a number that is further ahead than the limit lets it be.

        It was lowered, or the clock went back. Otherwise who waits as long as told
        would be told the same again.
        """
        if key in shard:
            shard[key] = min(shard[key], most)
        else:
            shelf.overflow_us = min(shelf.overflow_us, most)

    def _of_others(self, shelf: _Shelf, now: int) -> int:
        """Return the number that a new key has: that of the keys without room."""
        if self._size >= self._max_keys and now >= self._next_full_sweep_us:
            self._sweep(now)
        return shelf.overflow_us

    def _keep(
        self,
        shelf: _Shelf,
        shard: dict[str, int],
        policy: Policy,
        key: str,
        increment: int,
        tat: int,
        now: int,
    ) -> None:
        """Keep a key that is new, or count it with those without room."""
        self._until_sweep -= 1
        if self._until_sweep <= 0:
            self._sweep(now)
        if self._size < self._max_keys:
            shard[key] = tat
            self._size += 1
        else:
            # Another charge of the same decision may just have been counted there.
            others = min(shelf.overflow_us, now + policy.ceiling_us)
            shelf.overflow_us = max(tat, others + increment)

    def _sweep(self, now: int) -> None:
        """Drop what no longer matters in the next shard of each policy."""
        place = self._next_shard
        self._next_shard = (place + 1) & _MASK
        seen = gone = 0
        for shelf in list(self._shelves.values()):  # others may add one meanwhile
            shard = shelf.shards[place]
            seen += len(shard)
            for key in [key for key, tat in shard.items() if tat <= now]:
                del shard[key]
                gone += 1
        self._size -= gone
        self._until_sweep = self._size // _SHARDS + _LEAST_BETWEEN_SWEEPS
        is_worth_it = gone * _WORTH > seen
        self._next_full_sweep_us = now + (not is_worth_it) * _BETWEEN_FULL_SWEEPS_US

    def _shelf(self, name: str) -> _Shelf:
        """Return a policy's shelf; of two threads that make one, the first has it."""
        return self._shelves.get(name) or self._shelves.setdefault(name, _Shelf())
