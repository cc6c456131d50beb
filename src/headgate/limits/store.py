"""What a store of limits does: the one interface of the memory and the Redis store.

A store keeps one number for each policy and key, GCRA's theoretical arrival time, and
decides all charges of one call or none. `tests/limits/contract.py` holds each
implementation to what is said here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from headgate.limits.decision import Decision
from headgate.limits.policy import Charge, Policy

__all__ = ["Note", "Store", "check_distinct", "ignore"]

# Takes a decision that refuses, or would if its policy were on no dry run.
Note = Callable[[Decision], None]


def ignore(_: Decision) -> None:
    """Note nothing."""


class Store(Protocol):
    """Where limits are counted. Safe for threads and event loops alike."""

    # Whether a decision may wait for another process: then use the async functions
    # on an event loop.
    remote: bool
    # Called with each refusal; the limiter sets it.
    note: Note
    # Decisions made while the store was away, by the names of their policies.
    degraded: Counter[str]

    def decide_one(self, policy: Policy, key: str, cost: int | None = None) -> Decision:
        """Decide one charge and count it if it is allowed."""

    def decide(
        self,
        charges: Sequence[Charge],
        *,
        write: bool = True,
        wait_us: int = 0,
    ) -> list[Decision]:
        """Decide charges of different policies or keys, all or none.

        What is refused changes nothing. With `write` False nothing is counted.
        `wait_us` is how far in the future a charge may be allowed.
        """

    def counted(self, charges: Sequence[Charge]) -> bool:
        """Count charges, all or none, if it is certain at once that all are allowed.

        False where nothing was counted: `decide` says what becomes of them.
        """

    def refund(self, charge: Charge) -> None:
        """Give back what was counted, for what was not done after all."""

    def reset(self, policies: Sequence[str], key: str) -> None:
        """Forget a key under policies of these names."""

    def attempted(self, policy: Policy, key: str, cost: int | None) -> Decision | None:
        """Return a refusal that is certain without waiting, else None."""

    async def adecide_one(
        self, policy: Policy, key: str, cost: int | None = None
    ) -> Decision:
        """`decide_one` from async code."""

    async def adecide(
        self,
        charges: Sequence[Charge],
        *,
        write: bool = True,
        wait_us: int = 0,
    ) -> list[Decision]:
        """`decide` from async code."""

    async def arefund(self, charge: Charge) -> None:
        """`refund` from async code."""

    async def areset(self, policies: Sequence[str], key: str) -> None:
        """`reset` from async code."""

    async def aclose(self) -> None:
        """Let go of what belongs to the running loop."""


def check_distinct(charges: Sequence[Charge]) -> None:
    """Raise `ValueError` where two charges of one decision would share a number."""
    if len(charges) > 1:
        if len({policy.name for policy, _, _ in charges}) == len(charges):
            return
        places = {(policy.name, key) for policy, key, _ in charges}
        if len(places) < len(charges):
            raise ValueError(
                "One decision has the same policy and key twice: add their costs.",
            )
