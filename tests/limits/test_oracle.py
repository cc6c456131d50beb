"""Beside the GCRA of the package `throttled-py`: the same decisions.

It reckons in floats, so times are eighths of a second and parts of those, which
floats have exactly.
"""

from __future__ import annotations

import pytest
import throttled
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.limits import Policy
from tests.limits.models import FREELY
from tests.limits.worlds import World

EIGHTH_US = 125_000


@given(
    count=st.sampled_from([1, 2, 4, 8]),
    burst=st.integers(1, 9),
    trace=st.lists(
        st.tuples(st.sampled_from([0, 0, 1, 2, 4, 8, 13, 64]), st.integers(1, 4)),
        max_size=30,
    ),
)
@settings(FREELY, max_examples=100)
def test_another_gcra_decides_the_same(
    world: World, count: int, burst: int, trace: list[tuple[int, int]]
) -> None:
    world.fresh()
    policy = Policy("p", f"{count}/s", burst)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            throttled.utils, "now_mono_f", lambda: world.clock.now_us / 1_000_000
        )
        other = throttled.Throttled(
            using="gcra",
            quota=throttled.per_sec(count, burst=burst),
            store=throttled.MemoryStore(),
        )
        for eighths, cost in trace:
            world.clock.step(eighths * EIGHTH_US)
            decision = world.ask(policy, cost=cost)
            found = other.limit("k", cost)

            assert decision.allowed == (not found.limited)
            assert decision.remaining == found.state.remaining
            if cost <= burst:  # of what never fits it tells a time
                assert decision.retry_after_seconds == found.state.retry_after
