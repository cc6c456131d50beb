from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.live.run import EVENT_BYTES, RUN_MAX_BYTES
from headgate.live.tail import KEPT_BYTES, KEPT_EVENTS, Tail
from tests.live.parts import deletion, edit, message


def tail_of(*counts: int, head: int = 0, text: str = "hi") -> Tail:
    """Return a tail to which runs of so many events were appended."""
    tail = Tail(head)
    for count in counts:
        first = tail.head + 1
        tail.append([message(1, seq, text) for seq in range(first, first + count)])
    return tail


def seqs(tail: Tail, position: int) -> list[int]:
    return [shared.push.seq for shared in tail.events(position)]


def size_of(tail: Tail) -> int:
    return sum(shared.size for shared in tail.events(0))


def test_what_comes_after_a_place_is_there() -> None:
    tail = tail_of(3, 2, head=10)

    assert (tail.after, tail.head) == (10, 15)
    assert seqs(tail, 10) == [11, 12, 13, 14, 15]
    assert seqs(tail, 13) == [14, 15]
    assert seqs(tail, 15) == []
    assert [tail.has(position) for position in (9, 10, 15)] == [False, True, True]


def test_an_empty_tail_knows_its_head() -> None:
    tail = Tail(7)

    assert (tail.head, tail.run(7), tail.run(3)) == (7, None, None)
    assert tail.has(7)
    assert not tail.has(6)


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 20_000)), max_size=8))
def test_the_last_events_are_kept_and_no_more_than_that(
    runs: list[tuple[int, int]],
) -> None:
    tail = Tail(0)
    for count, size in runs:
        first = tail.head + 1
        text = "x" * size
        tail.append([message(1, seq, text) for seq in range(first, first + count)])
        kept = tail.head - tail.after

        assert tail.head == first + count - 1
        assert seqs(tail, 0) == list(range(tail.after + 1, tail.head + 1))
        assert tail.size_bytes == size_of(tail) <= KEPT_BYTES
        assert kept < 2 * KEPT_EVENTS
        half = KEPT_BYTES // 2 - 20_200  # of an event more it would be over
        assert kept >= min(tail.head, KEPT_EVENTS) or tail.size_bytes >= half


def test_what_is_forgotten_is_not_had() -> None:
    tail = tail_of(KEPT_EVENTS * 2)

    assert tail.after == KEPT_EVENTS
    assert not tail.has(KEPT_EVENTS - 1)
    run = tail.run(3)
    assert run is not None
    assert run.after == KEPT_EVENTS  # it begins later


def test_a_tail_that_is_cleared_goes_on_from_its_head() -> None:
    tail = tail_of(5)
    tail.clear()
    assert (tail.after, tail.head, tail.size_bytes, tail.run(2)) == (5, 5, 0, None)

    tail.append([message(1, 6)])
    assert seqs(tail, 5) == [6]


def test_many_who_ask_for_the_same_get_one_run() -> None:
    tail = tail_of(4)
    run = tail.run(1)

    assert run is not None
    assert (run.after, run.last) == (1, 4)
    assert tail.run(1) is run
    other = tail.run(2)
    assert other is not None
    assert (other.after, other.last) == (2, 4)


def test_a_run_grows_with_the_tail_unless_it_is_full() -> None:
    tail = tail_of(2)
    assert tail.run(0) is not None
    tail.append([message(1, 3)])
    run = tail.run(0)
    assert run is not None
    assert run.last == 3

    tail = tail_of(9, text="x" * (RUN_MAX_BYTES // 4))
    full = tail.run(0)
    assert full is not None
    assert full.is_full
    tail.append([message(1, 10)])
    assert tail.run(0) is full


@pytest.mark.parametrize("size", [1, RUN_MAX_BYTES])
def test_an_edit_is_followed(size: int) -> None:
    """Also in a run that was asked for before."""
    tail = tail_of(3, text="x" * size)
    assert tail.run(0) is not None
    change = edit(1, 4, 1, "new")
    tail.append([change])
    tail.revise(change)

    run = tail.run(0)
    assert run is not None
    assert run.shared[0].push.text == "new"
    assert run.shared[0].push.edited == 4
    assert tail.size_bytes == size_of(tail)


def test_a_deletion_is_followed_in_all_that_is_kept() -> None:
    tail = tail_of(2, text="secret")
    events = [edit(1, 3, 1, "secret"), edit(1, 4, 2, "other"), deletion(1, 5, 1)]
    tail.append(events)
    for event in events:
        tail.revise(event)

    texts = [getattr(shared.push, "text", None) for shared in tail.events(0)]
    assert texts == ["", "other", "", "other", None]
    assert tail.size_bytes == size_of(tail)


def test_what_it_takes_is_more_than_payloads() -> None:
    tail = tail_of(5)
    assert tail.memory_bytes == 2 * tail.size_bytes + 5 * EVENT_BYTES
    tail.clear()
    assert tail.memory_bytes == 0


def test_a_change_of_what_is_forgotten_is_nothing() -> None:
    tail = tail_of(KEPT_EVENTS * 2)
    size = tail.size_bytes
    tail.revise(deletion(1, 9999, 3))

    assert tail.size_bytes == size
