from __future__ import annotations

import csv
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.server.replay.texts import make_text
from headgate.server.replay.traffic import (
    MAX_TEXT_BYTES,
    BadTraffic,
    read_traffic,
)

SHIPPED = Path(__file__).parents[3] / "benchmarks" / "data" / "live-chat.csv"


@given(st.integers(0, 2**40), st.integers(1, 3000))
def test_text_has_its_length_and_can_be_sent(row: int, size: int) -> None:
    text = make_text(row, size)
    assert len(text.encode()) == size
    assert text == text.strip() != ""
    assert not set(text) & set("\0\r\n\t\"\\<>&'`$*_")
    assert not any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in text)
    assert unicodedata.normalize("NFC", text) == text


@given(st.integers(0, 2**40), st.integers(1, 300))
def test_text_is_the_same_again(row: int, size: int) -> None:
    assert make_text(row, size) == make_text(row, size)


def test_texts_are_of_many_scripts() -> None:
    letters = {letter for row in range(200) for letter in make_text(row, 80)}
    names = {unicodedata.name(letter, "").split()[0] for letter in letters}
    assert names >= {"LATIN", "GREEK", "CYRILLIC", "HEBREW", "ARABIC", "DEVANAGARI"}
    assert names >= {"THAI", "CJK", "HIRAGANA", "HANGUL", "FIRE", "ZERO", "REGIONAL"}


def test_no_text_without_bytes() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        make_text(0, 0)


def test_shipped_log_is_read() -> None:
    traffic = read_traffic(SHIPPED)
    assert len(traffic) == 28_013
    assert len(set(traffic.authors)) == 13_753
    assert traffic.due_ms[-1] == 2_166_925
    assert sum(traffic.sizes) == 784_947
    with SHIPPED.open() as file:
        assert next(csv.reader(file)) == ["t_ms", "author", "bytes"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "line 1: there is no column 't_ms'"),
        ("t_ms,who,bytes\n", "line 1: there is no column 'author'"),
        ("t_ms,author,bytes\n", "has no messages"),
        ("t_ms,author,bytes\n0,1,5\n1,2\n", "line 3: bytes is missing"),
        ("t_ms,author,bytes\n0,1,5\n\n1,x,5\n", "line 4: author is 'x'"),
        ("t_ms,author,bytes\n-1,1,5\n", "line 2: t_ms is '-1'"),
        ("t_ms,author,bytes\n1.5,1,5\n", "line 2: t_ms is '1.5'"),
        ("t_ms,author,bytes\n٣,1,5\n", "line 2: t_ms is '٣'"),
        (f"t_ms,author,bytes\n{'9' * 5000},1,5\n", "line 2: t_ms is '999"),
        ("t_ms,author,bytes\n9,1,5\n8,1,5\n", "line 3: t_ms goes back from 9 to 8"),
        ("t_ms,author,bytes\n9,1,0\n", "line 2: bytes is 0; a text has 1 to 16000"),
        ("t_ms,author,bytes\n9,1,16001\n", "line 2: bytes is 16001"),
        ("t_ms,author,bytes\n0,1," + "5" * 200_000, "is not CSV: field larger"),
    ],
)
def test_bad_log_is_told_with_its_line(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadTraffic) as caught:
        read_traffic(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_file_that_is_no_text_or_no_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xff\xfe\0t")
    with pytest.raises(BadTraffic, match="is not text in UTF-8"):
        read_traffic(path)
    with pytest.raises(BadTraffic, match="Is a directory"):
        read_traffic(tmp_path)
    with pytest.raises(BadTraffic, match="No such file"):
        read_traffic(tmp_path / "absent.csv")


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows = f"bytes, t_ms,note,author\r\n5,0,x,7\r\n{MAX_TEXT_BYTES},3,,8\r\n\r\n"
    path.write_text(f"\ufeff{rows}", encoding="utf-8")
    traffic = read_traffic(path)
    assert list(traffic.due_ms) == [0, 3]
    assert list(traffic.authors) == [7, 8]
    assert list(traffic.sizes) == [5, MAX_TEXT_BYTES]
