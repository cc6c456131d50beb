"""Who is refused, and how often in the last minutes."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from headgate.limits import (
    Decision,
    Limiter,
    MemoryStore,
    Policy,
    Refusals,
    Refused,
)
from headgate.limits.refusals import MAX_KEYS

POLICY = Policy("send", "1/s")


class _Time:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def _refusal(key: str = "k", policy: Policy = POLICY, cost: int = 1) -> Decision:
    increment = policy.increment_of(cost)
    return Decision(policy, key, policy.dry_run, increment, 0, 1_000_000)


def test_who_was_refused_last_comes_first() -> None:
    clock = _Time()
    refusals = Refusals(clock=clock)
    for key in ("a", "b", "a", "c", "b"):
        refusals.note(_refusal(key))
        clock.now += 1

    assert [(each.key, each.count) for each in refusals.report()] == [
        ("b", 2),
        ("c", 1),
        ("a", 2),
    ]
    assert refusals.totals == {"send": 5}


def test_what_is_told_of_one() -> None:
    clock = _Time()
    refusals = Refusals(clock=clock)
    refusals.note(_refusal())
    (told,) = refusals.report()

    assert told == Refused("send", "k", 1, clock.now, clock.now + 1, dry_run=False)
    assert told.as_dict() == {
        "policy": "send",
        "key": "k",
        "count": 1,
        "last_at": clock.now,
        "free_at": clock.now + 1,
        "dry_run": False,
    }
    refusals.note(_refusal(cost=5))
    assert refusals.report()[0].free_at is None


def test_only_the_last_minutes_count() -> None:
    clock = _Time()
    refusals = Refusals(clock=clock)
    for _ in range(15):
        refusals.note(_refusal())
        clock.now += 60
    refusals.note(_refusal("old"))
    assert [(each.key, each.count) for each in refusals.report()] == [
        ("old", 1),
        ("k", 9),
    ]
    clock.now += 600
    assert refusals.report() == []
    assert refusals.totals["send"] == 16


def test_of_one_key_ten_minutes_are_kept() -> None:
    clock = _Time()
    refusals = Refusals(clock=clock)
    for _ in range(1000):
        refusals.note(_refusal())
        clock.now += 60
    (noted,) = refusals._noted.values()

    assert len(noted.by_minute) <= 11


def test_of_many_keys_those_are_kept_that_were_refused_last() -> None:
    refusals = Refusals()
    for number in range(MAX_KEYS + 50):
        refusals.note(_refusal(f"k{number}"))
    found = refusals.report()

    assert len(found) == MAX_KEYS
    assert (found[0].key, found[-1].key) == (f"k{MAX_KEYS + 49}", "k50")


def test_dry_runs_are_told_apart() -> None:
    refusals = Refusals()
    refusals.note(_refusal(policy=Policy("trial", "1/s", dry_run=True)))
    (told,) = refusals.report()

    assert told.dry_run
    assert refusals.totals == {"trial (dry run)": 1}


def test_a_key_can_be_forgotten_under_all_policies() -> None:
    refusals = Refusals()
    for policy in (POLICY, Policy("join", "1/s")):
        refusals.note(_refusal("k", policy))
        refusals.note(_refusal("other", policy))
    refusals.forget("k")

    assert {each.key for each in refusals.report()} == {"other"}


def test_whoever_asks_is_told_once_until_they_look() -> None:
    refusals = Refusals()
    told: list[int] = []
    refusals.changed = lambda: told.append(1)
    for _ in range(2):
        for _ in range(3):
            refusals.note(_refusal())
        refusals.report()

    assert len(told) == 2


def test_threads_count_each() -> None:
    refusals = Refusals()
    barrier = threading.Barrier(8)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(which: int) -> None:
        barrier.wait()
        for number in range(500):
            refusals.note(_refusal("shared"))
            refusals.note(_refusal(f"k{which}-{number}"))
            if not number % 50:
                refusals.report()
                refusals.forget(f"k{which}-{number}")

    try:
        with ThreadPoolExecutor(8) as pool:
            for each in [pool.submit(work, which) for which in range(8)]:
                each.result()
    finally:
        sys.setswitchinterval(before)

    assert refusals.totals["send"] == 8000
    assert sum(each.count for each in refusals.report() if each.key == "shared") == 4000
    assert len(refusals.report()) <= MAX_KEYS


def test_each_key_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """What a dry run would refuse is for operators; what is refused, for debugging."""
    now = [120.0]
    refusals = Refusals(clock=lambda: now[0])
    caplog.set_level("INFO", "headgate.limits")
    limiter = Limiter(MemoryStore(), refusals=refusals)
    for policy in (Policy("real", "1/h"), Policy("tried", "1/h", dry_run=True)):
        for _ in range(4):
            limiter.decide_one(policy, "u:5")
    now[0] += 60
    limiter.decide_one(Policy("real", "1/h"), "u:5")

    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [
        ("INFO", "refused policy=real key=u:5"),
        ("WARNING", "would_refuse policy=tried key=u:5"),
        ("INFO", "refused policy=real key=u:5"),
    ]
