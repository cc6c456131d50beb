"""The memory store: one number for each key, in this process.

Bounded without being opened by that. Keys that no longer matter are swept away a
shard at a time, as new ones come. Where all that there is room for matters, new keys
of a policy share one number, until there is room again: nobody gets more than the
limit because others are many.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

from headgate.limits.decision import Decision
from headgate.limits.policy import Charge, Policy
from headgate.limits.store import Note, check_distinct, ignore

__all__ = ["MemoryStore"]

MAX_KEYS = 200_000  # about 30 MB
_SHARDS = 64  # a power of 2; a sweep looks at one of them
_MASK = _SHARDS - 1
_LEAST_BETWEEN_SWEEPS = 16  # new keys


class _Token:
    """A lock for moments: whoever has taken the token out of the list holds it.

    A list is safe for threads, with and without the GIL, and taking and giving back
    costs a fifth of what `threading.Lock` does: see `benchmarks/limiter.py`.
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

    def __len__(self) -> int:
        """Return how many keys are kept."""
        return self._size

    def decide_one(self, policy: Policy, key: str, cost: int | None = None) -> Decision:
        """Decide one charge: `decide` for the most frequent case, written out."""
        increment = policy.increment_us if cost is None else policy.increment_of(cost)
        shelf = self._shelves.get(policy.name) or self._shelf(policy.name)
        shard = shelf.shards[hash(key) & _MASK]
        token = self._token
        try:
            token.take()
        except IndexError:
            token.wait()
        try:
            now = self._clock() // 1000
            kept = shard.get(key)
            tat = shelf.overflow_us if kept is None else kept
            if tat < now:
                tat = now
            elif tat > now + policy.ceiling_us:
                tat = now + policy.ceiling_us
            after = tat + increment
            fits = after - policy.tolerance_us <= now
            if fits:
                if kept is not None:
                    shard[key] = after
                elif increment:
                    self._keep(shelf, shard, key, after, now)
        finally:
            token.give_back(None)
        if fits:
            return Decision(policy, key, True, increment, now, after)
        decision = Decision(policy, key, policy.dry_run, increment, now, tat)
        self.note(decision)
        return decision

    def decide(
        self,
        charges: Sequence[Charge],
        *,
        write: bool = True,
        wait_us: int = 0,
    ) -> list[Decision]:
        """Decide several charges, all or none; see `Store`."""
        check_distinct(charges)
        with self._token:
            now = self._clock() // 1000
            decisions = [self._judge(charge, now, wait_us) for charge in charges]
            over = [each for each in decisions if not each.fits_within(wait_us)]
            if write and all(each.allowed for each in over):
                for each in decisions:
                    if each not in over:
                        each.tat_us += each.increment_us
                        self._put(each, now)
        if write:
            for each in over:
                self.note(each)
        return decisions

    def refund(self, charge: Charge) -> None:
        """Give back what was counted, for what was not done after all."""
        increment = charge.policy.increment_of(charge.cost)
        shelf = self._shelf(charge.policy.name)
        shard = shelf.shards[hash(charge.key) & _MASK]
        with self._token:
            now = self._clock() // 1000
            tat = shard.get(charge.key)
            if tat is not None:
                shard[charge.key] = max(tat - increment, now)

    def reset(self, policies: Sequence[str], key: str) -> None:
        """Forget a key under policies of these names."""
        with self._token:
            for name in policies:
                shard = self._shelf(name).shards[hash(key) & _MASK]
                if shard.pop(key, None) is not None:
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

    def _judge(self, charge: Charge, now: int, wait_us: int) -> Decision:
        """Return what is decided, with the number as it was."""
        policy, key, cost = charge
        increment = policy.increment_of(cost)
        shelf = self._shelf(policy.name)
        tat = shelf.shards[hash(key) & _MASK].get(key, shelf.overflow_us)
        tat = min(max(tat, now), now + policy.ceiling_us)
        decision = Decision(policy, key, True, increment, now, tat)
        decision.allowed = policy.dry_run or decision.fits_within(wait_us)
        return decision

    def _put(self, decision: Decision, now: int) -> None:
        shelf = self._shelf(decision.policy.name)
        shard = shelf.shards[hash(decision.key) & _MASK]
        if decision.key in shard:
            shard[decision.key] = decision.tat_us
        elif decision.increment_us:
            self._keep(shelf, shard, decision.key, decision.tat_us, now)

    def _keep(
        self, shelf: _Shelf, shard: dict[str, int], key: str, tat: int, now: int
    ) -> None:
        """Keep a key that is new, or count it with those without room."""
        self._until_sweep -= 1
        if self._until_sweep <= 0:
            self._sweep(now)
        if self._size < self._max_keys:
            shard[key] = tat
            self._size += 1
        else:
            shelf.overflow_us = tat

    def _sweep(self, now: int) -> None:
        """Drop what no longer matters in the next shard of each policy."""
        place = self._next_shard
        self._next_shard = (place + 1) & _MASK
        for shelf in self._shelves.values():
            shard = shelf.shards[place]
            for key in [key for key, tat in shard.items() if tat <= now]:
                del shard[key]
                self._size -= 1
        self._until_sweep = self._size // _SHARDS + _LEAST_BETWEEN_SWEEPS

    def _shelf(self, name: str) -> _Shelf:
        """Return a policy's shelf; of two threads that make one, the first has it."""
        return self._shelves.get(name) or self._shelves.setdefault(name, _Shelf())
