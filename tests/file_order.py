"""Which files of tests begin first where several processes share them.

A file that begins last is waited for by all the others: one whose single test takes two
minutes would run alone at the end. No list of slow files is kept. Whoever writes a test
that takes long gives it more time by the mark `timeout`, and tests that start servers
take longer than others.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

__all__ = ["longest_first"]


def longest_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return tests with the longest files first; within a file all stays as it is.

    Longest is what asks for the most time; then what starts the most servers; then
    what has the most tests.
    """
    limits: Counter[Path] = Counter()
    servers: Counter[Path] = Counter()
    sizes: Counter[Path] = Counter()
    for item in items:
        file, mark = item.path, item.get_closest_marker("timeout")
        limits[file] = max(limits[file], mark.args[0] if mark else 0)
        servers[file] += "serve" in getattr(item, "fixturenames", ())
        sizes[file] += 1
    return sorted(
        items,
        key=lambda item: (
            -limits[item.path],
            -servers[item.path],
            -sizes[item.path],
            item.path,
        ),
    )
