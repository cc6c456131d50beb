"""The benchmark of saving: the median turn, and what the page says of it."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from benchmarks.save import Figure, middle_of
from benchmarks.tables import save


@pytest.mark.parametrize(
    ("measured", "told"), [([7], 7), ([9, 1, 5], 5), ([4, 8], 4), ([6, 2, 8, 4], 4)]
)
def test_the_turn_with_the_median_is_told(measured: list[int], told: int) -> None:
    turns = [Figure("Headgate", 64, 1, 1.0, 1.0, each, 1) for each in measured]
    assert middle_of(turns).per_cpu_second == told


def test_the_page_says_what_each_system_saved() -> None:
    figures = [
        asdict(Figure(system, in_flight, 1, 1.0, 1.0, 1000 * in_flight, in_flight))
        for in_flight in (64, 512)
        for system in ("Channels chat with the ORM", "Headgate")
    ]
    lines = save({"figures": figures})
    assert lines[0] == "### Saving"
    assert "| Headgate | 64,000 | 512,000 | 64 | 512 |" in lines
    assert len([line for line in lines if line.startswith("| ")]) == 4
