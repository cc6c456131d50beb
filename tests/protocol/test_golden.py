"""The golden examples decode, encode to the same bytes, and leave nothing out."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Union

import msgspec
import pytest
from jsonschema import Draft202012Validator

from headgate.protocol import codec
from headgate.protocol.commands import COMMANDS, UNBUILT
from headgate.protocol.pushes import PUSHES, Failure
from tests.protocol.golden import (
    SCHEMA,
    STRUCTS,
    decode,
    group_of,
    load,
    validator,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT = load("commands")
BAD = load("bad_commands")
SERVER = load("replies") + load("pushes") + load("plain")

each_command = pytest.mark.parametrize("example", CLIENT, ids=lambda e: e["name"])
each_bad = pytest.mark.parametrize("example", BAD, ids=lambda e: e["name"])
each_sent = pytest.mark.parametrize("example", SERVER, ids=lambda e: e["name"])


def decoded() -> Iterator[msgspec.Struct]:
    """Yield every golden example as a struct."""
    for example in CLIENT:
        yield decode(example["mode"], example["text"])
    for example in SERVER:
        yield msgspec.json.decode(example["text"], type=STRUCTS[example["struct"]])


def structs_in(value: object) -> Iterator[msgspec.Struct]:
    """Yield the structs in a value, itself included."""
    if isinstance(value, msgspec.Struct):
        yield value
        for name in value.__struct_fields__:
            yield from structs_in(getattr(value, name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from structs_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from structs_in(item)


@each_command
def test_command_decodes_with_its_defaults(example: dict[str, Any]) -> None:
    command = decode(example["mode"], example["text"])
    assert type(command).__name__ == example["struct"]
    assert json.loads(codec.encode(command)) == example["decoded"]


@each_command
def test_command_encodes_and_decodes_to_itself(example: dict[str, Any]) -> None:
    command = decode(example["mode"], example["text"])
    # Defaults are spelled out, which may be longer than what a client may send.
    again = msgspec.json.decode(codec.encode(command), type=type(command))
    assert again == command


@each_command
def test_command_fits_the_schema(example: dict[str, Any]) -> None:
    for value in (json.loads(example["text"]), example["decoded"]):
        validator(example["struct"]).validate(value)
        validator(group_of(example["struct"])).validate(value)


@each_bad
def test_bad_command_is_explained(example: dict[str, Any]) -> None:
    with pytest.raises(codec.BadCommand) as caught:
        decode(example["mode"], example["text"])
    error = caught.value.error
    assert {
        "code": error.code,
        "field": error.field,
        "reply": caught.value.reply,
        "client_id": error.client_id,
    } == {key: example[key] for key in ("code", "field", "reply", "client_id")}
    assert 0 < len(error.text) <= 300


@each_bad
def test_bad_command_can_be_answered(example: dict[str, Any]) -> None:
    with pytest.raises(codec.BadCommand) as caught:
        decode(example["mode"], example["text"])
    answer = Failure(reply=caught.value.reply, error=caught.value.error)
    validator("Failure").validate(json.loads(codec.encode(answer)))
    plain = codec.plain_failure(caught.value.error)
    validator("PlainFailure").validate(json.loads(codec.encode(plain)))


@each_sent
def test_sent_text_is_encoded_to_the_byte(example: dict[str, Any]) -> None:
    struct = STRUCTS[example["struct"]]
    value: object = msgspec.json.decode(example["text"], type=struct)
    assert codec.encode(value).decode() == example["text"]


@each_sent
def test_sent_text_fits_the_schema(example: dict[str, Any]) -> None:
    value = json.loads(example["text"])
    validator(example["struct"]).validate(value)
    validator(group_of(example["struct"])).validate(value)


@pytest.mark.parametrize("example", load("pushes"), ids=lambda e: e["name"])
def test_push_is_told_apart_by_its_tag(example: dict[str, Any]) -> None:
    any_push: Any = Union[PUSHES]  # noqa: UP007 - made at run time
    value: Any = msgspec.json.decode(example["text"], type=any_push)
    assert type(value).__name__ == example["struct"]


def test_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_struct_has_an_example() -> None:
    shown = {example["struct"] for example in CLIENT + SERVER}
    assert shown == set(STRUCTS)


def test_every_struct_is_in_the_schema() -> None:
    assert set(STRUCTS) <= set(SCHEMA["$defs"])
    for name in STRUCTS:
        union = SCHEMA["$defs"][group_of(name)]["anyOf"]
        assert {"$ref": f"#/$defs/{name}"} in union


def test_every_optional_field_is_shown_with_and_without() -> None:
    given: dict[type, set[str]] = defaultdict(set)
    left: dict[type, set[str]] = defaultdict(set)
    optional: dict[type, set[str]] = defaultdict(set)
    for example in decoded():
        for struct in structs_in(example):
            for field in msgspec.structs.fields(struct):
                if not field.required:
                    value = getattr(struct, field.name)
                    default = (
                        field.default_factory()
                        if field.default is msgspec.NODEFAULT
                        else field.default
                    )
                    kind = type(struct)
                    optional[kind].add(field.name)
                    (left if value == default else given)[kind].add(field.name)
    assert len(optional) > 20
    for kind, names in optional.items():
        assert given[kind] == names, kind
        assert left[kind] == names, kind


def test_every_choice_is_shown() -> None:
    shown: dict[tuple[type, str], set[object]] = defaultdict(set)
    choices: dict[tuple[type, str], set[object]] = {}
    for example in decoded():
        for struct in structs_in(example):
            for field in msgspec.inspect.type_info(type(struct)).fields:  # type: ignore[attr-defined]
                if isinstance(field.type, msgspec.inspect.LiteralType):
                    place = type(struct), field.name
                    choices[place] = set(field.type.values)
                    shown[place].add(getattr(struct, field.name))
    assert len(choices) >= 7
    for place, values in choices.items():
        assert shown[place] == values, place


def test_every_command_is_refused_somehow() -> None:
    refused = set()
    for example in BAD:
        try:
            value = json.loads(example["text"])
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            refused.add(value.get("cmd"))
    tags = {command.__struct_config__.tag for command in COMMANDS}
    assert tags | UNBUILT <= refused


@pytest.mark.parametrize(
    "name", ["commands", "bad_commands", "replies", "pushes", "plain"]
)
def test_names_are_unique(name: str) -> None:
    names = [example["name"] for example in load(name)]
    assert len(set(names)) == len(names)
