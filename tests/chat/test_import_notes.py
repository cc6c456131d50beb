"""What an import remembers while it runs."""

from __future__ import annotations

import sqlite3

import pytest

from headgate.chat.import_notes import Notes


def test_notes_are_in_a_file_that_goes_with_them() -> None:
    notes = Notes()
    assert notes.keep_keys(iter(range(10_000))) == 10_000
    assert [len(page) for page in notes.keys(4_000)] == [4_000, 4_000, 2_000]
    notes.close()
    with pytest.raises(sqlite3.ProgrammingError):
        list(notes.keys(1))
