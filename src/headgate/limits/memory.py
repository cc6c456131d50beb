"""The memory store: one number for each key, in this process.

Bounded without being opened by that. Where there are more than a few, keys that no
longer matter are swept away a part at a time, as new ones come. Where all that there
is room for matters, new keys of a policy share one number, and begin with it when
there is room again, until it is in the past: nobody gets more than the limit because
others are many.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from headgate.limits.decision import Allowed, Decision
from headgate.limits.owner import is_meant
from headgate.limits.policy import Charge, Policy
from headgate.limits.store import Note, check_distinct, ignore

__all__ = ["MemoryStore"]

MAX_KEYS = 200_000  # about 50 MB
_PARTS = 64  # a sweep looks at one of so many parts of the keys
_LEAST_BETWEEN_SWEEPS = 16  # new keys
# A fiftieth of the room is let be, 1 MB: whoever comes again finds their key, also
# where a limit is so wide that the number is in the past a moment after. A key that is
# known is decided in half the time.
_LET_BE = 50
# While there is no room, each new key brings a sweep, also one that is refused. Where
# fewer than one in so many went, the next waits so long; a sweep takes 1.5 ms.
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


# The keys of one policy: each has a list of its own, which holds its number. Whoever
# takes the number out of the list may change it, as with a token; a list that is
# dropped stays empty, so that nobody counts in it any more. Only who holds the store's
# token adds and drops keys, and waits for a number while it has others.
_Cell = list[int]
_Shelf = dict[str, _Cell]
# Policy, key, increment, number, whether it fits, and where the number is kept.
_Found = tuple[Policy, str, int, int, bool, _Cell | None]


class _DecideOne(Protocol):
    def __call__(
        self, policy: Policy, key: str, cost: int | None = None
    ) -> Decision: ...


# When it was decided, and what was counted: one for each charge, in their order.
_Counted = tuple[int, list[tuple[_Cell, int]]]
_Count = Callable[[Sequence[Charge]], _Counted | None]


def _quick(
    shelves: dict[str, _Shelf], clock: Callable[[], int], slow: _DecideOne
) -> _DecideOne:
    """Return the function for the most frequent case: a known key that is allowed.

    Everything else it leaves to `slow`. It is no method, so that it looks up less.
    """

    def decide_one(policy: Policy, key: str, cost: int | None = None) -> Decision:
        """Decide one charge and count it if it is allowed."""
        increment = policy.increment_us if cost is None else policy.increment_of(cost)
        tolerance = policy.tolerance_us
        try:
            cell = shelves[policy.name][key]
            now = clock() // 1000
            tat = cell.pop()
        except LookupError:  # new, or in somebody's hands
            return slow(policy, key, cost)
        # Nothing is called with the number in hand, so nothing can go wrong. Another
        # may have had it since the clock was read. What fits an earlier moment fits;
        # what does not is decided by the clock as it is then.
        # (`max` is a call.)
        after = (tat if tat > now else now) + increment  # noqa: FURB136
        if after - tolerance > now or not increment:
            cell.append(tat)
            return slow(policy, key, cost)
        cell.append(after)
        decision: Decision = Allowed()
        decision.policy = policy
        decision.key = key
        decision.allowed = True
        decision.increment_us = increment
        decision.now_us = now
        decision.tat_us = after
        return decision

    return decide_one


def _quick_together(shelves: dict[str, _Shelf], clock: Callable[[], int]) -> _Count:
    """Return the function for known keys that are all allowed, as `_quick` does.

    It takes several numbers without the store's token, but waits for none of them: if
    one is in somebody's hands it puts back what it has, so nobody waits for long.
    """

    def count(charges: Sequence[Charge]) -> _Counted | None:
        """Count several charges, or none: None where one is no such case."""
        numbers: list[tuple[_Cell, int]] = []  # to be put back, as they are by then
        counted: list[tuple[_Cell, int]] = []
        try:
            now = clock() // 1000
            for policy, key, cost in charges:
                increment = (
                    policy.increment_us if cost is None else policy.increment_of(cost)
                )
                cell = shelves[policy.name][key]
                tat = cell.pop()
                numbers.append((cell, tat))
                after = (tat if tat > now else now) + increment  # noqa: FURB136
                if after - policy.tolerance_us > now or not increment:
                    break
                counted.append((cell, after))
            else:
                numbers = counted
                return now, counted
        except LookupError:  # new, in somebody's hands, or in this decision twice
            pass
        finally:
            for cell, number in numbers:
                cell.append(number)
        return None

    return count


def _take(cell: _Cell) -> int:
    """Take a number as soon as it is there: with the token in hand, that is soon."""
    while True:
        try:
            return cell.pop()
        except IndexError:
            time.sleep(0)  # lets the holder go on


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
        self._overflow_us: dict[str, int] = {}  # of keys without room, by policy
        self._size = 0
        self._parts: dict[str, tuple[_Shelf, ...]] = {}  # the same, for sweeps
        self._next_part = 0
        self._few = max_keys // _LET_BE
        self._until_sweep = max(self._few, _LEAST_BETWEEN_SWEEPS)
        self._next_full_sweep_us = 0
        self.decide_one: _DecideOne = _quick(self._shelves, clock, self._decide_one)
        self._count_known = _quick_together(self._shelves, clock)

    def __len__(self) -> int:
        """Return how many keys are kept."""
        return self._size

    def _decide_one(
        self, policy: Policy, key: str, cost: int | None = None
    ) -> Decision:
        """Decide one charge: `decide` for one that is new or refused, written out."""
        increment = policy.increment_us if cost is None else policy.increment_of(cost)
        name = policy.name
        tolerance = policy.tolerance_us
        token = self._token
        try:
            token.take()
        except IndexError:
            token.wait()
        try:
            now = self._clock() // 1000
            ceiling = now + policy.ceiling_us
            shelf = self._shelves.get(name)
            cell = None if shelf is None else shelf.get(key)
            kept = self._of_others(name, now) if cell is None else _take(cell)
            tat = now if kept < now else min(kept, ceiling)
            after = tat + increment
            fits = after - tolerance <= now
            if cell is not None:
                if fits:
                    cell.append(after if increment else kept)
                else:
                    cell.append(tat if kept > ceiling else kept)
            elif fits and increment:
                self._keep(policy, key, increment, after, now)
            elif not fits and kept > ceiling:
                self._overflow_us[name] = tat
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
        known = None if wait_us or not write else self._count_known(charges)
        if known is None:
            return self._decide(charges, write=write, wait_us=wait_us)
        now, counted = known
        decisions: list[Decision] = []
        for (policy, key, cost), (_, after) in zip(charges, counted, strict=True):
            decision: Decision = Allowed()
            decision.policy = policy
            decision.key = key
            decision.allowed = True
            decision.increment_us = (
                policy.increment_us if cost is None else policy.increment_of(cost)
            )
            decision.now_us = now
            decision.tat_us = after
            decisions.append(decision)
        return decisions

    def counted(self, charges: Sequence[Charge]) -> bool:
        """Count charges of known keys if all are allowed; see `Store`."""
        return self._count_known(charges) is not None

    def _decide(  # noqa: C901, PLR0912, PLR0915 - written out: parts take longer
        self,
        charges: Sequence[Charge],
        *,
        write: bool,
        wait_us: int,
    ) -> list[Decision]:
        """Decide several charges, of which some are new or refused."""
        check_distinct(charges)
        increments = [
            policy.increment_us if cost is None else policy.increment_of(cost)
            for policy, _, cost in charges
        ]
        shelves = self._shelves
        found: list[_Found] = []
        give_back: list[tuple[_Cell, int]] = []
        counted = write
        token = self._token
        try:
            token.take()
        except IndexError:
            token.wait()
        try:
            now = self._clock() // 1000
            for (policy, key, _), increment in zip(charges, increments, strict=True):
                name = policy.name
                shelf = shelves.get(name)
                cell = None if shelf is None else shelf.get(key)
                if cell is None:
                    kept = tat = self._of_others(name, now)
                else:
                    kept = tat = _take(cell)
                    give_back.append((cell, kept))
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
                found.append((policy, key, increment, tat, fits, cell))
                if not fits:
                    counted = counted and policy.dry_run
                    if write and kept > ceiling:
                        # Lower what is further ahead than the limit lets it be: it
                        # was lowered, or the clock went back. Otherwise who waits as
                        # long as told would be told the same again.
                        if cell is None:
                            self._overflow_us[name] = tat
                        else:
                            give_back[-1] = (cell, tat)
            if counted:
                give_back = self._count(found, give_back, now)
        finally:
            for cell, number in give_back:
                cell.append(number)
            token.give_back(None)
        decisions = []
        for policy, key, increment, tat, fits, _ in found:
            if fits:
                after = tat + increment if counted else tat
                decisions.append(Decision(policy, key, True, increment, now, after))
            else:
                decision = Decision(policy, key, policy.dry_run, increment, now, tat)
                decisions.append(decision)
                if write:
                    self.note(decision)
        return decisions

    def refund(self, charge: Charge) -> None:
        """Give back what was counted, for what was not done after all."""
        increment = charge.policy.increment_of(charge.cost)
        if not increment:
            return
        with self._token:
            shelf = self._shelves.get(charge.policy.name, {})
            cell = shelf.get(charge.key)
            if cell is not None:
                now = self._clock() // 1000
                tat = min(_take(cell), now + charge.policy.ceiling_us) - increment
                if tat > now:
                    cell.append(tat)
                else:
                    cell.append(tat)
                    self._drop(charge.policy.name, charge.key)

    def reset(self, policies: Sequence[str], key: str) -> None:
        """Forget a key under policies of these names."""
        with self._token:
            for name in policies:
                self._drop(name, key)

    def reset_all(self, key: str) -> None:
        """Forget a key, or all keys of a person, under all policies: see `is_meant`."""
        with self._token:
            parts = list(self._parts.items())
        for name, each_parts in parts:
            for part in each_parts:
                with self._token:  # for one at a time: nobody waits for all
                    for each in [each for each in part if is_meant(key, each)]:
                        self._drop(name, each)

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

    def _count(
        self, found: list[_Found], give_back: list[tuple[_Cell, int]], now: int
    ) -> list[tuple[_Cell, int]]:
        """Count what fits; return the numbers that are to be given back."""
        numbers = iter(give_back)
        counted = []
        for policy, key, increment, tat, fits, cell in found:
            after = tat + increment
            if cell is not None:
                before = next(numbers)
                counted.append((cell, after) if fits and increment else before)
            elif fits and increment:
                self._keep(policy, key, increment, after, now)
        return counted

    def _of_others(self, name: str, now: int) -> int:
        """Return the number that a new key has: that of the keys without room."""
        if self._size >= self._max_keys and now >= self._next_full_sweep_us:
            self._sweep(now)
        return self._overflow_us.get(name, 0)

    def _keep(
        self, policy: Policy, key: str, increment: int, tat: int, now: int
    ) -> None:
        """Keep a key that is new, or count it with those without room."""
        self._until_sweep -= 1
        if self._until_sweep <= 0:
            self._sweep(now)
        name = policy.name
        if self._size < self._max_keys:
            shelf = self._shelves.get(name)
            if shelf is None:
                shelf = self._shelves[name] = {}
                self._parts[name] = tuple({} for _ in range(_PARTS))
            cell = shelf[key] = [tat]
            self._parts[name][hash(key) % _PARTS][key] = cell
            self._size += 1
        else:
            # Another charge of the same decision may just have been counted there.
            others = min(self._overflow_us.get(name, 0), now + policy.ceiling_us)
            self._overflow_us[name] = max(tat, others + increment)

    def _drop(self, name: str, key: str) -> None:
        """Drop a key, if it is there."""
        cell = self._shelves.get(name, {}).pop(key, None)
        if cell is not None:
            _take(cell)
            self._parts[name][hash(key) % _PARTS].pop(key)
            self._size -= 1

    def _sweep(self, now: int) -> None:
        """Drop what no longer matters in the next part of each policy's keys."""
        place = self._next_part
        self._next_part = (place + 1) % _PARTS
        seen = gone = 0
        for name, parts in self._parts.items():
            shelf, part = self._shelves[name], parts[place]
            seen += len(part)
            old = [
                (key, cell)
                for key, cell in part.items()
                for tat in cell  # none if it is in somebody's hands
                if tat <= now
            ]
            for key, cell in old:
                try:
                    tat = cell.pop()
                except IndexError:  # taken meanwhile: it matters
                    continue
                if tat > now:  # counted meanwhile
                    cell.append(tat)
                else:
                    del shelf[key]
                    del part[key]
                    gone += 1
        self._size -= gone
        self._until_sweep = max(
            self._few - self._size, self._size // _PARTS + _LEAST_BETWEEN_SWEEPS
        )
        is_worth_it = gone * _WORTH > seen
        self._next_full_sweep_us = now + (not is_worth_it) * _BETWEEN_FULL_SWEEPS_US
