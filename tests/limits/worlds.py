"""Stores whose time the tests decide.

The Redis one runs the same script, but for two things: its `now` comes with the
question, and keys outlive the test, since Redis would expire them by its own clock.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from typing import Any

from headgate.limits import Charge, Decision, Limiter, MemoryStore, Policy
from headgate.limits.deny_cache import DenyCache
from headgate.limits.redis import RedisStore

__all__ = ["EXTRA_MS", "Clock", "TimedRedis", "World", "policy"]

START_US = 1_800_000_000_000_000  # in the year 2027, as a server's clock has it
EXTRA_MS = 3_600_000  # how much longer keys are kept there than they need to be

_numbers = itertools.count()


class Clock:
    """Nanoseconds that only the test moves."""

    def __init__(self, now_us: int = START_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us * 1000

    def step(self, us: int) -> None:
        """Go forward, or back."""
        self.now_us += us


class TimedRedis(RedisStore):
    """A Redis store on the test's clock."""

    def __init__(self, url: str, **options: Any) -> None:
        self.clock = Clock()
        super().__init__(url, **({"timeout_seconds": 10.0} | options))
        self.remembers = True
        self.fresh(Clock())

    def fresh(self, clock: Clock) -> None:
        """Begin anew: other keys, another clock."""
        self._prefix = f"test{random.getrandbits(48)}-{next(_numbers)}"
        self.clock = clock
        self._denied = DenyCache(clock=clock)

    def _text(self) -> str:
        script = super()._text()
        for old, new in (
            ("local time = redis.call('TIME')\n", ""),
            ("time[1] * 1000000 + time[2]", "tonumber(ARGV[#ARGV])"),
            ("'PX', math.ceil(", f"'PX', {EXTRA_MS} + math.ceil("),
        ):
            assert script.count(old) == 1
            script = script.replace(old, new)
        return script

    def _arguments(
        self, operation: str, charges: Sequence[Charge], wait_us: int
    ) -> list[str | int]:
        if not self.remembers:
            self._denied = DenyCache(clock=self.clock)
        now_us = self.clock.now_us
        return [*super()._arguments(operation, charges, wait_us), now_us]

    def _prepared(self, *args: Any, **more: Any) -> list[Decision] | None:
        if not self.remembers:
            self._denied = DenyCache(clock=self.clock)
        return super()._prepared(*args, **more)

    def snapshot(self) -> dict[str, str]:
        """Return all that is stored."""
        found: dict[str, str] = {}
        for name in self._client.scan_iter(f"{self._prefix}:*"):
            found[name.decode()] = self._client.get(name).decode()  # type: ignore[union-attr]
        return found

    def ttls_ms(self) -> list[int]:
        """Return how long each key is kept, of what it needs to be."""
        names = list(self._client.scan_iter(f"{self._prefix}:*"))
        return [int(self._client.pttl(name)) - EXTRA_MS for name in names]  # type: ignore[arg-type]


class World:
    """A limiter, its store and its clock; made anew by `fresh`."""

    def __init__(self, redis: TimedRedis | None) -> None:
        self._redis = redis
        self.fresh()

    def fresh(self, *, max_keys: int = 200_000) -> World:
        """Begin anew, with the deny cache out of the way."""
        self.clock = Clock()
        self.store: MemoryStore | TimedRedis
        if self._redis is None:
            self.store = MemoryStore(max_keys=max_keys, clock=self.clock)
        else:
            self._redis.fresh(self.clock)
            self._redis.remembers = False
            self.store = self._redis
        self.limiter = Limiter(self.store)
        return self

    def ask(self, policy: Policy, key: str = "k", cost: int | None = 1) -> Decision:
        """Decide one charge."""
        return self.limiter.decide_one(policy, key, cost)

    def look(self, policy: Policy, key: str = "k", cost: int | None = 1) -> Decision:
        """Return what would be decided."""
        return self.limiter.peek([Charge(policy, key, cost)]).decisions[0]

    def snapshot(self) -> object:
        """Return all that is stored."""
        if isinstance(self.store, TimedRedis):
            return self.store.snapshot()
        found: dict[str, int] = {}
        found |= {name: tat for name, tat in self.store._overflow_us.items() if tat}
        for name, shelf in self.store._shelves.items():
            found |= {f"{name}:{key}": tat for key, [tat] in shelf.items()}
        return found


def policy(rate: str = "10/s", burst: int | None = None, **more: Any) -> Policy:
    """Return a policy whose name does not matter."""
    return Policy(more.pop("name", "p"), rate, burst, **more)


def eventually(found: Any, *, limit_seconds: float = 20.0) -> None:
    """Wait until a call returns something true."""
    until = time.monotonic() + limit_seconds
    while not found():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
