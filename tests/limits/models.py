"""What the limiter is compared with: a token bucket in exact fractions.

It is written from the promise and not from the code: tokens that come back one in
each interval, up to the burst, and no theoretical arrival time.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from headgate.limits import Policy, Rate
from headgate.limits.policy import MAX_SPAN_US

__all__ = ["FREELY", "Bucket", "check_window", "costs", "gaps", "policies", "traces"]

# One world serves all examples of a test, and each makes it anew itself. The machine
# may be busy.
FREELY = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
YEAR_US = 365 * 86_400 * 1_000_000


@dataclass
class Bucket:
    """Tokens of one key, as they were at its last change; None if it never did."""

    tokens: Fraction | None = None
    at_us: int = 0

    def level(self, policy: Policy, now_us: int) -> Fraction:
        """Return the tokens at a moment: never less than none nor more than all."""
        if self.tokens is None:
            return Fraction(policy.burst)
        come = Fraction(now_us - self.at_us, policy.interval_us)
        return min(max(self.tokens + come, Fraction(0)), Fraction(policy.burst))

    def take(self, policy: Policy, cost: int, now_us: int) -> None:
        """Change the tokens by a cost, or by a negative one give back."""
        if cost:
            level = self.level(policy, now_us) - cost
            self.tokens, self.at_us = level, now_us
            if level >= policy.burst:
                self.tokens = None

    def wait_us(self, policy: Policy, cost: int, now_us: int) -> int | None:
        """Return when a cost is there: 0 for now, None for never."""
        if cost > policy.burst:
            return None
        missing = cost - self.level(policy, now_us)
        return max(0, -(-(missing * policy.interval_us) // 1))


def check_window(
    admitted: list[tuple[int, int]], policy: Policy, extra: int = 0
) -> None:
    """Hold every interval of (moment, cost) pairs against burst + time x rate."""
    sums = [0]
    for _, cost in admitted:
        sums.append(sums[-1] + cost)
    nominal = Fraction(policy.rate.count) / Fraction(
        round(policy.rate.period_seconds * 1_000_000),
    )
    for first, last in combinations_with_replacement(range(len(admitted)), 2):
        span = admitted[last][0] - admitted[first][0]
        let_in = sums[last + 1] - sums[first]
        assert let_in <= policy.burst + extra + span * nominal


@st.composite
def policies(
    draw: st.DrawFn, *, most_burst: int = 1_000_000, name: str = "p"
) -> Policy:
    """Rates of 1 to a million in 1 ms to a year, and bursts that fit."""
    period_ms = draw(
        st.sampled_from([1, 3, 7, 1000, 2000, 60_000, 86_400_000, YEAR_US // 1000])
        | st.integers(1, 10_000),
    )
    count = draw(st.integers(1, min(1_000_000, period_ms * 1000)))
    rate = Rate(count, period_ms / 1000, 1)
    most = max(1, min(most_burst, MAX_SPAN_US // rate.interval_us))
    burst = draw(st.integers(1, min(5, most)) | st.integers(1, most))
    return Policy(name, rate, burst)


def gaps(policy: Policy) -> st.SearchStrategy[int]:
    """Times between asks that matter: about none, an interval, the whole burst."""
    interval = policy.interval_us
    edges = [0, 0, 1, interval - 1, interval, interval + 1, policy.tolerance_us]
    return st.sampled_from(edges) | st.integers(0, 3 * interval)


def costs(policy: Policy) -> st.SearchStrategy[int]:
    """Costs that matter: nothing, one, the burst, and more than that."""
    burst = policy.burst
    return st.sampled_from([0, 1, 1, 1, burst, burst + 1]) | st.integers(0, burst)


def traces(policy: Policy, most: int = 25) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Lists of a time to wait and a cost to ask for."""
    return st.lists(st.tuples(gaps(policy), costs(policy)), max_size=most)
