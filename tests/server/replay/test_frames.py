from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from headgate.server.replay.frames import (
    CLOSE,
    PING,
    TEXT,
    BadFrame,
    FrameReader,
    client_frame,
    server_header,
)

# Around each border of the three ways to write a length.
sizes = st.sampled_from([0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000])
payloads = sizes.map(lambda size: bytes(at % 251 for at in range(size)))


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def parsed_by_websockets(data: bytes) -> Frame:
    """Have a client's frame read by somebody else's code."""
    stream = StreamReader()
    stream.feed_data(data)
    parsing = Frame.parse(stream.read_exact, mask=True)
    try:
        next(parsing)
    except StopIteration as done:
        frame: Frame = done.value
        return frame
    raise AssertionError("The frame is not complete.")


@given(st.lists(payloads, max_size=4), st.lists(st.integers(0, 10**6), max_size=8))
def test_any_chunking_gives_the_same_messages(
    messages: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(Frame(Opcode.TEXT, m).serialize(mask=False) for m in messages)
    reader = FrameReader()
    found = [message for piece in pieces(data, cuts) for message in reader.feed(piece)]
    assert found == messages
    assert reader.rest == b""


@given(
    st.lists(st.tuples(st.binary(max_size=200), st.integers(1, 4)), max_size=6),
    st.lists(st.integers(0, 10**6), max_size=8),
)
def test_fragments_and_pings_between_them(
    messages: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    data = b""
    pings: list[tuple[int, bytes]] = []
    for body, count in messages:
        for number, part in enumerate(pieces(body, range(0, 999, 7))[:count]):
            opcode = Opcode.CONT if number else Opcode.TEXT
            data += Frame(opcode, part, fin=False).serialize(mask=False)
            ping = b"p%d" % len(pings)
            pings.append((PING, ping))
            data += Frame(Opcode.PING, ping).serialize(mask=False)
        data += Frame(Opcode.CONT, b"!").serialize(mask=False)
    reader = FrameReader()
    found = [message for piece in pieces(data, cuts) for message in reader.feed(piece)]
    assert found == [
        b"".join(pieces(body, range(0, 999, 7))[:count]) + b"!"
        for body, count in messages
    ]
    assert reader.controls == pings


@given(payloads)
def test_own_frames_are_what_others_read(payload: bytes) -> None:
    frame = parsed_by_websockets(client_frame(payload))
    assert (frame.opcode, frame.data, frame.fin) == (Opcode.TEXT, payload, True)
    header = Frame(Opcode.TEXT, payload).serialize(mask=False)[: -len(payload) or None]
    assert server_header(len(payload)) == header


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x80\0\0\0\0",  # masked
        b"\xc1\x00",  # a reserved bit
        b"\x80\x00",  # a continuation of nothing
        b"\x83\x00",  # an opcode that is not taken
        b"\x8b\x00",  # a control opcode that is not taken
        b"\x09\x00",  # a ping in parts
        b"\x89\x7e\x00\x7e" + bytes(126),  # a long ping
        b"\x01\x00\x81\x00",  # a new message inside of one
        b"\x81\x7f" + b"\x7f" + bytes(7),  # longer than memory
    ],
)
def test_broken_frames_are_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        FrameReader().feed(data)


@given(st.binary(max_size=60), st.lists(st.integers(0, 100), max_size=4))
def test_noise_never_gives_another_error(data: bytes, cuts: list[int]) -> None:
    reader = FrameReader()
    try:
        for piece in pieces(data, cuts):
            reader.feed(piece)
    except BadFrame:
        pass


def test_close_frame_is_handed_out() -> None:
    reader = FrameReader()
    close: Any = Frame(Opcode.CLOSE, b"\x0f\xa0bye").serialize(mask=False)
    assert reader.feed(close) == []
    assert reader.controls == [(CLOSE, b"\x0f\xa0bye")]
    assert parsed_by_websockets(client_frame(b"", TEXT)).data == b""
