from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.server.tail_keyboard import MAX_LINE_CHARACTERS, QUIT, Editor


@pytest.mark.parametrize(
    ("typed", "entered", "left"),
    [
        ("hi\r", ["hi"], ""),
        ("one\ntwo\rthr", ["one", "two"], "thr"),
        ("grüße 👋", [], "grüße 👋"),
        ("abc\x7f\b!", [], "a!"),
        ("\x7f\x7fa", [], "a"),
        ("forget\x15this", [], "this"),
        ("two words\x17", [], "two "),
        ("word \x17", [], ""),
        ("a\tb", [], "a b"),
        ("a\x1b[A\x1b[1;5Cb\x1bOPc\x1bxd", [], "abcd"),
        ("a\x00\x01\x9b\u202eb", [], "ab"),
        ("\x04", [QUIT], ""),
        ("a\x04b", [], "ab"),
        ("\x15\x04", [QUIT], ""),
    ],
)
def test_what_keys_do(typed: str, entered: list[str], left: str) -> None:
    editor = Editor()
    assert editor.feed(typed) == entered
    assert editor.line == left


def test_a_key_may_come_in_parts() -> None:
    editor = Editor()
    for part in ("a\x1b", "[", "1;5", "C", "b"):
        assert editor.feed(part) == []
    assert editor.line == "ab"


def test_a_key_that_never_ends_is_let_go() -> None:
    editor = Editor()
    editor.feed("\x1b[" + "1" * 100)
    editor.feed("b")
    assert editor.line == "b"


def test_a_line_has_an_end() -> None:
    editor = Editor()
    editor.feed("x" * (MAX_LINE_CHARACTERS + 9))
    assert len(editor.line) == MAX_LINE_CHARACTERS


@settings(deadline=None)
@given(st.lists(st.text(max_size=8)))
def test_whatever_is_typed_is_a_line_that_can_be_shown(parts: list[str]) -> None:
    editor = Editor()
    for part in parts:
        for line in [*editor.feed(part), editor.line]:
            assert line.isprintable()
