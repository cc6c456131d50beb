from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.client.incoming import (
    Answer,
    Page,
    UnknownEvent,
    Unreadable,
    decode_frame,
    decode_reply,
    encode_command,
)
from headgate.protocol import codec, commands, pushes

AUTHOR = {"id": "u1", "kind": "user", "name": "Ada"}


def message(**more: Any) -> dict[str, Any]:
    base = {"push": "message", "room": "a", "seq": 1, "author": AUTHOR, "text": "x"}
    return {**base, "at": "2026-01-01T00:00:00Z", **more}


def test_a_push_and_a_reply() -> None:
    push = decode_frame(json.dumps(message()))
    assert isinstance(push, pushes.Message)
    assert push.text == "x"

    answer = decode_frame('{"reply":4,"seq":7,"at":"now"}')
    assert isinstance(answer, Answer)
    saved = decode_reply(commands.Send(room="a", text="x"), answer.text)
    assert saved == pushes.Saved(reply=4, seq=7, at="now")


def test_an_error_that_answers_no_command() -> None:
    text = '{"reply":null,"error":{"code":"rate_limited","text":"Too fast."}}'
    answer = decode_frame(text)

    assert isinstance(answer, Answer)
    assert answer.reply is None
    assert answer.error is not None


def test_what_a_newer_server_adds_does_no_harm() -> None:
    assert decode_frame('{"push":"sparkle","room":"a","seq":"odd"}') is None
    assert decode_frame('{"push":"partial","room":"a","seq":4,"text":"x"}') is None
    assert isinstance(decode_frame(json.dumps(message(new=1))), pushes.Message)


def test_an_event_with_an_unknown_author_kind_keeps_its_place() -> None:
    robot = {"id": "r", "kind": "robot", "name": "R"}
    event = decode_frame(json.dumps(message(seq=5, author=robot)))

    assert isinstance(event, UnknownEvent)
    assert (event.push, event.room, event.seq) == ("message", "a", 5)
    assert event.raw["author"] == robot


def test_a_page_keeps_the_place_of_unknown_events() -> None:
    events = [
        message(),
        {"push": "reacted", "room": "a", "seq": 2, "emoji": "x"},
        message(seq=3),
    ]
    text = {"reply": 1, "room": "a", "events": events, "head": 3, "epoch": "e"}
    history = commands.History(room="a", of="events")

    page = decode_reply(history, json.dumps({**text, "more": False}))

    assert isinstance(page, Page)
    assert [event.seq for event in page.events] == [1, 2, 3]
    assert isinstance(page.events[1], UnknownEvent)
    assert [event.seq for event in page.known("a").events] == [1, 3]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"push":1}', '{"reply":"x"}', "[" * 9999]
)
def test_what_is_not_of_this_wire(text: str) -> None:
    with pytest.raises(Unreadable):
        decode_frame(text)


def test_a_reply_of_the_wrong_kind() -> None:
    with pytest.raises(Unreadable):
        decode_reply(commands.Send(room="a", text="x"), '{"reply":1}')


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        commands.Send,
        room=st.just("a"),
        text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
            str.strip
        ),
        client_id=st.none() | st.text("abc", min_size=1, max_size=64),
        format=st.sampled_from(["plain", "markdown"]),
        data=st.none() | st.dictionaries(st.text("ab"), st.integers(0, 9)),
        reply_to=st.none() | st.integers(1, 2**53 - 1),
    ),
    st.integers(0, 2**53 - 1),
)
def test_a_command_comes_out_as_it_went_in(send: commands.Send, number: int) -> None:
    decoded = codec.decode_command(encode_command(send, number))

    send.id = number
    assert decoded == send


def test_what_says_nothing_is_left_out() -> None:
    text = encode_command(commands.Send(room="a", text="x", client_id="c"), 1)
    assert msgspec.json.decode(text) == {
        "cmd": "send",
        "id": 1,
        "room": "a",
        "text": "x",
        "client_id": "c",
    }
