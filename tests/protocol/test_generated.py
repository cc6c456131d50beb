"""What is derived is current, and the table of codes keeps its own rules."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from headgate.protocol.codes import CLOSE_TEXTS, ERRORS, Close, Code
from tests.protocol.golden import ROOT

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

GENERATE = ROOT / "protocol/generate.py"
CODES = tomllib.loads((ROOT / "protocol/codes.toml").read_text(encoding="utf-8"))


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script as a module, called with --check."""
    spec = importlib.util.spec_from_file_location("generate", GENERATE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [str(GENERATE), "--check"])
    return module


def test_generated_files_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(GENERATE), "--check"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_check_names_a_stale_file(
    generate: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files: dict[Path, str] = generate.generated()
    page = ROOT / "docs/reference/codes.md"
    before = page.read_bytes()
    monkeypatch.setattr(generate, "generated", lambda: {**files, page: "older"})
    assert generate.main() == 1
    assert "docs/reference/codes.md" in capsys.readouterr().out
    assert page.read_bytes() == before


def test_check_notices_a_stale_schema(
    generate: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(generate, "schema", lambda: "{}\n")
    assert generate.main() == 1
    assert capsys.readouterr().out.split()[1] == "protocol/schema.json;"


def test_python_has_every_code_of_the_table() -> None:
    assert [code.value for code in Code] == list(CODES["errors"])
    assert [close.name.lower() for close in Close] == list(CODES["closes"])
    assert set(ERRORS) == set(Code)
    assert set(CLOSE_TEXTS) == set(Close)
    for code, info in ERRORS.items():
        row: dict[str, Any] = CODES["errors"][code.value]
        assert (info.number, info.http, info.retry, info.text) == (
            row["number"],
            row["http"],
            row["retry"],
            row["text"],
        )


def test_error_numbers_are_unique() -> None:
    numbers = [row["number"] for row in CODES["errors"].values()]
    assert len(set(numbers)) == len(numbers) >= 18


def test_errors_say_what_happened_and_what_to_do() -> None:
    for name, row in CODES["errors"].items():
        assert row["text"].endswith("."), name
        assert row["help"].endswith("."), name
        assert 400 <= row["http"] <= 599, name
        # A server's fault may pass by itself; a request that is wrong does not.
        assert row["retry"] or row["http"] < 500 or row["http"] == 501, name


def test_close_numbers_are_unique_and_for_applications() -> None:
    numbers = [row["number"] for row in CODES["closes"].values()]
    assert len(set(numbers)) == len(numbers) >= 9
    assert all(4000 <= number <= 4999 for number in numbers)


def test_close_numbers_say_whether_to_come_back() -> None:
    final = {close for close in Close if close >= 4500}
    assert final == {
        Close.BAD_COMMANDS,
        Close.UNAUTHENTICATED,
        Close.NOT_FOUND,
        Close.ACCESS_REVOKED,
    }
    assert Close.RATE_LIMITED.value == 4000
    assert CLOSE_TEXTS[Close.RATE_LIMITED] == "Rate limit exceeded."


def test_close_texts_fit_into_a_close_frame() -> None:
    for close, text in CLOSE_TEXTS.items():
        # RFC 6455, section 5.5: 125 bytes, two of which are the code.
        assert 0 < len(text.encode()) <= 123, close
