from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.client.backoff import Backoff

fractions = st.floats(0, 1, exclude_max=True)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(fractions, min_size=1, max_size=200), st.floats(0, 100))
def test_every_wait_is_between_the_hint_and_the_capped_ceiling(
    randoms: list[float], hint: float
) -> None:
    numbers = iter(randoms)
    backoff = Backoff(min_seconds=0.5, cap_seconds=20, random=lambda: next(numbers))

    for n, fraction in enumerate(randoms):
        ceiling = min(20, 0.5 * 2 ** min(n, 10))
        assert backoff.next_delay(hint) == pytest.approx(hint + fraction * ceiling)


def test_jitter_stays_full_at_the_cap() -> None:
    """Capped first, then jittered: the other way round all would wait 20 s."""
    numbers = iter([0.0] * 50 + [0.0, 0.25, 0.5, 0.75])
    backoff = Backoff(random=lambda: next(numbers))
    for _ in range(50):
        backoff.next_delay()

    assert [backoff.next_delay() for _ in range(4)] == [0, 5, 10, 15]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=50),
)
def test_the_ceiling_starts_over_after_a_stable_connection_only(
    tries: list[tuple[bool, float]],
) -> None:
    now = 0.0
    backoff = Backoff(random=lambda: 1.0, clock=lambda: now)
    expected = 0.5

    for connects, holds_seconds in tries:
        if connects:
            backoff.opened()
        opened_at, now = now, now + holds_seconds
        if connects and now - opened_at >= 10:
            expected = 0.5
        assert backoff.next_delay() == expected
        expected = min(expected * 2, 20)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (2, 1)])
def test_senseless_bounds_are_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="min_seconds"):
        Backoff(min_seconds=low, cap_seconds=high)
