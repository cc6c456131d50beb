from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.live.positions import MAX_LENGTH, Positions, positions_in
from headgate.protocol.commands import Position
from headgate.protocol.fields import MAX_INTEGER, MAX_ROOMS

epochs = st.from_regex(r"[0-9A-Za-z]{1,16}", fullmatch=True)
seqs = st.integers(0, MAX_INTEGER)


def test_all_places_are_one_text() -> None:
    positions = Positions()
    assert not str(positions)
    positions.move("general", 1041, "9f2c01ab")
    positions.move("help", 7, "00ff00ff")
    assert str(positions) == "9f2c01ab-1041.00ff00ff-7"
    assert positions_in(str(positions)) == [
        Position(1041, "9f2c01ab"),
        Position(7, "00ff00ff"),
    ]


def test_a_place_keeps_its_epoch_until_another_is_given() -> None:
    positions = Positions()
    positions.move("general", 1, "aa")
    positions.move("general", 2)
    assert str(positions) == "aa-2"
    positions.move("general", 0, "bb")
    positions.move("general", 1)
    assert str(positions) == "bb-1"


def test_a_room_without_an_epoch_has_no_place() -> None:
    positions = Positions()
    positions.move("general", 0, "")
    positions.move("help", 3)
    assert not str(positions)


@given(st.lists(st.tuples(epochs, seqs), min_size=1, max_size=MAX_ROOMS))
def test_what_is_made_can_be_read(places: list[tuple[str, int]]) -> None:
    positions = Positions()
    for number, (epoch, seq) in enumerate(places):
        positions.move(f"room-{number}", seq, epoch)

    assert len(str(positions)) <= MAX_LENGTH
    assert positions_in(str(positions)) == [Position(seq, e) for e, seq in places]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "9f2c01ab",
        "9f2c01ab-",
        "-7",
        "9f2c01ab-7.",
        ".9f2c01ab-7",
        "9f2c01ab-7..00ff00ff-1",
        "9f2c01ab-7,00ff00ff-1",
        "9f2c01ab--7",
        "9f2c01ab-+7",
        "9f2c01ab- 7",
        "9f2c01ab-7\n",
        "9f2c01ab-\u0667",
        "9f2c01ab-9007199254740992",
        "general-7-7",
        "é-7",
        "x" * 17 + "-7",
        "a-" + "1" * 17,
        ".".join(["a-1"] * (MAX_ROOMS + 1)),
        "a-1." * 5000,
    ],
)
def test_what_is_not_made_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"it |a place"):
        positions_in(text)


@given(st.text(max_size=40) | st.from_regex(r"[0-9a-f.-]{1,40}"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = positions_in(text)
    except ValueError:
        return
    assert all(0 <= place.seq <= MAX_INTEGER for place in found)
