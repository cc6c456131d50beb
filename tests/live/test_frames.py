from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame as PeerFrame
from websockets.frames import Opcode

from headgate.live.frames import (
    Frame,
    Mode,
    Shared,
    StreamPush,
    frame_of,
    text_frame,
)
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.pushes import (
    Author,
    Deleted,
    Failure,
    Gap,
    Message,
    ReadMark,
    Reset,
    Rooms,
    TypingSignal,
    Welcome,
)

ADA = Author("u:1", "user", "Ada")
AT = "2026-01-01T00:00:00.000Z"
HI = Message(room="general", seq=7, client_id="c", author=ADA, text="hi 👋", at=AT)


@given(
    st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
    | st.integers(0, 66_000),
)
def test_ready_frames_are_those_of_the_websockets_library(size: int) -> None:
    payload = b"x" * size
    peer = PeerFrame(Opcode.TEXT, payload).serialize(mask=False)

    assert text_frame(payload) == peer


def test_a_frame_is_made_once_in_each_form() -> None:
    frame = Frame("Привет".encode())

    assert (frame.text, frame.size) == ("Привет", 12)
    assert frame.text is frame.text


def test_a_push_is_encoded_once_for_all_of_a_mode() -> None:
    shared = Shared(HI)

    assert shared.frame(Mode.V1) is shared.frame(Mode.V1)
    assert shared.frame(Mode.PLAIN) is shared.frame(Mode.PLAIN)
    assert shared.frame(Mode.V1) is not shared.frame(Mode.PLAIN)


def test_v1_tells_a_push_as_it_is() -> None:
    frame = Shared(HI).frame(Mode.V1)

    assert frame is not None
    assert frame.payload == frame_of(HI).payload
    assert msgspec.json.decode(frame.payload, type=Message) == HI


@pytest.mark.parametrize(
    ("push", "said"),
    [
        (
            HI,
            {
                "message": "hi 👋",
                "author": "Ada",
                "seq": 7,
                "at": AT,
                "client_id": "c",
            },
        ),
        (Gap(room="general", from_=3, to=9), {"gap": {"from": 3, "to": 9}}),
        (
            Reset(room="general", oldest=1, head=9, epoch="e"),
            {"reset": {"oldest": 1, "head": 9}},
        ),
        (msgspec.structs.replace(HI, text="", deleted=True), None),
        (Deleted(room="general", seq=8, target=7, author=ADA, at=AT), None),
        (TypingSignal(room="general", author=ADA, typing=True), None),
    ],
)
def test_plain_mode_tells_messages_gaps_and_resets(push: object, said: object) -> None:
    frame = Shared(push).frame(Mode.PLAIN)

    assert (None if frame is None else msgspec.json.decode(frame.payload)) == said


WELCOME = Welcome(user=ADA, rooms={}, limits=[], heartbeat_ms=1, max_message_bytes=1)
ENDED = Failure(reply=None, error=error(Code.FORBIDDEN))


@pytest.mark.parametrize("first", list(Mode))
def test_the_stream_says_the_very_bytes_of_v1(first: Mode) -> None:
    shared = Shared(HI)
    shared.frame(first)  # whichever was asked for before
    stream, v1 = shared.frame(Mode.STREAM), shared.frame(Mode.V1)

    assert stream is shared.frame(Mode.STREAM)
    assert stream is not None
    assert v1 is not None
    assert stream.payload == b"event: message\ndata: " + v1.payload + b"\n"
    assert stream.size == len(stream.payload)


@pytest.mark.parametrize(
    ("push", "name", "place"),
    [
        (HI, b"message", ("general", 7, None)),
        (
            Deleted(room="general", seq=8, target=7, author=ADA, at=AT),
            b"deleted",
            ("general", 8, None),
        ),
        (Gap(room="general", from_=3, to=9), b"gap", ("general", 9, None)),
        (
            Reset(room="general", oldest=1, head=9, epoch="e"),
            b"reset",
            ("general", 9, "e"),
        ),
        (TypingSignal(room="general", author=ADA, typing=True), b"typing", None),
        (ReadMark(room="general", author=ADA, seq=4), b"read", None),
        (Rooms(left=["general"]), b"rooms", None),
        (WELCOME, b"welcome", None),
        (ENDED, b"failure", None),
    ],
)
def test_the_stream_knows_where_a_push_leads(
    push: object, name: bytes, place: tuple[str, int, str | None] | None
) -> None:
    said = frame_of(push, Mode.STREAM)

    assert isinstance(said, StreamPush)
    assert said.payload.startswith(b"event: " + name + b"\ndata: {")
    if place is None:
        assert said.room is None
    else:
        assert (said.room, said.seq, said.epoch) == place
