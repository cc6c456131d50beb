"""What is decided while the shared store is away: as each policy says.

`local`: this process's share of the limit, in memory. `open`: yes. `closed`: no, with
the time at which the store is tried again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from headgate.limits.decision import Decision, DegradedDecision
from headgate.limits.memory import MemoryStore
from headgate.limits.policy import Charge, Policy
from headgate.limits.rates import Rate
from headgate.limits.store import Note, ignore

__all__ = ["Away"]


class Away:
    """Decides without the store.

    Args:
        processes: How many processes share the limits: each has that part of them, so
            that together they let through no more than the limit. Where the part is
            less than one charge, each may still do one at a time.
        count: Counts decisions, by the names of their policies.
        note: Called with each refusal, as a store's `note`.
    """

    def __init__(
        self, processes: int, count: Counter[str], note: Note = ignore
    ) -> None:
        self._processes = processes
        self._count = count
        self._note = note
        self._share = MemoryStore()
        self._share.note = note

    def decide(
        self,
        charges: Sequence[Charge],
        *,
        write: bool,
        wait_us: int,
        retry_seconds: float,
    ) -> list[Decision]:
        """Decide charges, all or none.

        Args:
            charges: What is to be decided.
            write: Whether what is allowed counts.
            wait_us: How far in the future it may be allowed.
            retry_seconds: When what is closed may be asked again.
        """
        closed = any(
            each.policy.store_away == "closed" and not each.policy.dry_run
            for each in charges
        )
        local = [each for each in charges if each.policy.store_away == "local"]
        shares = [
            Charge(_share(each.policy, self._processes, each.cost), *each[1:])
            for each in local
        ]
        decided = self._share.decide(
            shares, write=write and not closed, wait_us=wait_us
        )
        by_place = {(each.policy.name, each.key): each for each in decided}
        found: list[Decision] = []
        for policy, key, cost in charges:
            self._count[policy.name] += 1
            increment = policy.increment_of(cost)
            if policy.store_away == "local":
                decision = by_place[policy.name, key]
            else:
                decision = Decision(policy, key, True, increment, 0, 0)
                if policy.store_away == "closed" and not policy.dry_run:
                    # The number at which it is allowed after that time.
                    wait = round(retry_seconds * 1_000_000)
                    tat = policy.tolerance_us - increment + wait
                    decision = Decision(policy, key, False, increment, 0, tat)
                    if write:
                        self._note(decision)
            found.append(DegradedDecision.of(decision, policy.store_away))
        return found


@lru_cache(maxsize=1024)
def _share(policy: Policy, processes: int, cost: int | None) -> Policy:
    """Return one process's part of a policy: at least what is asked for at once."""
    rate = policy.rate
    needed = policy.cost if cost is None else cost
    burst = min(policy.burst, max(1, needed, policy.burst // processes))
    part = Rate(rate.count, rate.period_seconds * processes, burst)
    # Up to the same ceiling, whatever it costs: nobody's number is cut short.
    beyond_us = (policy.burst - burst) * part.interval_us
    return Policy(
        policy.name,
        part,
        key=policy.key,
        cost=policy.cost,
        past=policy.past,
        dry_run=policy.dry_run,
        longest_wait_seconds=policy.longest_wait_seconds + beyond_us / 1_000_000,
    )
