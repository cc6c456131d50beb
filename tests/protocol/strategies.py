"""Hypothesis strategies for JSON, for structs of the wire, and for damage to them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from headgate.protocol.fields import MAX_INTEGER
from tests.protocol.golden import load

COMMANDS = load("commands")

# Surrogates and U+0000 included: what a hostile client may spell with escapes.
any_text = st.text(st.characters(exclude_categories=()))

nasty = st.sampled_from(["\x00", "\ud800", "\n", "\\u0000", "\u202e", "👍", "`", "/"])

evil: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        "",
        " ",
        "\x00",
        "\ud800",
        "general",
        "../general",
        "general\n",
        "x - at `$.room`",
        "x" * 70,
        "é" * 9_000,
        0,
        -1,
        1.0,
        1.5,
        1e300,
        2**53,
        2**64,
        -(2**63),
        10**4_000,
        [],
        {},
        [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]],
        {"seq": 1},
        {"seq": 1, "epoch": None},
        {"general": 1},
        {"general": ["c-1"]},
        {"\x00": "\x00"},
        {"a": "b" * 5_000},
    ],
)


def json_values(strings: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Return JSON values with these strings in them."""
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | st.floats(allow_nan=False, allow_infinity=False)
        | strings,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4)
        ),
        max_leaves=12,
    )


def tame_json() -> st.SearchStrategy[dict[str, Any]]:
    """Return JSON objects that a message may carry as `data`."""
    inner = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-MAX_INTEGER, MAX_INTEGER)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=8,
    )
    return st.dictionaries(st.text(max_size=5), inner, max_size=3)


def values_of(kind: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911, PLR0912
    """Return the valid values of a type, within the limits that it names."""
    match kind:
        case inspect.Metadata():
            return values_of(kind.type)
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            low = 0 if kind.ge is None else kind.ge
            return st.integers(low, MAX_INTEGER if kind.le is None else kind.le)
        case inspect.FloatType():
            return st.floats(0.000001, 1_000_000)
        case inspect.StrType(pattern=str(pattern)):
            return st.from_regex(pattern, fullmatch=True)
        case inspect.StrType():
            most = 30 if kind.max_length is None else min(kind.max_length, 100)
            return st.text(min_size=kind.min_length or 0, max_size=most)
        case inspect.LiteralType():
            return st.sampled_from(kind.values)
        case inspect.ListType():
            return st.lists(values_of(kind.item_type), max_size=3)
        case inspect.AnyType() | inspect.DictType(value_type=inspect.AnyType()):
            return tame_json()
        case inspect.DictType():
            keys, items = values_of(kind.key_type), values_of(kind.value_type)
            return st.dictionaries(keys, items, max_size=3)
        case inspect.UnionType():
            return st.one_of([values_of(part) for part in kind.types])
        case inspect.StructType():
            return structs(kind.cls)
        case _:
            raise AssertionError(f"no strategy for {kind}")


def structs(cls: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Return valid structs of a class; optional fields come and go."""
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    required = {f.name: values_of(f.type) for f in info.fields if f.required}
    optional = {f.name: values_of(f.type) for f in info.fields if not f.required}
    fields = st.fixed_dictionaries(required, optional=optional)
    return fields.map(lambda given: cls(**given))


@st.composite
def mutated_commands(draw: st.DrawFn) -> str:
    """Return a golden command with one or two of its fields changed or gone."""
    example = draw(st.sampled_from(COMMANDS))
    command: dict[str, Any] = json.loads(example["text"])
    # `cmd` comes last, so that it is seldom the one.
    keys = [key for key in example["decoded"] if key != "cmd"] + ["later", "cmd"]
    for _ in range(draw(st.integers(1, 2))):
        key = draw(st.sampled_from(keys))
        change = draw(st.sampled_from(["splice", "replace", "remove"]))
        kept = command.get(key)
        if change == "remove":
            command.pop(key, None)
        elif change == "splice" and isinstance(kept, str):
            at = draw(st.integers(0, len(kept)))
            command[key] = kept[:at] + draw(nasty) + kept[at:]
        else:
            command[key] = draw(evil | json_values(any_text))
    return json.dumps(command, ensure_ascii=draw(st.booleans()))


@st.composite
def broken_text(draw: st.DrawFn) -> str:
    """Return a golden command with a slice of its text replaced or gone."""
    text = str(draw(st.sampled_from(COMMANDS))["text"])
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 8)))
    return text[:start] + draw(any_text | st.sampled_from('{}[]",:\\')) + text[end:]
