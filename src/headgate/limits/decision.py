"""What was decided, and what it means for whoever asked.

A decision keeps the moment and the stored number, both in microseconds on the clock
of the store; what people ask of it is computed from those.
"""

from __future__ import annotations

from headgate.limits.policy import Policy, StoreAway

__all__ = ["Decision", "DegradedDecision", "Verdict"]

_US = 1_000_000


class Decision:
    """What one policy says of one key.

    `allowed` is whether it may be done. `tat_us` is the stored number afterwards:
    GCRA's theoretical arrival time, at which the key is as fresh again.
    """

    # Made a million times a second, see `benchmarks/limiter.py`: what is asked of it
    # less often is worked out then.
    __slots__ = ("allowed", "increment_us", "key", "now_us", "policy", "tat_us")

    policy: Policy
    key: str
    allowed: bool
    increment_us: int
    now_us: int
    tat_us: int

    def __init__(
        self,
        policy: Policy,
        key: str,
        allowed: bool,  # noqa: FBT001
        increment_us: int,
        now_us: int,
        tat_us: int,
    ) -> None:
        self.policy = policy
        self.key = key
        self.allowed = allowed
        self.increment_us = increment_us
        self.now_us = now_us
        self.tat_us = tat_us

    def _fields(self) -> tuple[Policy, str, bool, int, int, int]:
        return (
            self.policy,
            self.key,
            self.allowed,
            self.increment_us,
            self.now_us,
            self.tat_us,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Decision):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    @property
    def degraded(self) -> StoreAway | None:
        """How it was decided while the store was away; None when it was there."""
        return None

    def fits_within(self, wait_us: int) -> bool:
        """Whether there is room for it after that wait, by the number as it was."""
        needed_us = self.tat_us + self.increment_us - self.policy.tolerance_us
        return (
            needed_us - wait_us <= self.now_us
            and self.increment_us <= self.policy.tolerance_us
        )

    @property
    def remaining(self) -> int:
        """How much more would be allowed at this moment."""
        policy = self.policy
        left_us = self.now_us + policy.tolerance_us - max(self.tat_us, self.now_us)
        return max(left_us // policy.interval_us, 0)

    @property
    def retry_after_us(self) -> int | None:
        """Microseconds until the same would be allowed: 0 if it is, None if never.

        Exact for who is alone with a key; others may be faster. Never is what costs
        more than the burst. Of what could not be reserved, it is the time until it
        would be allowed at once.
        """
        return 0 if self.allowed else self.wait_us

    @property
    def wait_us(self) -> int | None:
        """The same as if it were refused, which is of use on a dry run."""
        if self.increment_us > self.policy.tolerance_us:
            return None
        base_us = max(self.tat_us, self.now_us)
        return base_us + self.increment_us - self.policy.tolerance_us - self.now_us

    @property
    def retry_after_seconds(self) -> float | None:
        """The same in seconds."""
        wait_us = self.retry_after_us
        return None if wait_us is None else wait_us / _US

    @property
    def retry_after_ms(self) -> int | None:
        """The same in whole milliseconds, rounded up, so that waiting it out helps."""
        wait_us = self.retry_after_us
        return None if wait_us is None else -(-wait_us // 1000)

    @property
    def reset_after_seconds(self) -> float:
        """How long until the key has its whole burst again."""
        return max(self.tat_us - self.now_us, 0) / _US

    @property
    def next_after_seconds(self) -> float:
        """How long until one more is left than now; 0 where nothing is missing."""
        policy = self.policy
        used_us = max(self.tat_us - self.now_us, 0)
        if not used_us:
            return 0.0
        # What is reserved beyond the burst has to come back first.
        beyond_us = max(used_us - policy.tolerance_us, 0)
        used_us -= beyond_us
        return (beyond_us + (used_us - 1) % policy.interval_us + 1) / _US

    @property
    def delay_seconds(self) -> float:
        """How long to wait with what `reserve` allowed."""
        return max(self.tat_us - self.policy.tolerance_us - self.now_us, 0) / _US

    def __repr__(self) -> str:
        word = "allowed" if self.allowed else f"retry in {self.retry_after_ms} ms"
        return f"<Decision {self.policy.name} {self.key!r}: {word}>"


class Allowed(Decision):
    """A decision whose fields are set by whoever makes it, without a call for that."""

    __slots__ = ()

    __init__ = object.__init__


class DegradedDecision(Decision):
    """A decision made while the store was away, as the policy's `store_away` says."""

    __slots__ = ("_degraded",)

    _degraded: StoreAway

    @classmethod
    def of(cls, decision: Decision, degraded: StoreAway) -> DegradedDecision:
        """Return the same decision, made in that way."""
        found = cls(*decision._fields())
        found._degraded = degraded
        return found

    @property
    def degraded(self) -> StoreAway:
        """How it was decided while the store was away."""
        return self._degraded


class Verdict:
    """What several policies say together: all or none.

    `decisions` has one for each charge, in their order.
    """

    __slots__ = ("allowed", "decisions")

    def __init__(self, decisions: list[Decision]) -> None:
        self.decisions = decisions
        self.allowed = True
        for each in decisions:
            if not each.allowed:
                self.allowed = False

    @property
    def refused(self) -> Decision | None:
        """The refusal with the longest wait; when that is over, all allow it."""
        if self.allowed:
            return None
        refusals = [each for each in self.decisions if not each.allowed]
        return refusals[0] if len(refusals) == 1 else max(refusals, key=_wait_us)

    def __repr__(self) -> str:
        return f"<Verdict {self.decisions!r}>"


def _wait_us(refusal: Decision) -> float:
    wait_us = refusal.retry_after_us
    return float("inf") if wait_us is None else wait_us
