"""What the golden examples cannot say: sizes, limits, and words of the errors."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from headgate.protocol import codec
from headgate.protocol.codes import ERRORS, Code
from headgate.protocol.commands import Ping, PlainSend, Position, Send
from headgate.protocol.fields import (
    MAX_CLIENT_ID,
    MAX_COMMAND_BYTES,
    MAX_DATA_BYTES,
    MAX_DATA_DEPTH,
)
from headgate.protocol.pushes import Error, PlainFailure
from tests.protocol.golden import load


def refused(payload: str, *, plain: bool = False) -> codec.BadCommand:
    """Return the refusal of a payload; fail if it is taken."""
    with pytest.raises(codec.BadCommand) as caught:
        (codec.decode_plain if plain else codec.decode_command)(payload)
    return caught.value


def a_send(text: str = "hi", **more: object) -> str:
    """Return a send command as text, with non-ASCII characters as they are."""
    command = {"cmd": "send", "id": 1, "room": "general", "text": text, **more}
    return json.dumps(command, ensure_ascii=False, separators=(",", ":"))


def a_send_of(size: int, character: str = "x") -> str:
    """Return a send command with exactly this many bytes."""
    left = size - len(a_send("").encode())
    width = len(character.encode())
    return a_send(character * (left // width) + "x" * (left % width))


def test_error_has_the_text_of_its_code() -> None:
    assert codec.error(Code.NOT_JOINED) == Error(
        code="not_joined",
        text=ERRORS[Code.NOT_JOINED].text,
    )


def test_error_takes_a_better_text_and_more() -> None:
    error = codec.error(Code.MUTED, "Until noon.", retry_after_ms=5, remaining=0)
    assert json.loads(codec.encode(error)) == {
        "code": "muted",
        "text": "Until noon.",
        "retry_after_ms": 5,
        "remaining": 0,
    }


def test_plain_failure_says_the_same() -> None:
    error = codec.error(
        Code.RATE_LIMITED,
        field="message",
        policy="send",
        retry_after_ms=730,
        client_id="c-1",
    )
    assert codec.plain_failure(error) == PlainFailure(
        error="rate_limited",
        text="Too fast.",
        field="message",
        policy="send",
        retry_after_ms=730,
        client_id="c-1",
    )


@pytest.mark.parametrize("slug", ["a", "A", "7", "a.b-c_d", "r" * 64, "0-"])
def test_room_slug(slug: str) -> None:
    assert codec.is_room_slug(slug)


@pytest.mark.parametrize(
    "slug",
    ["", " ", ".a", "-a", "_a", "a b", "a/b", "a\n", "a\x00", "é", "٣", "r" * 65],
)
def test_no_room_slug(slug: str) -> None:
    assert not codec.is_room_slug(slug)


@pytest.mark.parametrize("character", ["x", "é", "你", "👍"])
def test_largest_command_is_counted_in_bytes(character: str) -> None:
    largest = a_send_of(MAX_COMMAND_BYTES, character)
    assert isinstance(codec.decode_command(largest), Send)
    error = refused(a_send_of(MAX_COMMAND_BYTES + 1, character)).error
    assert error.code == "too_large"
    assert f"{MAX_COMMAND_BYTES + 1} bytes" in error.text


@pytest.mark.parametrize("size", [MAX_COMMAND_BYTES // 4, MAX_COMMAND_BYTES // 3])
def test_surrogates_as_they_are_are_refused(size: int) -> None:
    # No UTF-8 spells them, but the codec takes any str.
    for payload in ("\ud800", '{"message":"\udfff"}', "\ud800" * size):
        assert refused(payload).error.code == "bad_command"
        assert refused(payload, plain=True).error.code == "bad_command"


def test_surrogates_are_counted_as_three_bytes() -> None:
    assert refused("\ud800" * (MAX_COMMAND_BYTES // 3 + 1)).error.code == "too_large"


@pytest.mark.parametrize("character", ["x", "é"])
def test_largest_data(character: str) -> None:
    room = MAX_DATA_BYTES - len('{"a":""}')
    fits = character * (room // len(character.encode()))
    command = codec.decode_command(a_send(data={"a": fits}))
    assert isinstance(command, Send)
    assert command.data == {"a": fits}
    error = refused(a_send(data={"a": fits + "x"})).error
    assert (error.code, error.field) == ("too_large", "data")


def test_data_is_counted_without_white_space() -> None:
    spaced = a_send(data={"a": 1}).replace('"a":', '"a":' + " " * MAX_DATA_BYTES)
    assert isinstance(codec.decode_command(spaced), Send)


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
def test_deepest_data(open_: str, close: str) -> None:
    def nested(depth: int) -> str:
        return f'{{"a":{open_ * (depth - 1)}0{close * (depth - 1)}}}'

    start = a_send()[:-1]
    codec.decode_command(f'{start},"data":{nested(MAX_DATA_DEPTH)}}}')
    error = refused(f'{start},"data":{nested(MAX_DATA_DEPTH + 1)}}}').error
    assert error.field == "data"
    assert str(MAX_DATA_DEPTH) in error.text


@pytest.mark.parametrize("inside", ["0", '"\\u0000"', "1e400", '"\\ud800"', "x"])
def test_every_depth_is_an_answer(inside: str) -> None:
    # Somewhere in here lies the depth at which the JSON library gives up.
    start = a_send()[:-1]
    for depth in (*range(16, 800, 80), *range(800, 1_050), *range(1_050, 8_000, 800)):
        nested = "[" * depth + inside + "]" * depth
        refused(f'{start},"data":{{"a":{nested}}}}}')
        refused(nested)


def test_nesting_without_end_is_named() -> None:
    for payload in ("[" * 16_000, '{"cmd":"ping","x":' + "[" * 16_000):
        assert "nests too deeply" in refused(payload).error.text
        assert "nests too deeply" in refused(payload, plain=True).error.text


def test_nul_in_an_unknown_field_is_ignored() -> None:
    # A number beyond all doubles is read past in a field that nobody knows.
    payload = '{"cmd":"ping","id":1,"later":["\\u0000",1e400]}'
    assert codec.decode_command(payload) == Ping(id=1)
    assert codec.decode_plain('{"message":"hi","later":"\\u0000"}') == PlainSend("hi")


# Each string field of each command, once, with an example to put something into.
STRINGS = {
    (example["struct"], field): example
    for example in load("commands")
    if len(example["text"]) < 5_000  # room for what is put in
    for field, value in json.loads(example["text"]).items()
    if isinstance(value, str) and field in example["decoded"] and field != "cmd"
}
each_string = pytest.mark.parametrize(
    ("example", "field"),
    [
        pytest.param(example, field, id=f"{struct}-{field}")
        for (struct, field), example in STRINGS.items()
    ],
)


@each_string
@pytest.mark.parametrize("nasty", ["\x00", "\ud800"])
def test_no_string_takes_what_databases_refuse(
    example: dict[str, Any],
    field: str,
    nasty: str,
) -> None:
    command = json.loads(example["text"])
    command[field] = command[field][:-1] + nasty
    plain = example["mode"] == "headgate.plain"
    refusal = refused(json.dumps(command), plain=plain)
    assert refusal.error.code == "bad_command"
    assert refusal.error.field == (field if nasty == "\x00" else None)


@each_string
@pytest.mark.parametrize("nasty", ["x" * 9_000, "'` - at `$.cmd`", "\\u0000\n"])
def test_no_string_confuses_the_error(
    example: dict[str, Any],
    field: str,
    nasty: str,
) -> None:
    command = json.loads(example["text"])
    command[field] = nasty
    plain = example["mode"] == "headgate.plain"
    refusal = None
    try:
        (codec.decode_plain if plain else codec.decode_command)(json.dumps(command))
    except codec.BadCommand as exc:
        refusal = exc
    if refusal is None:
        # Free text, and strings whose meaning others judge.
        free = {"text", "message", "client_id", "ticket", "guest", "name", "agent"}
        assert field in free | {"epoch"}
    else:
        assert refusal.error.field == field
        assert len(refusal.error.text) <= 300


def test_nul_in_a_client_id_is_repeated() -> None:
    refusal = refused(a_send(client_id="c\x00"))
    assert (refusal.reply, refusal.error.client_id) == (1, "c\x00")


@pytest.mark.parametrize("digits", [17, 400, 4_000])
def test_data_takes_no_integer_that_doubles_cannot_hold(digits: int) -> None:
    payload = f'{a_send()[:-1]},"data":{{"a":[{{"b":{"9" * digits}}}]}}}}'
    error = refused(payload).error
    assert error.field == "data"
    assert "integer" in error.text


def test_integers_of_thousands_of_digits_are_refused() -> None:
    # Python itself refuses to read more than 4,300 digits.
    many = "9" * 5_000
    refused(f'{{"cmd":"ping","id":{many}}}')
    refused(f'{a_send()[:-1]},"data":{{"a":{many}}}}}')


@pytest.mark.parametrize(
    "payload",
    [
        a_send(format="x" * 9_000),
        a_send(priority="x" * 9_000),
        a_send(kind="x" * 9_000),
        a_send(room="x" * 9_000),
        '{"cmd":"hello","resume":{"general":{"seq":1,"' + "x" * 9_000 + '":1}}}',
        '{"cmd":"' + "x" * 9_000 + '"}',
        '{"cmd":"history","room":"general","of":"' + "x" * 9_000 + '"}',
    ],
    ids=["format", "priority", "kind", "room", "position", "cmd", "of"],
)
def test_what_a_client_sent_does_not_make_an_error_long(payload: str) -> None:
    assert len(refused(payload).error.text) <= 300


@pytest.mark.parametrize(
    "value",
    ["x - at `$.room`", "' - at `$.room`", "Object missing required field `room`"],
)
def test_what_a_client_sent_does_not_name_the_field(value: str) -> None:
    assert refused(a_send(format=value)).error.field == "format"
    position = {"seq": 1, value: 1}
    payload = json.dumps({"cmd": "hello", "resume": {"general": position}})
    assert refused(payload).error.field == "resume"


def test_rules_are_told_in_words() -> None:
    assert "begins with a letter or digit" in refused(a_send(room="?")).error.text
    for field in ("resume", "pending"):
        payload = json.dumps({"cmd": "hello", field: {"?": []}})
        assert "begins with a letter or digit" in refused(payload).error.text
    assert "`x-`" in refused(a_send(kind="system")).error.text


def test_unknown_command_is_repeated_in_short() -> None:
    error = refused('{"cmd":"' + "y" * 100 + '"}').error
    assert error.code == "unknown_command"
    assert "y" * 40 in error.text
    assert "y" * 41 not in error.text


@pytest.mark.parametrize("id_", [-1, 2**53, 1.0, "1", True, None, [1], {}])
def test_id_that_is_none_is_not_answered(id_: object) -> None:
    assert refused(json.dumps({"cmd": "shout", "id": id_})).reply is None


@pytest.mark.parametrize("id_", [0, 1, 2**53 - 1])
def test_id_is_answered(id_: int) -> None:
    assert refused(json.dumps({"cmd": "shout", "id": id_})).reply == id_


def test_client_id_is_repeated_only_when_it_can_be_one() -> None:
    fits = "c" * MAX_CLIENT_ID
    assert refused(a_send("", client_id=fits)).error.client_id == fits
    assert refused(a_send(client_id=fits + "c")).error.client_id is None
    assert refused(a_send(client_id=["c"])).error.client_id is None


def test_bad_command_reads_as_its_text() -> None:
    refusal = refused("")
    assert str(refusal) == refusal.error.text == "The command is not valid JSON."


def test_position_is_a_seq_with_or_without_its_epoch() -> None:
    resume = {"a": 1, "b": {"seq": 2}, "c": {"seq": 3, "epoch": "9f2c01ab"}}
    hello = codec.decode_command(json.dumps({"cmd": "hello", "resume": resume}))
    assert msgspec.structs.asdict(hello)["resume"] == {
        "a": 1,
        "b": Position(2),
        "c": Position(3, "9f2c01ab"),
    }


def test_encoding_leaves_out_what_is_default() -> None:
    assert codec.encode(codec.error(Code.INTERNAL)) == (
        b'{"code":"internal","text":"Something went wrong on the server."}'
    )
