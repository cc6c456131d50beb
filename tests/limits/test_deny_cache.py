"""Refusals that need no question: certain, for a second, and bounded."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from headgate.limits import Decision, Policy
from headgate.limits.deny_cache import MAX_KEYS, DenyCache
from tests.limits.worlds import Clock

POLICY = Policy("p", "1/s", 3)


def _refusal(key: str = "k", *, ahead_us: int = 3_000_000) -> Decision:
    # On the server's clock, which is another one.
    return Decision(POLICY, key, False, 1_000_000, 5, 5 + ahead_us)


def _cached(refusal: Decision) -> tuple[Clock, DenyCache]:
    clock = Clock()
    cache = DenyCache(clock=clock)
    cache.put(refusal)
    return clock, cache


def test_what_was_refused_is_refused_until_it_fits() -> None:
    clock, cache = _cached(_refusal(ahead_us=2_500_000))
    assert cache.get(POLICY, "other", 1_000_000) is None
    clock.step(499_999)
    found = cache.get(POLICY, "k", 1_000_000)

    assert found is not None
    assert not found.allowed
    assert found.retry_after_us == 1
    clock.step(1)
    assert cache.get(POLICY, "k", 1_000_000) is None


def test_a_smaller_cost_may_fit_and_is_asked_for() -> None:
    _, cache = _cached(_refusal(ahead_us=1_500_000))

    assert cache.get(POLICY, "k", 2_000_000) is not None
    assert cache.get(POLICY, "k", 1_000_000) is None


def test_it_is_believed_for_a_second() -> None:
    clock, cache = _cached(_refusal())
    clock.step(999_999)
    assert cache.get(POLICY, "k", 3_000_000) is not None
    clock.step(1)
    assert cache.get(POLICY, "k", 3_000_000) is None


def test_what_is_forgotten_or_on_a_dry_run_is_asked_for() -> None:
    _, cache = _cached(_refusal())
    assert cache.get(Policy("p", "1/s", 3, dry_run=True), "k", 1_000_000) is None
    assert cache.get(POLICY, "k", 1_000_000) is not None
    cache.forget("p", "k")
    cache.forget("p", "never there")
    assert cache.get(POLICY, "k", 1_000_000) is None


def test_a_limit_that_was_raised_is_asked_for() -> None:
    _, cache = _cached(_refusal())

    assert cache.get(Policy("p", "1/s", 30), "k", 1_000_000) is None


def test_it_is_bounded_and_the_newest_stay() -> None:
    _, cache = _cached(_refusal())
    for number in range(MAX_KEYS + 10):
        cache.put(_refusal(f"k{number}"))
        cache.put(_refusal("often"))

    assert len(cache._kept) == MAX_KEYS
    assert cache.get(POLICY, "k", 1_000_000) is None
    for key in ("often", f"k{MAX_KEYS + 9}"):
        assert cache.get(POLICY, key, 1_000_000) is not None


def test_threads_do_not_trip_over_each_other() -> None:
    cache = DenyCache()
    barrier = threading.Barrier(8)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(which: int) -> None:
        barrier.wait()
        for number in range(3000):
            cache.put(_refusal(f"{which}-{number}"))
            cache.get(POLICY, f"{which}-{number}", 1)

    try:
        with ThreadPoolExecutor(8) as pool:
            for each in [pool.submit(work, which) for which in range(8)]:
                each.result()
    finally:
        sys.setswitchinterval(before)
    assert len(cache._kept) <= MAX_KEYS
