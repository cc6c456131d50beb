"""No escape sequence of a stranger reaches the terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.client import RoomLost, State, Status
from headgate.protocol.pushes import (
    Author,
    Deleted,
    Edited,
    Error,
    Membership,
    Message,
    Presence,
    Reset,
    RoomChanged,
)
from headgate.server.tail_text import (
    Line,
    harmless,
    in_short,
    line_of,
    notice_of,
    state_in_words,
    wait_in_words,
)

ADA = Author(id="u:1", kind="user", name="Ada")
AT = "2026-11-29T10:00:00.123Z"


@settings(deadline=None)
@given(st.text())
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    found = harmless(text)
    categories = {unicodedata.category(each) for each in found}
    assert not categories & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(found) & set(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
    assert "\n" not in in_short(text)
    assert len(in_short(text)) <= 40


@settings(deadline=None)
@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_what_people_write_is_as_they_wrote_it(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("👩‍👩‍👧 🏴󠁧󠁢󠁳󠁣󠁴󠁿 שלום", "👩‍👩‍👧 🏴󠁧󠁢󠁳󠁣󠁴󠁿 שלום"),
    ],
)
def test_it_is_shown_as_what_it_is(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_a_printer_that_knows_lines_may_keep_them() -> None:
    assert harmless("a\nb\x1bc", keep="\n") == "a\nb\\x1bc"


@pytest.mark.parametrize(
    ("push", "what", "text"),
    [
        (Message(room="a", seq=1, author=ADA, text="hi", at=AT), "", "hi"),
        (
            Message(room="a", seq=1, author=ADA, text="ha", at=AT, state="cut"),
            "cut 1",
            "ha",
        ),
        (
            Message(room="a", seq=1, author=ADA, text="", at=AT, deleted=True),
            "wrote 1, which is deleted",
            "",
        ),
        (
            Edited(room="a", seq=2, target=1, author=ADA, text="ho", at=AT),
            "edited 1",
            "ho",
        ),
        (Deleted(room="a", seq=2, target=1, author=ADA, at=AT), "deleted 1", ""),
        (
            Membership(room="a", seq=2, member=ADA, change="role", role="x",
                       author=ADA, at=AT),
            "role x Ada",
            "",
        ),
        (
            Membership(room="a", seq=2, member=ADA, change="muted", until=AT,
                       author=ADA, at=AT),
            f"muted Ada until {AT}",
            "",
        ),
    ],
)  # fmt: skip
def test_what_the_log_says(push: Message, what: str, text: str) -> None:
    assert line_of(push) == Line(AT, ADA, what, text)
    assert notice_of(push) is None


def test_an_edit_of_what_is_deleted_says_nothing() -> None:
    push = Edited(room="a", seq=2, target=1, author=ADA, text="", at=AT, deleted=True)
    assert line_of(push) is None


def test_what_there_is_to_say_of_the_room() -> None:
    lost = RoomLost(room="a", error=Error(code="banned", text="You are banned."))
    assert notice_of(RoomChanged(room="a", slow_mode_ms=30_000)) == (
        "slow mode: a message every 30 s"
    )
    assert notice_of(RoomChanged(room="a", slow_mode_ms=0)) == "no slow mode"
    assert notice_of(RoomChanged(room="a", slow_mode_ms=9, exempt=True)) is None
    assert notice_of(lost) == "no longer in the room: You are banned."
    assert notice_of(Reset(room="a", oldest=1, head=2, epoch="e")) is not None
    presence = Presence(room="a", joined=[ADA])
    assert (line_of(presence), notice_of(presence)) == (None, None)


def test_states_and_waits_in_words() -> None:
    assert state_in_words(State(Status.CONNECTING), 0) == "connecting"
    assert state_in_words(State(Status.WAITING, 104.0, "gone"), 100.0) == (
        "no connection, next try in 4 s"
    )
    assert state_in_words(State(Status.WAITING), 0).endswith("0 s")
    assert wait_in_words(3.0, "slow_mode") == "waits 3 s: slow mode"
    assert wait_in_words(-1.0, None) == "waits 0 s: the server is busy"
    assert wait_in_words(1.0, "\x1b[2J") == "waits 1 s: \\x1b[2J"
