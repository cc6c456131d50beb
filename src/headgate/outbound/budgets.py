"""What a bot may be called, and may cost, by one person and in one room.

Counted by the limiter that the chat uses, as the policies `bot.<name>.user`,
`bot.<name>.room`, `bot.<name>.cost.user` and `bot.<name>.cost.room`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from django.core.exceptions import ImproperlyConfigured

from headgate.contrib.shared import limiter
from headgate.limits.decision import Decision
from headgate.limits.policy import MAX_COST, Charge, Policy
from headgate.limits.rates import Rate

__all__ = ["Budgets", "Spent", "waiting_words"]

KINDS = ("user", "room", "cost.user", "cost.room")
# What one call costs is known after it. So far may it put somebody into debt.
DEBT_SECONDS = 30 * 86_400.0
NEVER_SECONDS = 86_400.0  # told where waiting would not help

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


class Spent:
    """A budget that is spent.

    Attributes:
        by: `user` or `room`: whose it is.
        wait_seconds: After which there is some again.
    """

    def __init__(self, by: str, wait_seconds: float) -> None:
        self.by = by
        self.wait_seconds = wait_seconds


class Budgets:
    """The budgets of one bot.

    Args:
        bot: Its name.
        limits: Rates by what they limit, one of `user`, `room`, `cost.user` and
            `cost.room`.

    Raises:
        ImproperlyConfigured: One of them is none.
    """

    def __init__(self, bot: str, limits: Mapping[str, str]) -> None:
        unknown = sorted(set(limits) - set(KINDS))
        if unknown:
            raise ImproperlyConfigured(
                f"limits of the bot {bot!r}: there is no {unknown[0]!r} to limit; "
                f"there are {', '.join(KINDS)}.",
            )
        self._bot = bot
        self._calls: dict[str, Policy] = {}
        self._costs: dict[str, Policy] = {}
        self._debts: dict[str, Policy] = {}  # the same, where a cost is counted
        for kind, rate in limits.items():
            name, by = f"bot.{bot}.{kind}", kind.removeprefix("cost.")
            try:
                if kind == by:
                    self._calls[by] = Policy(name, rate, key=by)
                else:
                    self._costs[by] = _with_debt(Policy(name, rate, key=by))
                    self._debts[by] = _debt(self._costs[by])
            except ValueError as exc:
                raise ImproperlyConfigured(
                    f"limits of the bot {bot!r}: {kind}: {exc}",
                ) from None

    @property
    def limits_anything(self) -> bool:
        """Whether there is any budget."""
        return bool(self._calls or self._costs)

    async def admit(self, user: str, room: str) -> Spent | None:
        """Count one call, or return the budget that is spent. Nothing is counted then.

        Args:
            user: The key of who asks.
            room: The room's slug.
        """
        left = self._charges(self._costs, user, room, cost=1)
        if left:
            refused = (await limiter().apeek(left)).refused
            if refused is not None:
                return _spent(refused)
        calls = self._charges(self._calls, user, room)
        refused = (await limiter().adecide(calls)).refused if calls else None
        return None if refused is None else _spent(refused)

    async def refund(self, user: str, room: str) -> None:
        """Give back a call that was counted, and will be made again."""
        for each in self._charges(self._calls, user, room):
            await limiter().arefund(*each)

    async def charge(self, cost: int, user: str, room: str) -> None:
        """Count what a call has cost, even where that is more than is left."""
        charges = [
            Charge(policy, key, min(cost, policy.burst))
            for policy, key, _ in self._charges(self._debts, user, room)
        ]
        for each in charges if cost else ():
            await limiter().adecide([each])

    async def is_to_be_told(self, user: str, room: str, wait_seconds: float) -> bool:
        """Return whether somebody has not been told yet to wait this time."""
        window = Rate(1, float(ceil(wait_seconds)), 1)
        policy = Policy(f"bot.{self._bot}.told", window, key="user and room")
        key = f"{self._key(user)}/{room}"
        return (await limiter().adecide([Charge(policy, key)])).allowed

    def _charges(
        self,
        policies: Mapping[str, Policy],
        user: str,
        room: str,
        *,
        cost: int | None = None,
    ) -> list[Charge]:
        whose = {"user": user, "room": room}
        return [
            Charge(policy, self._key(whose[by]), cost)
            for by, policy in policies.items()
        ]

    def _key(self, whose: str) -> str:
        """Return a key, in one slot of a Redis Cluster with the bot's others."""
        return f"{{{self._bot}}}:{whose}"


def waiting_words(seconds: float) -> str:
    """Return a wait in words, rounded up: `12 minutes`."""
    whole = max(1, ceil(seconds))
    size, unit = next(each for each in _UNITS if whole >= each[0])
    count = ceil(whole / size)
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _with_debt(policy: Policy) -> Policy:
    """Return a policy whose keys may be so far ahead, and are refused meanwhile."""
    return Policy(
        policy.name,
        policy.rate,
        key=policy.key,
        longest_wait_seconds=DEBT_SECONDS,
    )


def _debt(policy: Policy) -> Policy:
    """Return a policy that counts on the same number, and lets people go into debt."""
    burst = min(policy.ceiling_us // policy.interval_us, MAX_COST)
    return Policy(policy.name, policy.rate, burst, key=policy.key)


def _spent(refused: Decision) -> Spent:
    wait = refused.retry_after_seconds
    by = refused.policy.key
    return Spent(by, NEVER_SECONDS if wait is None else wait)
