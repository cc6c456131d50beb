"""The reference has everything that can be set, with the default that is in force."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from headgate.chat.conf import Conf
from headgate.server import exits
from headgate.server.cli import build_parser

ROOT = Path(__file__).parents[2]
SETTINGS = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
CLI = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
KEYS = SETTINGS.partition("\n## ")[0]  # the first table, and what is said of it
ROW = re.compile(
    r"^\| `(?P<key>\w+)` \| (?P<type>[^|]+) \| (?P<default>[^|]+) \|", re.MULTILINE
)


def value_of(text: str) -> Any:
    """Return a default as the reference writes it: `10_000`, `16 * 1024`, `None`."""
    return eval(text.strip("` "), {"__builtins__": {}})  # our own page


def test_settings_are_those_of_the_code() -> None:
    documented = {row["key"]: value_of(row["default"]) for row in ROW.finditer(KEYS)}
    assert documented == {field.name: field.default for field in fields(Conf)}


def test_types_of_settings() -> None:
    documented = {row["key"]: row["type"].strip("` ") for row in ROW.finditer(KEYS)}
    types = {each.name: str(each.type).replace(" | ", " or ") for each in fields(Conf)}
    assert documented == types


def verbs() -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the verbs."""
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("there are no verbs")


def options() -> Iterator[tuple[str, str]]:
    """Yield each verb with each of its options and arguments."""
    for verb, parser in verbs().items():
        for action in parser._actions:
            names = list(action.option_strings) or [str(action.metavar or action.dest)]
            for name in names:
                if name not in {"-h", "--help"}:
                    yield verb, name


def section(verb: str) -> str:
    """Return what the reference says of a verb."""
    found = re.search(
        rf"^## `headgate {verb}`\n(.*?)(?=^## |\Z)", CLI, re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"docs/reference/cli.md has no section for {verb}"
    return found[1]


@pytest.mark.parametrize(("verb", "name"), list(options()))
def test_option_is_documented(verb: str, name: str) -> None:
    assert re.search(
        rf"`[^`\n]*{re.escape(name)}\b[^`\n]*`", section(verb), re.IGNORECASE
    )


def test_verbs_are_those_of_the_code() -> None:
    documented = re.findall(r"^## `headgate ([a-z-]+)`", CLI, re.MULTILINE)
    assert documented == list(verbs())


def test_exit_codes_are_documented() -> None:
    codes = {getattr(exits, name) for name in vars(exits) if name.startswith("EXIT_")}
    for code in {0} | codes - {exits.EXIT_FAULTS}:
        assert re.search(rf"^\| {code} \|", section("serve"), re.MULTILINE)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    own = [target for target in targets if "://" not in target]
    assert [target for target in own if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("name", ["README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY"])
def test_files_that_are_named_exist(name: str) -> None:
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    targets += re.findall(
        r"`((?:src|tests|docs|protocol|scripts|client)/[\w./-]+)`", text
    )
    own = [target for target in targets if "://" not in target]
    assert [target for target in own if not (ROOT / target).exists()] == []
