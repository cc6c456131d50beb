"""A body and a URL make the command that the WebSocket would take, and no other."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.chat.http.commands import asked, connect_of, number, told
from headgate.protocol.codec import BadCommand, decode_command
from headgate.protocol.commands import Edit, History, Send
from tests.protocol.strategies import any_text, broken_text, json_values

fuzzed = settings(deadline=None, max_examples=300)

# Pieces of which a body may be made that is more, or less, than an object.
PIECES = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            '"',
            "\\",
            '"text":"hi"',
            '"room":"other"',
            '"cmd":"send"',
            '"cmd":"delete"',
            '"target":1',
            '"id":7',
            '{"text":"hi"}',
            " ",
            "\n",
            "\u00a0",
            "null",
        ],
    ),
    max_size=8,
).map("".join)
BODIES = st.one_of(
    PIECES,
    PIECES.map(lambda inside: "{" + inside + "}"),
    PIECES.map(lambda inside: '{"text":"hi",' + inside + "}"),
    broken_text(),
    json_values(any_text).map(json.dumps),
)


@fuzzed
@given(BODIES)
def test_whatever_the_body_is_the_url_says_where(body: str) -> None:
    try:
        command = told(Send, body, room="general")
    except BadCommand:
        return
    assert type(command) is Send
    assert command.room == "general"
    # And the body was an object by itself: nothing of it closed what stands around it.
    said = json.loads(body)
    assert said["text"] == command.text


@fuzzed
@given(st.dictionaries(any_text, json_values(any_text), max_size=5))
def test_an_object_is_judged_as_the_websocket_judges_it(
    said: dict[str, object],
) -> None:
    for of_the_url in ("cmd", "room", "target"):
        said.pop(of_the_url, None)
    body = json.dumps(said)
    whole = json.dumps({"cmd": "edit", **said, "room": "general", "target": 3})

    expected: object
    found: object
    try:
        expected = decode_command(whole)
    except BadCommand as bad:
        expected = bad.error
    try:
        found = told(Edit, body, room="general", target=3)
    except BadCommand as bad:
        found = bad.error
    assert found == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, None),
        ("0", 0),
        ("007", 7),
        ("-3", -3),
        ("", ""),
        ("-", "-"),
        ("--1", "--1"),
        ("+1", "+1"),
        ("1_0", "1_0"),
        (" 1", " 1"),
        ("1.0", "1.0"),
        ("²", "²"),
        ("٣", "٣"),
        ("9" * 18, int("9" * 18)),
        ("9" * 5000, 10**18),
        ("-" + "9" * 5000, -(10**18)),
    ],
)
def test_numbers_of_a_url(text: str | None, value: int | str | None) -> None:
    assert number(text) == value


@fuzzed
@given(st.text(max_size=30))
def test_whatever_a_url_says_is_taken_or_refused(text: str) -> None:
    try:
        command = asked(History, room=text, after=number(text))
    except BadCommand:
        return
    assert command.room == text
    assert command.after == int(text)


@fuzzed
@given(BODIES)
def test_whatever_is_sent_to_connect_is_taken_or_refused(body: str) -> None:
    try:
        wanted = connect_of(body)
    except BadCommand:
        return
    assert isinstance(json.loads(body), dict)
    assert len(wanted.rooms) <= 100
