"""What a field may be, in words."""

from __future__ import annotations

from typing import Literal

import pytest
from msgspec import UNSET, Struct, UnsetType

from headgate.protocol.choices import choices_of
from headgate.protocol.codec import BadCommand, decode_command
from headgate.protocol.commands import COMMANDS


class _Wish(Struct):
    size: Literal["small", "middle", "large"] = "small"
    colours: list[Literal["red", "blue"]] | UnsetType = UNSET
    sure: Literal[True] | None = None
    name: str = ""


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("size", 'write "small", "middle" or "large"'),
        ("colours", 'write "red" or "blue"'),
        ("sure", "write true"),
        ("name", None),
        ("else", None),
    ],
)
def test_the_words_are_told_as_they_are_written(field: str, told: str | None) -> None:
    assert choices_of(_Wish, field) == told


@pytest.mark.parametrize(
    ("field", "command"),
    [
        ("format", '{"cmd":"send","room":"a","text":"x","format":"html"}'),
        ("priority", '{"cmd":"send","room":"a","text":"x","priority":"huge"}'),
        ("of", '{"cmd":"history","id":1,"room":"a","of":"all"}'),
    ],
)
def test_another_word_in_a_command_is_told_what_to_write(
    field: str, command: str
) -> None:
    with pytest.raises(BadCommand) as told:
        decode_command(command)
    assert told.value.error.field == field
    assert told.value.error.text.startswith(f'`{field}`: write "')
    assert "Invalid" not in told.value.error.text


@pytest.mark.parametrize("second", ["[]", "{}", "null", "7", '"ping"', '"no such"'])
def test_a_second_name_of_the_command_is_an_answer_too(second: str) -> None:
    twice = f'{{"cmd":"send","room":"a","text":"x","format":"html","cmd":{second}}}'
    with pytest.raises(BadCommand) as told:
        decode_command(twice)
    assert told.value.error.field == "format"


def test_the_words_are_found_once() -> None:
    """Whoever sends such a command again and again costs no more than others."""
    choices_of(_Wish, "size")
    before = choices_of.cache_info().misses
    choices_of(_Wish, "size")
    assert choices_of.cache_info().misses == before


@pytest.mark.parametrize("kind", COMMANDS)
def test_every_command_can_be_looked_through(kind: type[Struct]) -> None:
    for field in kind.__struct_fields__:
        choices_of(kind, field)
