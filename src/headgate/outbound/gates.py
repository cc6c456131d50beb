"""Whether a destination may be called now: pure functions over what its row says.

In this order: it is enabled and not paused; the service asked nobody to wait; the
breaker is closed, or it is time for its one probe; few enough calls are on their way;
the rate; the cost budget; the budget of retries. All is decided for the destination as
a whole and under its row's lock, so a delivery that must wait is not touched.

The rate is GCRA, as in `headgate.limits`: one number, the time at which all that went
will be paid for. It is kept in seconds and counted in whole microseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from headgate.limits.rates import Rate
from headgate.outbound.calls import Outcome

__all__ = ["Gates", "Opening", "after_call", "after_leases", "opening", "probe_ended"]

# The breaker opens when this part of the calls of a window failed.
FAILING_RATIO = 0.5
WINDOW_SECONDS = 30.0
WINDOW_MIN_CALLS = 10  # fewer say nothing
FIRST_OPEN_SECONDS = 4.0  # then twice as long each time
LONGEST_OPEN_SECONDS = 300.0
MAX_DOUBLINGS = 7  # more are past the longest
# How long a probe is waited for, and a lease lasts, past the time limit of a call.
GRACE_SECONDS = 30.0
# Of retries: what each call that is none adds, what time adds, and the most there is.
# One that succeeds gives its token back, so that only those that fail are held back.
RETRY_SHARE = 0.1
RETRY_TRICKLE_PER_SECOND = 0.1
MOST_RETRY_TOKENS = 10.0
# How long everybody waits who was throttled without being told how long, about.
THROTTLED_SECONDS = 5.0
# And at least, whatever was asked: a throttled call is no attempt, so a service that
# says 0 would be called without end.
LEAST_THROTTLED_SECONDS = 1.0
FAILING_LIMIT_SECONDS = 5 * 86_400.0  # without one success; then it is disabled

GONE = "The service answered 410: it wants no calls any more."
FAILED_FOR_DAYS = "Nothing could be delivered for 5 days."


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """The columns of a destination's row that decide, under their names there."""

    enabled: bool = True
    paused: bool = False
    disabled_reason: str = ""
    concurrency: int = 8
    timeout_seconds: float = 15.0
    rate: Rate | None = None
    cost_budget: Rate | None = None
    not_before: float = 0.0
    rate_tat: float = 0.0
    cost_tat: float = 0.0
    retry_tokens: float = MOST_RETRY_TOKENS
    retry_at: float = 0.0
    breaker_until: float = 0.0
    breaker_opened: int = 0
    probe_until: float = 0.0
    window_at: float = 0.0
    window_calls: int = 0
    window_failures: int = 0
    failing_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What may be leased now.

    Attributes:
        calls: How many calls.
        retries: How many of them may be retries.
        probe: Whether the one call tells if the service is back.
        look_at: When more may go than these, or infinity where no time says it.
    """

    calls: int = 0
    retries: int = 0
    probe: bool = False
    look_at: float = math.inf


def in_reach(gates: Gates, now: float) -> Gates:
    """Return the gates with no more paid ahead than by this rate and this clock."""
    if gates.rate is None:
        return gates
    furthest = now + gates.rate.burst * gates.rate.interval_us / 1e6
    return replace(gates, rate_tat=min(gates.rate_tat, furthest))


def opening(gates: Gates, now: float, *, leased: int) -> Opening:
    """Return what may be leased, where so many calls are on their way."""
    if not gates.enabled or gates.paused:
        return Opening()
    if gates.not_before > now:
        return Opening(look_at=gates.not_before)
    probe = gates.breaker_opened > 0
    shut_until = max(gates.breaker_until, gates.probe_until)
    if probe and shut_until > now:
        return Opening(look_at=shut_until)
    calls, look_at = gates.concurrency - leased, math.inf
    if gates.rate is not None:
        by_rate, look_at = _by_rate(gates.rate, gates.rate_tat, now)
        calls = min(calls, by_rate)
    if gates.cost_budget is not None:
        paid_at = _paid_at(gates.cost_budget, gates.cost_tat)
        if paid_at > now:
            return Opening(look_at=paid_at)
    if probe:
        # A probe may be a retry whatever was retried: else nothing would close it.
        return Opening(
            calls=max(0, min(calls, 1)), retries=1, probe=True, look_at=look_at
        )
    retries = int(_retry_tokens(gates, now))
    return Opening(calls=max(0, calls), retries=retries, look_at=look_at)


def _by_rate(rate: Rate, tat: float, now: float) -> tuple[int, float]:
    """Return how many may go, and when one more may."""
    interval, now_us = rate.interval_us, _us(now)
    ahead = max(_us(tat), now_us) - now_us
    count = max(0, (rate.burst * interval - ahead) // interval)
    next_us = now_us + ahead - (rate.burst - count - 1) * interval
    return count, next_us / 1e6


def _paid_at(budget: Rate, tat: float) -> float:
    """Return when a budget lets a call go: as soon as anything of it is left."""
    return (_us(tat) - (budget.burst * budget.interval_us - 1)) / 1e6


def _retry_tokens(gates: Gates, now: float) -> float:
    came = max(0.0, now - gates.retry_at) * RETRY_TRICKLE_PER_SECOND
    return min(MOST_RETRY_TOKENS, gates.retry_tokens + came)


def after_leases(
    gates: Gates, now: float, *, calls: int, retries: int, probe: bool
) -> Gates:
    """Return the gates after calls were leased; no more than the opening said."""
    if calls == 0:
        return gates
    tokens = _retry_tokens(gates, now) - retries + (calls - retries) * RETRY_SHARE
    gates = replace(
        gates,
        retry_tokens=max(0.0, min(MOST_RETRY_TOKENS, tokens)),
        retry_at=max(now, gates.retry_at),
    )
    if gates.rate is not None:
        tat = _charged(gates.rate, gates.rate_tat, now, calls)
        gates = replace(gates, rate_tat=tat)
    if probe:
        until = now + gates.timeout_seconds + GRACE_SECONDS
        gates = replace(gates, probe_until=until)
    return gates


def _charged(rate: Rate, tat: float, now: float, count: int) -> float:
    return (max(_us(tat), _us(now)) + count * rate.interval_us) / 1e6


def after_call(
    gates: Gates,
    now: float,
    outcome: Outcome,
    *,
    probe: bool,
    retry: bool,
    jitter: float,
) -> Gates:
    """Return the gates after a call has ended.

    Args:
        gates: Before.
        now: When it ended.
        outcome: What came of it.
        probe: Whether it was the breaker's probe, and still is.
        retry: Whether it was a retry.
        jitter: A random number from 0 up to 1.
    """
    if outcome.cost > 0 and gates.cost_budget is not None:
        tat = _charged(gates.cost_budget, gates.cost_tat, now, outcome.cost)
        gates = replace(gates, cost_tat=tat)
    if outcome.result in {"failed", "throttled"}:
        since = now if gates.failing_since is None else gates.failing_since
        if now - since >= FAILING_LIMIT_SECONDS:
            return _disabled(gates, FAILED_FOR_DAYS)
        gates = replace(gates, failing_since=since)
    if outcome.result == "throttled":
        wait = outcome.retry_after_seconds
        if wait is None:
            wait = THROTTLED_SECONDS * (1 + jitter)
        wait = max(wait, LEAST_THROTTLED_SECONDS)
        gates = replace(gates, not_before=max(gates.not_before, now + wait))
        return replace(gates, probe_until=0.0) if probe else gates
    if outcome.result == "gone":
        return _disabled(gates, GONE)
    if outcome.result == "delivered":
        tokens = gates.retry_tokens + (1 if retry else 0)
        gates = replace(
            gates,
            retry_tokens=min(MOST_RETRY_TOKENS, tokens),
            failing_since=None,
        )
    failed = outcome.result == "failed"
    return _breaker(gates, now, failed=failed, probe=probe, jitter=jitter)


def _disabled(gates: Gates, reason: str) -> Gates:
    """Return them shut, and with nothing held against whoever enables it again."""
    return replace(
        gates,
        enabled=False,
        disabled_reason=reason,
        failing_since=None,
        breaker_opened=0,
        breaker_until=0.0,
        probe_until=0.0,
        window_calls=0,
        window_failures=0,
    )


def _breaker(
    gates: Gates, now: float, *, failed: bool, probe: bool, jitter: float
) -> Gates:
    if gates.breaker_opened:
        # What was on its way before it opened tells nothing new.
        if not probe:
            return gates
        if failed:
            return _opened(gates, now, jitter)
        return replace(
            gates,
            breaker_opened=0,
            breaker_until=0.0,
            probe_until=0.0,
            window_at=now,
            window_calls=0,
            window_failures=0,
        )
    if not 0 <= now - gates.window_at < WINDOW_SECONDS:
        gates = replace(gates, window_at=now, window_calls=0, window_failures=0)
    gates = replace(
        gates,
        window_calls=gates.window_calls + 1,
        window_failures=gates.window_failures + failed,
    )
    enough = gates.window_calls >= WINDOW_MIN_CALLS
    if enough and gates.window_failures >= gates.window_calls * FAILING_RATIO:
        return _opened(gates, now, jitter)
    return gates


def _opened(gates: Gates, now: float, jitter: float) -> Gates:
    doublings = min(gates.breaker_opened, MAX_DOUBLINGS)
    longest = min(FIRST_OPEN_SECONDS * 2**doublings, LONGEST_OPEN_SECONDS)
    return replace(
        gates,
        breaker_opened=gates.breaker_opened + 1,
        breaker_until=now + longest * (1 + jitter) / 2,
        probe_until=0.0,
    )


def probe_ended(gates: Gates) -> Gates:
    """Return the gates after a probe was given back without a call."""
    return replace(gates, probe_until=0.0)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
