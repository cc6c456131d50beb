from __future__ import annotations

import pytest

from headgate.live.frames import Mode, Shared
from headgate.live.run import RUN_MAX_BYTES, Run, Said, run_of
from headgate.protocol.pushes import TypingSignal
from tests.live.parts import GUS, deletion, frames_in, message

TYPING = TypingSignal(room="room-1", author=GUS, typing=True)


def shared(count: int, text: str = "hi") -> list[Shared]:
    return [Shared(message(1, seq, text)) for seq in range(1, count + 1)]


def seqs(run: Run) -> list[int]:
    return [each.push.seq for each in run.shared]


@pytest.mark.parametrize("mode", Mode)
def test_what_is_said_has_the_very_frames_of_its_pushes(mode: Mode) -> None:
    pushes = shared(3)
    said = Said(pushes, mode)

    assert said.frames == [each.frame(mode) for each in pushes]
    assert said.size_bytes == sum(frame.size for frame in said.frames)
    ready = [frame.payload for frame in frames_in(said.ready)]
    assert ready == [frame.payload for frame in said.frames]
    assert said.ready is said.ready


def test_a_mode_says_less_than_all() -> None:
    pushes = [*shared(2), Shared(deletion(1, 3, 1))]

    assert len(Said(pushes, Mode.V1).frames) == 3
    assert len(Said(pushes, Mode.PLAIN).frames) == 2
    assert Said(pushes[2:], Mode.PLAIN).size_bytes == 0


@pytest.mark.parametrize("mode", Mode)
def test_a_run_is_said_once_in_each_mode(mode: Mode) -> None:
    run = Run(shared(3), 0)

    assert run.said(mode) is run.said(mode)
    others = [run.said(other) for other in Mode if other is not mode]
    assert run.said(mode) not in others


def test_a_part_is_what_comes_after_a_seq_in_it() -> None:
    run = Run(shared(9)[4:], 4)

    assert (run.after, run.last, seqs(run)) == (4, 9, [5, 6, 7, 8, 9])
    part = run.part(7)
    assert (part.after, part.last, seqs(part)) == (7, 9, [8, 9])
    assert run.part(7) is part  # made once for all who are there
    assert run.part(4) is run
    assert part.said(Mode.V1).frames == run.said(Mode.V1).frames[3:]


def test_a_run_ends_with_the_event_that_reaches_the_bound() -> None:
    pushes = shared(200, "x" * 1000)
    begin, runs = 0, []
    while begin < len(pushes):
        run = run_of(pushes, begin, 0)
        size = sum(each.size for each in run.shared)
        rest = size - run.shared[-1].size
        assert rest < RUN_MAX_BYTES
        assert run.is_full == (size >= RUN_MAX_BYTES)
        runs.append(run)
        begin = run.last

    assert [run.is_full for run in runs] == [True] * (len(runs) - 1) + [False]
    assert [seq for run in runs for seq in seqs(run)] == list(range(1, 201))


def test_one_event_larger_than_the_bound_is_a_run() -> None:
    pushes = shared(2, "x" * (RUN_MAX_BYTES + 1))

    run = run_of(pushes, 0, 10)
    assert (run.after, run.last, run.is_full) == (10, 11, True)
