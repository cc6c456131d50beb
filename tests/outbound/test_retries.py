from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.outbound.retries import BASE_SECONDS, LONGEST_SECONDS, retry_in_seconds


@given(
    attempt=st.integers(1, 1000),
    asked=st.one_of(st.none(), st.floats(0, 86_400)),
    jitter=st.floats(0, 0.999),
)
def test_never_before_retry_after_nor_ever_too_late(
    attempt: int, asked: float | None, jitter: float
) -> None:
    wait = retry_in_seconds(attempt, asked, jitter)
    assert wait >= (asked or 0.0)
    assert wait <= max(LONGEST_SECONDS, asked or 0.0)


def test_full_jitter_of_twice_as_much_each_time() -> None:
    assert [retry_in_seconds(n, None, 0.5) for n in (1, 2, 3)] == [
        BASE_SECONDS,
        2 * BASE_SECONDS,
        4 * BASE_SECONDS,
    ]
    assert retry_in_seconds(1, None, 0.0) == 0.0
    assert retry_in_seconds(40, None, 0.5) == LONGEST_SECONDS / 2
