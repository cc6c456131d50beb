"""Which growing messages count as silent: marks, seen by a clock of the test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headgate.chat.growing_rows import Mark
from headgate.chat.growing_silence import LOOK_SECONDS, STILL_SECONDS, Silence

AT = datetime(2026, 1, 1, tzinfo=UTC)


def mark(seq: int = 1, seconds: float = 0.0) -> Mark:
    return Mark(7, seq, AT + timedelta(seconds=seconds))


def watched(silence: Silence, marks: list[Mark], first: float, last: float) -> None:
    """Look at marks that stay the same, every five seconds."""
    now = first
    while now <= last:
        silence.look(marks, now)
        now += LOOK_SECONDS


def test_a_mark_that_stands_still_is_due() -> None:
    silence = Silence()
    watched(silence, [mark()], 1000, 1010)
    assert silence.take_due(1010, 100) == []
    silence.look([mark()], 1000 + STILL_SECONDS)
    assert silence.take_due(1000 + STILL_SECONDS, 100) == [mark()]


def test_one_that_moves_is_seen_anew() -> None:
    silence = Silence()
    watched(silence, [mark()], 1000, 1010)
    watched(silence, [mark(seconds=1)], 1015, 1025)
    assert silence.take_due(1025, 100) == []
    silence.look([mark(seconds=1)], 1030)
    assert silence.take_due(1030, 100) == [mark(seconds=1)]


def test_one_that_was_gone_is_seen_anew() -> None:
    silence = Silence()
    watched(silence, [mark()], 1000, 1010)
    silence.look([], 1015)
    watched(silence, [mark()], 1020, 1030)
    assert silence.take_due(1030, 100) == []


def test_a_process_that_did_not_look_has_seen_nothing() -> None:
    """It was stopped, or its reads hung: others could not write either."""
    silence = Silence()
    watched(silence, [mark()], 1000, 1010)
    watched(silence, [mark()], 1021, 1031)
    assert silence.take_due(1031, 100) == []
    silence.look([mark()], 1036)
    assert silence.take_due(1036, 100) == [mark()]


def test_what_is_taken_waits_again_and_others_are_next() -> None:
    silence = Silence()
    marks = [mark(seq) for seq in (1, 2, 3)]
    watched(silence, marks, 1000, 1015)
    assert silence.take_due(1015, 2) == marks[:2]
    silence.look(marks, 1020)
    assert silence.take_due(1020, 2) == marks[2:]
    watched(silence, marks, 1025, 1030)
    assert silence.take_due(1030, 2) == []
    silence.look(marks, 1035)
    assert silence.take_due(1035, 2) == marks[:2]
