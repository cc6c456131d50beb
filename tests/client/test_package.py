from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import headgate.client

FILES = sorted(Path(headgate.client.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_lists_what_it_offers_and_imports_the_wire_only(path: Path) -> None:
    name = "" if path.stem == "__init__" else f".{path.stem}"
    module = importlib.import_module(f"headgate.client{name}")
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    assert all(hasattr(module, each) for each in module.__all__)

    imports = [
        node.module or ""
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
    ]
    for each in imports:
        if each.startswith("headgate"):
            assert each.startswith(("headgate.client", "headgate.protocol"))


def test_importing_it_imports_no_django() -> None:
    code = "import sys, headgate.client; print('django' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert run.stdout == "False\n"
