"""The modules that hatch_build.py compiles, as pyproject.toml lists them."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
MODULES: list[str] = WHEEL["hooks"]["custom"]["modules"]


def test_the_list_is_in_order_and_names_nothing_twice() -> None:
    assert sorted(set(MODULES)) == MODULES


@pytest.mark.parametrize("name", MODULES)
def test_no_option_of_a_class_gets_lost(name: str) -> None:
    """mypyc 2 leaves out `array_like=True` and the like, without a word."""
    source = (ROOT / "src/headgate" / f"{name}.py").read_text(encoding="utf-8")
    classes = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)
    ]
    assert [each.name for each in classes if each.keywords] == []
