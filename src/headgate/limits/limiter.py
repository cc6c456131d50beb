"""The limiter: what everybody calls, on a store of one process or of many.

    limiter = Limiter()
    send = Policy("send", "1/s:10")
    decision = limiter.decide_one(send, "u:5")
    if not decision.allowed:
        ...  # wait decision.retry_after_seconds

Each function has a twin for async code, with an `a` before its name, on the same
state. On a `MemoryStore` none of them waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from headgate.limits.decision import Decision, Verdict
from headgate.limits.memory import MemoryStore
from headgate.limits.open_store import OpenStore
from headgate.limits.policy import Charge, Policy
from headgate.limits.refusals import Refusals
from headgate.limits.store import Store

__all__ = ["Limiter"]


class _DecideOne(Protocol):
    def __call__(
        self, policy: Policy, key: str, cost: int | None = None, /
    ) -> Decision: ...


class _ADecideOne(Protocol):
    def __call__(
        self, policy: Policy, key: str, cost: int | None = None, /
    ) -> Awaitable[Decision]: ...


class Limiter:
    """Decides whether something may be done now.

    Args:
        store: Where it is counted; in this process if it is left out.
        refusals: Where refusals are noted, for people who ask who is refused.

    `decide_one(policy, key, cost=None)` decides one charge, `adecide_one` the same
    from async code.

    Attributes:
        store: Where it is counted.
        refusals: Where refusals are noted.
        remote: Whether a decision may wait for another process.
        off: Whether nothing is limited.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        refusals: Refusals | None = None,
    ) -> None:
        self.store: Store = MemoryStore() if store is None else store
        self.refusals = Refusals() if refusals is None else refusals
        # No function of ours around the most frequent call.
        self.decide_one: _DecideOne = self.store.decide_one
        self.adecide_one: _ADecideOne = self.store.adecide_one
        self.store.note = self.refusals.note
        self.remote = self.store.remote
        self.off = isinstance(self.store, OpenStore)

    def decide(self, charges: Sequence[Charge]) -> Verdict:
        """Decide several charges, all or none; what is refused counts nowhere.

        Raises:
            ValueError: Two of them have the same policy and key, or a cost is no
                whole number from 0 to a billion.
        """
        return Verdict(self.store.decide(charges))

    async def adecide(self, charges: Sequence[Charge]) -> Verdict:
        """Decide as `decide` does, from async code."""
        return Verdict(await self.store.adecide(charges))

    def peek(self, charges: Sequence[Charge]) -> Verdict:
        """Return what would be decided, and what is left, without counting it."""
        return Verdict(self.store.decide(charges, write=False))

    async def apeek(self, charges: Sequence[Charge]) -> Verdict:
        """Look as `peek` does, from async code."""
        return Verdict(await self.store.adecide(charges, write=False))

    def reserve(
        self,
        policy: Policy,
        key: str,
        cost: int | None = None,
        *,
        max_wait_seconds: float | None = None,
    ) -> Decision:
        """Take the next free place, now or later.

        What is allowed is counted at once and may be done after
        `decision.delay_seconds`; first come, first served. Give it back with `refund`
        if it is not done. So no more than `rate * max_wait_seconds` can wait.

        Args:
            policy: With the `longest_wait_seconds` that anybody may wait.
            key: Whose it is.
            cost: The policy's own if it is left out.
            max_wait_seconds: The longest wait that is of use, up to the policy's,
                which it is if it is left out.

        Raises:
            ValueError: The wait is longer than the policy's.
        """
        wait_us = _wait_us(policy, max_wait_seconds)
        charge = Charge(policy, key, cost)
        return self.store.decide([charge], wait_us=wait_us)[0]

    async def areserve(
        self,
        policy: Policy,
        key: str,
        cost: int | None = None,
        *,
        max_wait_seconds: float | None = None,
    ) -> Decision:
        """Take a place as `reserve` does, from async code."""
        wait_us = _wait_us(policy, max_wait_seconds)
        charge = Charge(policy, key, cost)
        return (await self.store.adecide([charge], wait_us=wait_us))[0]

    def refund(self, policy: Policy, key: str, cost: int | None = None) -> None:
        """Give back what was counted, for what was certainly not done."""
        self.store.refund(Charge(policy, key, cost))

    async def arefund(self, policy: Policy, key: str, cost: int | None = None) -> None:
        """Give back as `refund` does, from async code."""
        await self.store.arefund(Charge(policy, key, cost))


def _wait_us(policy: Policy, max_wait_seconds: float | None) -> int:
    """Return a wait in microseconds, no longer than the policy lets anybody wait."""
    longest = policy.longest_wait_seconds
    if max_wait_seconds is None:
        max_wait_seconds = longest
    if not 0 <= max_wait_seconds <= longest:
        raise ValueError(
            f"max_wait_seconds={max_wait_seconds!r}: {policy.name} lets nobody wait "
            f"longer than its longest_wait_seconds, {longest}.",
        )
    return round(max_wait_seconds * 1_000_000)
