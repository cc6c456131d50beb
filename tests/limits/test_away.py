"""What is decided without the store."""

from __future__ import annotations

from collections import Counter

import pytest

from headgate.limits import Charge, Decision, Policy, Verdict
from headgate.limits.away import Away, _share

LOCAL = Policy("local", "100/day")
OPEN = Policy("open", "1/day", store_away="open")
CLOSED = Policy("closed", "100/day", store_away="closed")


class _Apart:
    def __init__(self, processes: int) -> None:
        self.count: Counter[str] = Counter()
        self.noted: list[Decision] = []
        self.away = Away(processes, self.count, self.noted.append)

    def decide(self, *charges: Charge, write: bool = True) -> list[Decision]:
        return self.away.decide(charges, write=write, wait_us=0, retry_seconds=0.7)

    def allowed(self, *charges: Charge) -> bool:
        return all(each.allowed for each in self.decide(*charges))


@pytest.mark.parametrize(("processes", "share"), [(1, 100), (3, 33), (7, 14), (100, 1)])
def test_together_the_shares_are_the_limit(processes: int, share: int) -> None:
    apart = _Apart(processes)
    admitted = sum(apart.allowed(Charge(LOCAL, "k")) for _ in range(120))

    assert admitted == share
    assert _share(LOCAL, processes, None).per_second == pytest.approx(
        LOCAL.per_second / processes
    )


def test_where_the_share_is_less_than_one_each_does_one_at_a_time() -> None:
    apart = _Apart(1000)

    assert [apart.allowed(Charge(LOCAL, "k")) for _ in range(3)] == [
        True,
        False,
        False,
    ]


def test_what_costs_more_than_the_share_is_not_refused_for_ever() -> None:
    apart = _Apart(10)
    (decision,) = apart.decide(Charge(LOCAL, "k", 50))
    assert decision.allowed
    (decision,) = apart.decide(Charge(LOCAL, "k", 50))
    assert not decision.allowed
    share_us = 10 * LOCAL.interval_us
    assert decision.retry_after_us == pytest.approx(50 * share_us, rel=0.01)
    # Nor does somebody who asks for less bring that forward.
    assert not apart.allowed(Charge(LOCAL, "k", 1))
    (later,) = apart.decide(Charge(LOCAL, "k", 50))
    assert later.retry_after_us is not None
    assert later.retry_after_us > 49 * share_us

    assert apart.decide(Charge(LOCAL, "k", 101))[0].retry_after_us is None


def test_open_and_closed() -> None:
    apart = _Apart(4)
    assert all(apart.allowed(Charge(OPEN, "k")) for _ in range(10))
    (refused,) = apart.decide(Charge(CLOSED, "k"))

    assert not refused.allowed
    assert refused.retry_after_seconds == 0.7
    assert refused.degraded == "closed"
    assert apart.noted != []
    assert apart.count == {"open": 10, "closed": 1}


def test_all_or_none() -> None:
    apart = _Apart(50)
    both = [Charge(LOCAL, "k"), Charge(CLOSED, "k")]
    for _ in range(5):
        decisions = apart.decide(*both)
        assert [each.allowed for each in decisions] == [True, False]
        assert [each.degraded for each in decisions] == ["local", "closed"]
        assert not Verdict(decisions).allowed

    assert [apart.allowed(Charge(LOCAL, "k")) for _ in range(3)] == [True, True, False]
    assert [each.allowed for each in apart.decide(Charge(OPEN, "k"), both[0])] == [
        True,
        False,
    ]


def test_a_dry_run_that_would_be_closed_does_not_open_the_others() -> None:
    apart = _Apart(50)
    trial = Policy("trial", "1/day", store_away="closed", dry_run=True)
    both = [Charge(LOCAL, "k"), Charge(trial, "k")]

    assert [apart.allowed(*both) for _ in range(3)] == [True, True, False]


def test_refusals_are_noted_once_also_on_a_dry_run() -> None:
    apart = _Apart(100)
    trial = Policy("trial", "100/day", dry_run=True)
    for policy in (LOCAL, trial):
        for _ in range(3):
            apart.decide(Charge(policy, "k"))

    assert [each.policy.name for each in apart.noted] == [
        *["local"] * 2,
        *["trial"] * 2,
    ]


def test_looking_counts_nothing() -> None:
    apart = _Apart(100)
    for charge in (Charge(LOCAL, "k"), Charge(CLOSED, "k")):
        for _ in range(3):
            apart.decide(charge, write=False)

    assert apart.noted == []
    assert apart.allowed(Charge(LOCAL, "k"))
