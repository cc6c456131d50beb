"""The median turn of the benchmark of saving."""

from __future__ import annotations

import pytest
from benchmarks.save import Figure, middle_of


@pytest.mark.parametrize(
    ("measured", "told"), [([7], 7), ([9, 1, 5], 5), ([4, 8], 4), ([6, 2, 8, 4], 4)]
)
def test_the_turn_with_the_median_is_told(measured: list[int], told: int) -> None:
    turns = [Figure("headgate", 64, 1, 1.0, 1.0, each, 1) for each in measured]
    assert middle_of(turns).per_cpu_second == told
