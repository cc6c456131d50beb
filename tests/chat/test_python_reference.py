"""docs/reference/python.md says what the package has."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import headgate
from headgate.chat.hooks import RoomEvent

PAGE = Path(__file__).parents[2] / "docs/reference/python.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTION = re.compile(
    r"^## `headgate\.(\w+)`\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)
SECTIONS = dict(SECTION.findall(TEXT))
# Exceptions are caught, or raised with a text; the version is a text.
NOT_CALLED = {"GiveUp", "NotSent", "__version__", "bots"}
CALLED = sorted(set(headgate.__all__) - NOT_CALLED)


def test_every_name_has_a_section() -> None:
    assert set(SECTIONS) == set(headgate.__all__)
    for name in SECTIONS:
        assert f"(#headgate{name.lower()})" in TEXT, "it is in the table above"


def shown(name: str) -> list[tuple[str, Any]]:
    """Return the parameters of the signature on the page, with their defaults."""
    found = re.search(r"```python\n(.*?)\n```", SECTIONS[name], re.DOTALL)
    assert found is not None
    (given,) = ast.parse(f"def {found[1]}: ...").body
    assert isinstance(given, ast.FunctionDef)
    assert given.name == name
    args = given.args
    plain = [(a.arg, ...) for a in args.args]
    defaults = [ast.literal_eval(each) for each in args.defaults]
    if defaults:
        tail = zip(plain[-len(defaults) :], defaults, strict=True)
        plain[-len(defaults) :] = [(n, value) for (n, _), value in tail]  # type: ignore[misc]
    more: list[tuple[str, Any]] = [
        (a.arg, ... if d is None else ast.literal_eval(d))
        for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    if args.vararg:
        more = [(f"*{args.vararg.arg}", ...), *more]
    if args.kwarg:
        more += [(f"**{args.kwarg.arg}", ...)]
    return [*plain, *more]


@pytest.mark.parametrize("name", CALLED)
def test_the_signature_is_that_of_the_code(name: str) -> None:
    stars = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }
    real = [
        (
            f"{stars.get(each.kind, '')}{each.name}",
            ... if each.default is inspect.Parameter.empty else each.default,
        )
        for each in inspect.signature(getattr(headgate, name)).parameters.values()
    ]
    assert shown(name) == real


def test_every_field_of_an_event_is_told_of() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", SECTIONS["on"], re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == {field.name for field in fields(RoomEvent)}
