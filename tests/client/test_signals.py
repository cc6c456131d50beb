from __future__ import annotations

from headgate.client.pacing import Pacing
from headgate.client.signals import Signals
from headgate.limits.policy import Policy
from headgate.protocol.commands import Read
from tests.client.limited_server import LimitedServer
from tests.client.test_pacing import welcome


def anywhere(room: str) -> bool:
    return True


def paced(rate: str = "1/3s") -> Pacing:
    pacing = Pacing()
    pacing.welcomed(welcome(LimitedServer([Policy("typing", rate)]).told()), 0)
    return pacing


def say(signals: Signals, pacing: Pacing, now: float) -> list[bool]:
    """Take what is to be said, and count it as the client does."""
    taken = signals.take_typing(now, pacing)
    for each in taken:
        pacing.begin(each, now).counted(now)
    return [each.typing for each in taken]


def test_typing_goes_at_the_rate_of_the_server() -> None:
    signals, pacing, said = Signals(), paced(), []
    for tenth in range(100):  # somebody types for 10 s
        now = tenth / 10
        signals.typing("a", on=True)
        said += [now for _ in say(signals, pacing, now)]
    assert said == [0, 3.1, 6.2, 9.3]


def test_the_latest_wins_and_goes_as_soon_as_it_may() -> None:
    signals, pacing = Signals(), paced()
    signals.typing("a", on=True)
    assert say(signals, pacing, 0) == [True]
    signals.typing("a", on=False)
    signals.typing("a", on=True)
    signals.typing("a", on=False)
    assert say(signals, pacing, 1) == []
    due = signals.next_at(1, pacing, anywhere)
    assert due is not None
    assert 3 <= due < 3.1
    assert say(signals, pacing, due) == [False]
    assert signals.next_at(due, pacing, anywhere) is None


def test_whoever_goes_on_typing_has_not_stopped() -> None:
    signals, pacing = Signals(), paced()
    signals.typing("a", on=True)
    say(signals, pacing, 0)
    signals.typing("a", on=False)
    say(signals, pacing, 1)
    signals.typing("a", on=True)
    assert say(signals, pacing, 2) == []
    assert signals.next_at(2, pacing, anywhere) is None  # others know that already


def test_without_a_limit_the_same_is_not_said_twice_in_3_s() -> None:
    signals, pacing = Signals(), Pacing()
    for now in (0, 1, 2.9):
        signals.typing("a", on=True)
        assert say(signals, pacing, now) == ([True] if now == 0 else [])
    signals.typing("a", on=True)
    assert say(signals, pacing, 3) == [True]
    signals.typing("a", on=False)
    assert say(signals, pacing, 3.1) == [False]
    signals.typing("a", on=False)
    assert say(signals, pacing, 9) == []


def test_nobody_says_that_they_never_began() -> None:
    signals = Signals()
    signals.typing("a", on=False)
    assert say(signals, Pacing(), 0) == []


def test_rooms_do_not_wait_for_each_other() -> None:
    signals, pacing = Signals(), paced()
    signals.typing("a", on=True)
    signals.typing("b", on=True)
    assert len(signals.take_typing(0, pacing)) == 2


def test_a_message_says_that_the_writing_is_over() -> None:
    signals, pacing = Signals(), paced()
    signals.typing("a", on=True)
    say(signals, pacing, 0)
    signals.typing("a", on=False)
    signals.sent_message("a")
    assert say(signals, pacing, 9) == []
    signals.typing("a", on=True)
    assert say(signals, pacing, 9) == [True]
    signals.sent_message("a")
    signals.typing("a", on=True)
    assert say(signals, Pacing(), 10) == [True], "a new beginning, 1 s after the last"


def test_typing_is_dropped_with_the_connection() -> None:
    signals, pacing = Signals(), paced()
    signals.typing("a", on=True)
    signals.disconnected(0)
    assert say(signals, pacing, 1) == []
    signals.typing("a", on=True)
    assert say(signals, pacing, 1) == [True]


def test_marks_are_gathered() -> None:
    signals = Signals()
    for seq in range(1, 4):
        signals.read("a", seq, seq / 10)
    assert signals.next_at(0.4, Pacing(), anywhere) == 0.8
    assert signals.take_marks(0.79, anywhere) == []
    assert signals.take_marks(0.8, anywhere) == [Read(room="a", seq=3)]
    assert signals.take_marks(9, anywhere) == []


def test_marks_wait_no_longer_than_2_s() -> None:
    signals, taken = Signals(), []
    for tenth in range(30):
        signals.read("a", tenth, tenth / 10)
        taken += [
            (tenth, each.seq) for each in signals.take_marks(tenth / 10, anywhere)
        ]
    assert taken == [(20, 20)]


def test_the_next_mark_of_a_room_waits_for_the_answer_to_the_last() -> None:
    signals = Signals()
    signals.read("a", 1, 0)
    (first,) = signals.take_marks(1, anywhere)
    signals.read("a", 2, 1)
    assert signals.take_marks(9, anywhere) == []
    assert signals.next_at(9, Pacing(), anywhere) is None
    signals.marked(first)
    assert signals.take_marks(9, anywhere) == [Read(room="a", seq=2)]


def test_marks_wait_until_the_room_is_joined() -> None:
    signals = Signals()
    signals.read("a", 1, 0)
    assert signals.take_marks(9, lambda room: False) == []
    assert signals.next_at(9, Pacing(), lambda room: False) is None
    assert signals.take_marks(9, anywhere) == [Read(room="a", seq=1)]


def test_a_mark_without_an_answer_goes_again_at_once() -> None:
    signals = Signals()
    signals.read("a", 1, 0)
    signals.read("b", 1, 0)
    signals.take_marks(1, anywhere)
    signals.read("b", 2, 1)
    signals.disconnected(1)
    assert signals.take_marks(1, anywhere) == [Read(room="a", seq=1)]
    assert signals.take_marks(1.5, anywhere) == [Read(room="b", seq=2)]


def test_a_mark_that_is_refused_for_now_goes_later() -> None:
    signals = Signals()
    signals.read("a", 1, 0)
    (mark,) = signals.take_marks(1, anywhere)
    signals.put_back(mark, 5)
    assert signals.take_marks(4.9, anywhere) == []
    assert signals.take_marks(5, anywhere) == [mark]


def test_at_the_end_all_marks_go() -> None:
    signals = Signals()
    for room in "abc":
        signals.read(room, 1, 0)
    assert signals.flush("b") == [Read(room="b", seq=1)]
    assert signals.flush("b") == []
    signals.forget("c")
    assert signals.flush() == [Read(room="a", seq=1)]
    assert signals.flush() == []
