"""Whatever arrives is a command or a `BadCommand`, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headgate.protocol import codec
from headgate.protocol.commands import COMMANDS, Command, Edit, PlainSend, Send
from headgate.protocol.fields import MAX_CLIENT_ID, MAX_COMMAND_BYTES
from headgate.protocol.pushes import Author, Edited, Failure, Message
from tests.protocol.golden import STRUCTS, group_of, validator
from tests.protocol.strategies import (
    any_text,
    broken_text,
    json_values,
    mutated_commands,
    structs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

fuzzed = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
COMMAND_SCHEMA = validator("command")

# What the codec refuses and a JSON Schema cannot say.
BEYOND_SCHEMA = (
    "U+0000",
    "is empty",
    "nests",
    "integer beyond",
    "got `float`",  # 1.0 is an integer to JSON Schema
    "not valid JSON",  # lone surrogates, and integers of thousands of digits
)


def taken(payload: str) -> Command | None:
    """Return the command of a payload in either mode, checking every refusal."""
    for decode in (codec.decode_plain, codec.decode_command):
        try:
            command = decode(payload)
        except codec.BadCommand as refusal:
            check_refusal(refusal)
            command = None
    assert command is None or isinstance(command, Command)
    return command


def check_refusal(refusal: codec.BadCommand) -> None:
    """Fail unless a refusal is short, is well formed and can be sent."""
    error = refusal.error
    assert 0 < len(error.text) <= 300
    assert error.field is None or error.field.isidentifier()
    assert error.client_id is None or len(error.client_id) <= MAX_CLIENT_ID
    assert refusal.reply is None or 0 <= refusal.reply < 2**53
    sent = codec.encode(Failure(reply=refusal.reply, error=error))
    validator("Failure").validate(json.loads(sent))
    codec.encode(codec.plain_failure(error))


def check_pushes(command: Command | PlainSend | None) -> None:
    """Fail unless what was taken can be pushed, and read by who gets it."""
    ada = Author(id="u:5", kind="user", name="Ada")
    push: Message | Edited
    if isinstance(command, Send):
        given = msgspec.structs.asdict(command)
        del given["id"]
        push = Message(seq=1, author=ada, at="2026-11-23T09:15:30.123Z", **given)
    elif isinstance(command, Edit):
        given = msgspec.structs.asdict(command)
        del given["id"]
        push = Edited(seq=2, author=ada, at="2026-11-23T09:15:30.123Z", **given)
    else:
        return
    sent = codec.encode(push)
    assert msgspec.json.decode(sent, type=type(push)) == push
    # Another JSON library reads the same values.
    other = json.loads(sent.decode())
    assert other["text"] == command.text
    assert other.get("data") == command.data
    assert all("\x00" not in text for text in strings_in(other))
    validator("push").validate(other)


def strings_in(value: object) -> Iterator[str]:
    """Yield the strings in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item)


@fuzzed
@given(any_text)
@example("")
@example("[" * 16_000)
@example('"' + "\\u0000" * 2_000)
@example("9" * 5_000)
def test_any_text(payload: str) -> None:
    check_pushes(taken(payload))


@fuzzed
@given(json_values(any_text), st.booleans())
def test_any_json(value: Any, ascii_only: bool) -> None:  # noqa: FBT001
    check_pushes(taken(json.dumps(value, ensure_ascii=ascii_only)))


@fuzzed
@given(broken_text())
def test_broken_commands(payload: str) -> None:
    check_pushes(taken(payload))


@fuzzed
@given(mutated_commands())
def test_mutated_commands(payload: str) -> None:
    check_pushes(taken(payload))


@fuzzed
@given(mutated_commands())
def test_codec_and_schema_agree(payload: str) -> None:
    try:
        value = json.loads(payload)
    except ValueError:  # an integer of thousands of digits
        value = None
    fits = COMMAND_SCHEMA.is_valid(value)
    try:
        codec.decode_command(payload)
    except codec.BadCommand as refusal:
        error = refusal.error
        beyond = any(words in error.text for words in BEYOND_SCHEMA)
        assert not fits or error.code == "too_large" or beyond, error
    else:
        assert fits


@settings(fuzzed, max_examples=15)
@pytest.mark.parametrize("name", sorted(STRUCTS))
@given(data=st.data())
def test_structs_round_trip(name: str, data: st.DataObject) -> None:
    struct = STRUCTS[name]
    value = data.draw(structs(struct))
    sent = codec.encode(value)
    again: object = msgspec.json.decode(sent, type=struct)
    assert again == value
    assert codec.encode(again) == sent
    validator(name).validate(json.loads(sent))
    validator(group_of(name)).validate(json.loads(sent))


@settings(fuzzed, max_examples=100)
@given(st.one_of([structs(command) for command in COMMANDS]))
def test_valid_commands_are_taken(command: Command) -> None:
    payload = codec.encode(command).decode()
    try:
        assert codec.decode_command(payload) == command
    except codec.BadCommand as refusal:
        words = refusal.error.text
        blank = not str(getattr(command, "text", "x")).strip()
        assert (
            ("U+0000" in words and "\\u0000" in payload)
            or ("is empty" in words and blank)
            or len(payload.encode()) > MAX_COMMAND_BYTES
        ), words
    else:
        check_pushes(command)
