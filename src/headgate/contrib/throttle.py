"""Policies that are decided together, on the limiter of this process.

All that this package offers asks here: a WebSocket's message, a request, a frame that
goes out.
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate.contrib import shared
from headgate.limits.decision import Verdict
from headgate.limits.limiter import Limiter
from headgate.limits.open_store import OpenStore
from headgate.limits.policy import Charge, Policy

__all__ = ["Throttle", "delay_seconds"]


class Throttle:
    """One or more policies: all allow it, or it counts nowhere.

    Each question returns None where there is nothing to ask: the key is None, or
    limits are switched off.

    Args:
        policies: With names of their own.
        limiter: Who decides; that of the process, as it is at that moment, if it is
            left out.
    """

    __slots__ = ("_given", "_wait_us", "policies")

    def __init__(
        self, policies: Sequence[Policy], limiter: Limiter | None = None
    ) -> None:
        if limiter is not None and not isinstance(limiter, Limiter):
            raise TypeError(f"limiter={limiter!r}: a headgate.limits.Limiter.")
        self.policies = tuple(policies)
        self._given = limiter
        longest = min(policy.longest_wait_seconds for policy in self.policies)
        self._wait_us = round(longest * 1_000_000)

    @property
    def limiter(self) -> Limiter:
        """Who decides."""
        return self._given or shared.limiter()

    def decide(self, key: str | None) -> Verdict | None:
        """Count one if there is room for it."""
        limiter = self._asked(key)
        if limiter is None or key is None:
            return None
        if len(self.policies) == 1:
            return Verdict([limiter.decide_one(self.policies[0], key)])
        return limiter.decide(self._charges(key))

    async def adecide(self, key: str | None) -> Verdict | None:
        """Decide as `decide` does, from async code: nothing blocks the loop."""
        limiter = self._asked(key)
        if limiter is None or key is None:
            return None
        if not limiter.remote:
            return self.decide(key)
        if len(self.policies) == 1:
            return Verdict([await limiter.adecide_one(self.policies[0], key)])
        return await limiter.adecide(self._charges(key))

    async def areserve(self, key: str | None) -> Verdict | None:
        """Take the next place, now or later: see `delay_seconds`.

        The policies' longest wait is the longest that anybody waits.
        """
        limiter = self._asked(key)
        if limiter is None or key is None:
            return None
        store, charges = limiter.store, self._charges(key)
        if limiter.remote:
            return Verdict(await store.adecide(charges, wait_us=self._wait_us))
        return Verdict(store.decide(charges, wait_us=self._wait_us))

    def refund(self, key: str) -> None:
        """Give back what was counted, for what was not done after all."""
        for policy in self.policies:
            self.limiter.refund(policy, key)

    async def arefund(self, key: str) -> None:
        """Give back as `refund` does, from async code."""
        limiter = self.limiter
        if not limiter.remote:
            self.refund(key)
            return
        for policy in self.policies:
            await limiter.arefund(policy, key)

    def _asked(self, key: str | None) -> Limiter | None:
        if key is None:
            return None
        limiter = self.limiter
        return None if isinstance(limiter.store, OpenStore) else limiter

    def _charges(self, key: str) -> list[Charge]:
        return [Charge(policy, key) for policy in self.policies]


def delay_seconds(verdict: Verdict | None) -> float:
    """Return how long to hold what `areserve` allowed; a dry run holds nothing."""
    if verdict is None:
        return 0.0
    told = [each for each in verdict.decisions if not each.policy.dry_run]
    return max((each.delay_seconds for each in told), default=0.0)
