"""What the page of figures says of the limiter and of somebody who floods."""

from __future__ import annotations

from dataclasses import asdict

from benchmarks import flood, limiter, tables


def test_the_limiter_has_a_row_for_each_system_and_a_column_for_each_place() -> None:
    figures = [
        asdict(limiter.Figure(place, policies, system, 9_000, rate * policies))
        for place, rate in (("memory", 4_000), ("Redis", 20))
        for policies in (1, 3)
        for system in ("headgate", "limits, fixed window")
    ]
    lines = tables.limiter({"figures": figures})
    assert lines[0] == "### The limiter"
    assert lines[4] == (
        "| system | memory: 1 policy | memory: 3 policies "
        "| Redis: 1 policy | Redis: 3 policies |"
    )
    assert "| headgate | 4,000 | 12,000 | 20 | 60 |" in lines
    assert "| limits, fixed window | 4,000 | 12,000 | 20 | 60 |" in lines


def test_what_was_asked_in_one_place_alone_is_left_empty_in_the_others() -> None:
    figures = [
        asdict(limiter.Figure("memory", 1, "headgate", 9, 8)),
        asdict(limiter.Figure("memory", 1, "limits", 9, 7)),
        asdict(limiter.Figure("Redis", 1, "headgate", 9, 6)),
    ]
    lines = tables.limiter({"figures": figures})
    assert "| headgate | 8 | 6 |" in lines
    assert "| limits | 7 |  |" in lines


def test_a_flood_has_a_row_for_each_rung() -> None:
    waits = (1.62, 2.63, 1.79, 3.6)
    figures = [
        asdict(flood.Figure("refused only", *waits, 0.093, 0.34, 13_286, 53_861)),
        asdict(flood.Figure("not read after 20", *waits, 0.097, 0.09, 0, None)),
    ]
    lines = tables.flood({"figures": figures})
    assert lines[0] == "### Somebody who floods"
    assert "| refused only | 2.63 | 3.6 | 9.3% | 34.0% | 13,286 | 53,861 |" in lines
    assert "| not read after 20 | 2.63 | 3.6 | 9.7% | 9.0% | 0 |  |" in lines
