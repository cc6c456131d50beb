"""The limits of single people, as the admin has set them, kept in memory.

Read once and again when they change: in this process at once, in others when the
notice of it is read, and every two seconds at the latest while anybody comes in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from headgate.chat.models import LimitOverride

__all__ = ["Overrides", "overrides"]

logger = logging.getLogger("headgate.overrides")

FRESH_SECONDS = 2.0
MAX_ROWS = 20_000

_NOTHING: Mapping[str, str] = MappingProxyType({})

_Rows = list[tuple[str, str, str]]  # account, policy, rate
_Read = Callable[[Callable[[], _Rows]], Awaitable[_Rows]]


class Overrides:
    """Rates by account and policy.

    `version` changes with each change of them.
    """

    def __init__(self) -> None:
        self._rates: dict[str, dict[str, str]] = {}
        self._read_at: float | None = None
        self._begun = self._done = 0  # looks, by their numbers
        self.version = 0

    def of(self, account: str) -> Mapping[str, str]:
        """Return the rates of an account, by policy, such as {"send": "5/s"}."""
        return self._rates.get(account, _NOTHING)

    async def refresh(self, read: _Read, *, now: bool = False) -> None:
        """Read them again if they may have changed, or with `now` in any case.

        `read` runs a function that asks the database; what it raises is raised.
        """
        read_at = self._read_at
        fresh = read_at is not None and time.monotonic() - read_at < FRESH_SECONDS
        if fresh and not now:
            return
        self._read_at = time.monotonic()  # who comes meanwhile need not read, too
        self._begun += 1
        number = self._begun
        try:
            rows = await read(_rows)
            if number > self._done:  # a later look may have been faster
                self._done = number
                self.set(rows)
        except BaseException:
            self._read_at = None
            raise

    def outdate(self) -> None:
        """Have them read at the next chance."""
        self._read_at = None

    def set(self, rows: _Rows) -> None:
        """Take over rows of account, policy and rate."""
        found: dict[str, dict[str, str]] = {}
        for account, policy, rate in rows:
            found.setdefault(account, {})[policy] = rate
        if found != self._rates:
            self._rates = found
            self.version += 1


_overrides = Overrides()


def overrides() -> Overrides:
    """Return those of this process."""
    return _overrides


def _rows() -> _Rows:
    """Ask the database."""
    rows = LimitOverride.objects.order_by("pk")
    found = list(rows.values_list("author_key", "policy", "rate")[: MAX_ROWS + 1])
    if len(found) > MAX_ROWS:
        logger.warning("too_many_overrides rows_in_force=%d", MAX_ROWS)
    return found[:MAX_ROWS]
