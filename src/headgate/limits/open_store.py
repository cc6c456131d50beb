"""The store of those who have switched limits off: everything is allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from headgate.limits.decision import Decision
from headgate.limits.policy import Charge, Policy
from headgate.limits.store import Note, check_distinct, ignore

__all__ = ["OpenStore"]


class OpenStore:
    """Allows everything and counts nothing; see `Store`."""

    remote = False

    def __init__(self) -> None:
        self.note: Note = ignore
        self.degraded: Counter[str] = Counter()

    def decide_one(self, policy: Policy, key: str, cost: int | None = None) -> Decision:
        """Allow one charge."""
        return Decision(policy, key, True, policy.increment_of(cost), 0, 0)

    def decide(
        self,
        charges: Sequence[Charge],
        *,
        write: bool = True,  # noqa: ARG002 - the interface's
        wait_us: int = 0,  # noqa: ARG002 - the same
    ) -> list[Decision]:
        """Allow charges."""
        check_distinct(charges)
        return [self.decide_one(*charge) for charge in charges]

    def counted(self, charges: Sequence[Charge]) -> bool:
        """Return True: everything is allowed."""
        check_distinct(charges)
        return True

    def refund(self, charge: Charge) -> None:
        """Do nothing: nothing was counted."""

    def reset(self, policies: Sequence[str], key: str) -> None:
        """Do nothing: nothing was counted."""

    def attempted(self, policy: Policy, key: str, cost: int | None) -> Decision | None:
        """Return None: nothing is refused."""

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

    async def areset(self, policies: Sequence[str], key: str) -> None:
        """`reset` from async code."""

    async def aclose(self) -> None:
        """Do nothing: there is nothing to let go of."""
