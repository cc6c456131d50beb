"""Read marks that come within a second are one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.chat import read_marks
from headgate.chat.entries import Known, ReadMark, Verdict
from headgate.chat.people import SYSTEM
from headgate.chat.read_marks import ReadMarks


class Log:
    """Takes marks and answers each at once."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, int]] = []
        self.said: list[Any] = []
        self.told: list[int] = []
        self.written = asyncio.Event()

    def submit(self, mark: ReadMark, answer: Any) -> None:
        self.marks.append((mark.room_id, mark.seq))
        verdict: Verdict = Known(mark.seq, None)  # type: ignore[arg-type]
        said = answer(verdict)
        if said is not None:
            self.said.append(said)
        self.written.set()


def moved(marks: ReadMarks, log: Log, seq: int, room_id: int = 1) -> None:
    def tell(_: Verdict) -> None:
        log.told.append(seq)

    marks.move(ReadMark(room_id, SYSTEM, seq), lambda _: f"r{seq}", tell)


async def test_the_first_is_written_at_once() -> None:
    log = Log()
    moved(ReadMarks(log.submit, log.said.append), log, 5)

    assert (log.marks, log.said) == ([(1, 5)], ["r5"])


async def test_those_within_a_second_are_written_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read_marks, "JOINED_SECONDS", 0.05)
    log = Log()
    marks = ReadMarks(log.submit, log.said.append)
    for seq in (5, 6, 9, 7):
        moved(marks, log, seq)
    assert log.marks == [(1, 5)]

    log.written.clear()
    await log.written.wait()

    assert log.marks == [(1, 5), (1, 9)]
    assert sorted(log.said) == ["r5", "r6", "r7", "r9"]
    assert len(log.told) == 2  # once for each that was written


async def test_rooms_do_not_wait_for_each_other() -> None:
    log = Log()
    marks = ReadMarks(log.submit, log.said.append)
    moved(marks, log, 5, room_id=1)
    moved(marks, log, 6, room_id=2)

    assert log.marks == [(1, 5), (2, 6)]


async def test_what_waits_is_written_at_the_end() -> None:
    log = Log()
    marks = ReadMarks(log.submit, log.said.append)
    moved(marks, log, 5)
    moved(marks, log, 8)
    marks.close()

    assert log.marks == [(1, 5), (1, 8)]
