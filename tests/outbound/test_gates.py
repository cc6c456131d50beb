"""Promises of the gates, whatever happens in whatever order."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.limits.rates import Rate
from headgate.outbound import gates as all_gates
from headgate.outbound.calls import Outcome, Result
from headgate.outbound.gates import (
    FAILING_LIMIT_SECONDS,
    FIRST_OPEN_SECONDS,
    GRACE_SECONDS,
    LEAST_THROTTLED_SECONDS,
    LONGEST_OPEN_SECONDS,
    MOST_RETRY_TOKENS,
    RETRY_SHARE,
    RETRY_TRICKLE_PER_SECOND,
    WINDOW_MIN_CALLS,
    WINDOW_SECONDS,
    Gates,
    after_call,
    after_leases,
    in_reach,
    opening,
    probe_ended,
)

T = 1_790_000_000.0  # a time of our days, where floats are as coarse as in life

rates = st.builds(
    Rate,
    st.integers(1, 500),
    st.sampled_from([0.5, 1.0, 7.0, 60.0, 3600.0]),
    st.integers(1, 300),
)
waits = st.one_of(st.just(0.0), st.floats(0, 0.1), st.floats(0, 40))
results: st.SearchStrategy[Result] = st.sampled_from(
    ["delivered", "failed", "throttled", "refused"]
)


def ended(gates: Gates, result: Result, now: float = T, **more: Any) -> Gates:
    outcome = {k: v for k, v in more.items() if k in {"cost", "retry_after_seconds"}}
    how: dict[str, Any] = {"probe": False, "retry": False, "jitter": 0.0}
    how |= {k: v for k, v in more.items() if k in how}
    return after_call(gates, now, Outcome(result=result, **outcome), **how)


def leased(gates: Gates, now: float = T, calls: int = 1, retries: int = 0) -> Gates:
    probe = opening(gates, now, leased=0).probe
    return after_leases(gates, now, calls=calls, retries=retries, probe=probe)


# --- the order of the gates ---------------------------------------------------------


@pytest.mark.parametrize("off", [{"enabled": False}, {"paused": True}])
def test_off_is_off_whatever_else_is_open(off: dict[str, Any]) -> None:
    assert opening(Gates(**off), T, leased=0).calls == 0
    assert opening(Gates(**off), T, leased=0).look_at == math.inf


def test_who_must_wait_is_not_probed() -> None:
    gates = Gates(not_before=T + 5, breaker_opened=1, breaker_until=T - 1)
    assert opening(gates, T, leased=0).calls == 0
    assert opening(gates, T, leased=0).look_at == T + 5
    assert opening(gates, T + 5, leased=0).probe


def test_calls_on_their_way_count() -> None:
    gates = Gates(concurrency=3)
    assert [opening(gates, T, leased=n).calls for n in (0, 2, 3, 9)] == [3, 1, 0, 0]


# --- the rate -----------------------------------------------------------------------


@given(
    rate=rates,
    steps=st.lists(st.tuples(waits, st.integers(1, 400)), min_size=1, max_size=30),
)
def test_never_more_than_burst_and_rate_in_any_time(
    rate: Rate, steps: list[tuple[float, int]]
) -> None:
    gates, now = Gates(concurrency=10**6, rate=rate), T
    went: list[tuple[float, int]] = []
    for wait, wanted in steps:
        now += wait
        calls = min(opening(gates, now, leased=0).calls, wanted)
        gates = leased(gates, now, calls)
        went.append((now, calls))
    for first in range(len(went)):
        for last in range(first, len(went)):
            count = sum(calls for _, calls in went[first : last + 1])
            seconds = went[last][0] - went[first][0]
            most = rate.burst + seconds * rate.count / rate.period_seconds
            assert count <= most + 1e-3  # floats of our days are as coarse


@given(rate=rates, count=st.integers(0, 300), wait=waits)
def test_the_next_may_go_at_the_time_it_says_and_not_before(
    rate: Rate, count: int, wait: float
) -> None:
    gates = leased(Gates(concurrency=10**6, rate=rate), T, min(count, rate.burst))
    now = T + wait
    open_ = opening(gates, now, leased=0)
    gates, at = leased(gates, now, open_.calls), open_.look_at
    assert at > now
    assert opening(gates, at + 1e-6, leased=0).calls == 1
    assert opening(gates, max(now, at - 1e-5), leased=0).calls == 0


# --- the cost budget ----------------------------------------------------------------


@given(
    rate=rates,
    steps=st.lists(st.tuples(waits, st.integers(0, 1000)), min_size=1, max_size=30),
)
def test_what_calls_cost_is_paid_before_the_next(
    rate: Rate, steps: list[tuple[float, int]]
) -> None:
    """Beyond the budget goes at most what the last call cost."""
    gates, now, spent, last = Gates(cost_budget=rate), T, 0, 0
    for wait, cost in steps:
        now += wait
        if not opening(gates, now, leased=0).calls:
            continue
        gates = ended(gates, "delivered", now, cost=cost)
        spent, last = spent + cost, cost
        most = rate.burst + (now - T) * rate.count / rate.period_seconds
        assert spent - last <= most + 1e-3


def test_a_spent_budget_says_when_there_is_some_again() -> None:
    gates = ended(Gates(cost_budget=Rate(1, 1.0, 10)), "delivered", cost=15)
    at = opening(gates, T, leased=0).look_at
    assert opening(gates, T, leased=0).calls == 0
    assert at == pytest.approx(T + 5, abs=0.001)
    assert opening(gates, at + 1e-6, leased=0).calls > 0


# --- the breaker --------------------------------------------------------------------


def failing(count: int, gates: Gates | None = None, now: float = T) -> Gates:
    gates = Gates() if gates is None else gates
    for _ in range(count):
        gates = ended(gates, "failed", now)
    return gates


def test_it_opens_when_many_of_enough_calls_fail() -> None:
    assert opening(failing(WINDOW_MIN_CALLS - 1), T, leased=0).calls == 8
    gates = failing(WINDOW_MIN_CALLS)
    open_ = opening(gates, T, leased=0)
    assert (open_.calls, open_.look_at) == (0, gates.breaker_until)
    assert gates.breaker_until == T + FIRST_OPEN_SECONDS / 2


def test_few_failures_of_many_open_nothing() -> None:
    gates = Gates()
    for i in range(1000):
        gates = ended(gates, "failed" if i % 5 == 0 else "delivered")
    assert opening(gates, T, leased=0).calls == 8


def test_failures_of_long_ago_do_not_count() -> None:
    gates = failing(WINDOW_MIN_CALLS - 1)
    gates = ended(gates, "failed", T + WINDOW_SECONDS)
    assert opening(gates, T + WINDOW_SECONDS, leased=0).calls == 8


@pytest.mark.parametrize("result", ["throttled", "refused"])
def test_a_service_that_says_no_is_not_broken(result: Result) -> None:
    gates = Gates()
    for _ in range(3 * WINDOW_MIN_CALLS):
        gates = ended(gates, result, retry_after_seconds=0.0)
    assert opening(gates, max(T, gates.not_before), leased=0).calls == 8


@pytest.mark.parametrize("asked", [0.0, 0.001])
def test_a_service_that_asks_for_no_time_is_not_called_at_once(asked: float) -> None:
    gates = ended(Gates(), "throttled", retry_after_seconds=asked)
    assert opening(gates, T, leased=0).calls == 0
    assert gates.not_before == T + LEAST_THROTTLED_SECONDS


def test_open_for_longer_each_time_and_not_for_ever() -> None:
    gates, now, lengths = failing(WINDOW_MIN_CALLS), T, []
    for _ in range(12):
        lengths.append(gates.breaker_until - now)
        now = gates.breaker_until
        gates = leased(gates, now)
        gates = ended(gates, "failed", now, probe=True, jitter=0.0)
    assert lengths == sorted(lengths)
    assert lengths[:3] == [2, 4, 8]
    assert lengths[-1] == LONGEST_OPEN_SECONDS / 2
    longest = ended(leased(gates, now), "failed", now, probe=True, jitter=0.999)
    assert longest.breaker_until - now <= LONGEST_OPEN_SECONDS


@given(
    steps=st.lists(
        st.tuples(waits, st.sampled_from(["lease", "end", "end", "lose"]), results),
        max_size=80,
    )
)
def test_one_probe_at_a_time(steps: list[tuple[float, str, Result]]) -> None:
    """While it is open, one call is on its way, until its lease is over."""
    gates, now = failing(WINDOW_MIN_CALLS, Gates(concurrency=4)), T
    out: list[tuple[float, bool]] = []  # when leased, whether as a probe
    for wait, what, result in steps:
        now += wait
        lease_seconds = gates.timeout_seconds + GRACE_SECONDS
        out = [each for each in out if each[0] + lease_seconds > now]
        if what == "lease":
            open_ = opening(gates, now, leased=len(out))
            if open_.probe:
                assert open_.calls <= 1
            if open_.calls:
                assert not any(probe for _, probe in out)
                out += [(now, open_.probe)] * open_.calls
                gates = after_leases(
                    gates, now, calls=open_.calls, retries=0, probe=open_.probe
                )
        elif out and what == "end":
            _, probe = out.pop(0)
            gates = ended(gates, result, now, probe=probe, retry_after_seconds=1.0)
        elif out:
            _, probe = out.pop(0)
            gates = probe_ended(gates) if probe else gates


def test_a_probe_that_was_lost_is_followed_by_another() -> None:
    gates = failing(WINDOW_MIN_CALLS)
    now = gates.breaker_until
    gates = leased(gates, now)
    until = now + gates.timeout_seconds + GRACE_SECONDS
    assert opening(gates, until - 0.01, leased=0).calls == 0
    assert opening(gates, until - 0.01, leased=0).look_at == until
    assert opening(gates, until, leased=0) == opening(
        replace(gates, probe_until=0.0), until, leased=0
    )
    assert opening(gates, until, leased=0).probe


@pytest.mark.parametrize("result", ["delivered", "refused"])
def test_an_answer_to_the_probe_closes_it(result: Result) -> None:
    gates = failing(WINDOW_MIN_CALLS)
    now = gates.breaker_until
    gates = ended(leased(gates, now), result, now, probe=True)
    assert opening(gates, now, leased=0).calls == 8
    assert opening(failing(1, gates, now), now, leased=0).calls == 8


def test_only_the_probe_tells_while_it_is_open() -> None:
    gates = failing(WINDOW_MIN_CALLS)
    assert ended(gates, "failed").breaker_until == gates.breaker_until
    assert opening(ended(gates, "delivered"), T, leased=0).calls == 0


def test_a_probe_may_be_a_retry_though_none_is_left() -> None:
    gates = replace(failing(WINDOW_MIN_CALLS), retry_tokens=0.0, retry_at=T + 99)
    open_ = opening(gates, gates.breaker_until, leased=0)
    assert (open_.probe, open_.calls, open_.retries) == (True, 1, 1)


# --- retries ------------------------------------------------------------------------


@given(
    steps=st.lists(
        st.tuples(waits, st.integers(0, 30), st.integers(0, 30)), max_size=60
    )
)
def test_retries_that_fail_are_a_part_of_the_calls(
    steps: list[tuple[float, int, int]],
) -> None:
    gates, now = Gates(concurrency=10**6), T
    first = again = 0
    for wait, new, retries in steps:
        now += wait
        retries = min(retries, opening(gates, now, leased=0).retries)  # noqa: PLW2901
        gates = leased(gates, now, new + retries, retries)
        first, again = first + new, again + retries
        most = MOST_RETRY_TOKENS + RETRY_SHARE * first
        assert again <= most + RETRY_TRICKLE_PER_SECOND * (now - T) + 1e-3


def test_a_retry_that_succeeds_holds_back_no_other() -> None:
    gates = leased(Gates(retry_at=T), T, 9, 9)
    assert opening(gates, T, leased=0).retries == 1
    for _ in range(9):
        gates = ended(gates, "delivered", retry=True)
    assert opening(gates, T, leased=0).retries == int(MOST_RETRY_TOKENS)


# --- waiting and giving up ----------------------------------------------------------


@given(asked=st.floats(0, 86_400), jitter=st.floats(0, 0.99))
def test_never_before_what_was_asked(asked: float, jitter: float) -> None:
    gates = ended(Gates(), "throttled", retry_after_seconds=asked, jitter=jitter)
    assert gates.not_before >= T + asked
    sooner = ended(gates, "throttled", retry_after_seconds=asked / 2)
    assert sooner.not_before == gates.not_before


def test_throttled_without_a_time_waits_for_some() -> None:
    seconds = all_gates.THROTTLED_SECONDS
    assert ended(Gates(), "throttled").not_before == T + seconds
    assert ended(Gates(), "throttled", jitter=0.5).not_before == T + 1.5 * seconds


def test_failing_for_days_disables() -> None:
    gates = failing(1)
    almost = ended(gates, "failed", T + FAILING_LIMIT_SECONDS - 1)
    assert almost.enabled
    assert ended(almost, "delivered", T + 1).failing_since is None
    over = ended(almost, "failed", T + FAILING_LIMIT_SECONDS)
    assert (over.enabled, over.failing_since) == (False, None)
    assert over.disabled_reason


def test_throttling_for_days_disables_too() -> None:
    """It is no attempt and no failure, and nothing ever arrives."""
    gates = ended(Gates(), "throttled")
    assert ended(gates, "delivered", T + 1).failing_since is None
    almost = ended(gates, "throttled", T + FAILING_LIMIT_SECONDS - 1)
    assert almost.enabled
    over = ended(almost, "throttled", T + FAILING_LIMIT_SECONDS)
    assert (over.enabled, over.disabled_reason) == (False, all_gates.FAILED_FOR_DAYS)


@given(rate=rates, ahead=st.floats(0, 10**9))
def test_no_more_is_paid_ahead_than_a_rate_takes(rate: Rate, ahead: float) -> None:
    """After another rate, or by another clock, more may stand there."""
    gates = in_reach(Gates(rate=rate, rate_tat=T + ahead, concurrency=10**6), T)
    whole = rate.burst * rate.interval_us / 1e6
    assert opening(gates, T + whole + 1e-3, leased=0).calls == rate.burst
    used = leased(Gates(rate=rate, concurrency=10**6), calls=rate.burst)
    assert in_reach(used, T) == used


def test_gone_disables_and_who_enables_it_begins_anew() -> None:
    gates = ended(failing(WINDOW_MIN_CALLS), "gone")
    assert not gates.enabled
    assert gates.disabled_reason
    assert opening(replace(gates, enabled=True), T, leased=0).calls == 8
