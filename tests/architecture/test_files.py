"""Names, sizes and public lists of the files."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
FILES = sorted(
    path
    for path in (SOURCE / "headgate").rglob("*.py")
    if "migrations" not in path.parts
)
MODULES = [path for path in FILES if path.name != "__main__.py"]
MAX_LINES = 500
# Each of these holds what belongs to some idea that has a name.
NAMES_OF_NOTHING = {"utils", "helpers", "common", "misc", "base", "manager"}


def name_of(path: Path) -> str:
    """Return a file's path below the sources, for the names of tests."""
    return path.relative_to(SOURCE).as_posix()


def module_of(path: Path) -> str:
    """Return the name by which a file is imported."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def defines_for_others(tree: ast.Module) -> bool:
    """Return whether a module has a class or function without an underscore."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return any(
        isinstance(node, kinds) and not node.name.startswith("_") for node in tree.body
    )


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_size_and_name(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, "split it: a file holds one idea"
    assert path.stem not in NAMES_OF_NOTHING


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_public_list_is_exact(path: Path) -> None:
    """What a module offers to others is listed there, and what is listed exists."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = importlib.import_module(module_of(path))
    listed = getattr(module, "__all__", [])
    assert sorted(set(listed)) == sorted(listed)
    assert [name for name in listed if not hasattr(module, name)] == []
    assert listed or not defines_for_others(tree), "list in __all__ what is public"
