"""The order in which files are shared out: nobody waits for a long one at the end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.file_order import longest_first


def a_test(file: str, name: str, limit: int = 0, *fixtures: str) -> Any:
    mark = pytest.mark.timeout(limit).mark if limit else None
    return SimpleNamespace(
        path=Path(file),
        name=name,
        fixturenames=fixtures,
        get_closest_marker=lambda _: mark,
    )


def test_the_longest_files_begin_first_and_stay_whole() -> None:
    items = [
        a_test("many.py", "1"),
        a_test("many.py", "2"),
        a_test("many.py", "3"),
        a_test("one.py", "1"),
        a_test("browser.py", "1", 600),
        a_test("servers.py", "1", 0, "tmp_path", "serve"),
        a_test("servers.py", "2"),
        a_test("slow.py", "2"),
        a_test("slow.py", "1", 300),
    ]
    assert [f"{item.path.stem} {item.name}" for item in longest_first(items)] == [
        "browser 1",
        *("slow 2", "slow 1"),  # in the order of the file
        *("servers 1", "servers 2"),
        *("many 1", "many 2", "many 3"),
        "one 1",
    ]


def test_files_that_are_alike_stay_whole() -> None:
    """pytest-django puts tests of several files in turns, by what they need."""
    items = [a_test("a.py", "1"), a_test("b.py", "1"), a_test("a.py", "2")]
    items.append(a_test("b.py", "2"))
    found = [f"{item.path.stem} {item.name}" for item in longest_first(items)]
    assert found == ["a 1", "a 2", "b 1", "b 2"]
