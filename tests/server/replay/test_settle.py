"""Any fault that is put into what a watcher gets, or into the log, is counted."""

from __future__ import annotations

import json
from array import array
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from headgate.server.replay.frames import server_header
from headgate.server.replay.histogram import Histogram
from headgate.server.replay.judge import OTHER, Event, Judge
from headgate.server.replay.settle import settle_log, settle_rows, settle_seqs
from headgate.server.replay.sight import RowSight, SeqSight
from headgate.server.replay.stream import Arrivals, Stream
from headgate.server.replay.tally import Tally
from headgate.server.replay.traffic import Traffic
from headgate.server.replay.watchers import Watcher
from headgate.server.replay.wire import Target

START = 40  # the head before the run
TARGET = Target("127.0.0.1", 1, "/")

counts = st.integers(1, 60)
places = st.integers(0, 10**6)
cuts = st.lists(st.integers(1, 400), min_size=1, max_size=10)


class Room:
    """A room in which `count` messages of a run were said, and acknowledged."""

    def __init__(self, count: int) -> None:
        self.traffic = Traffic()
        for row in range(count):
            self.traffic.add(row, row % 3, 10)
        self.texts = [f"text {row}" for row in range(count)]
        self.tally = Tally(self.traffic)
        self.judge = Judge("r", "run", self.texts)
        self.stream = Stream(START + 1, self.judge)
        self.arrivals = Arrivals(self.stream, self.tally)
        self.head = START + count
        self.frames = [self.frame(row) for row in range(count)]
        for row in range(count):
            self.tally.wrote(row, again=False)
            self.tally.acknowledge(row, START + 1 + row)

    def frame(self, row: int, *, seq: int | None = None, text: str = "") -> bytes:
        push = {
            "push": "message",
            "room": "r",
            "seq": START + 1 + row if seq is None else seq,
            "client_id": f"run-{row % 3}-{row}",
            "text": text or self.texts[row],
        }
        payload = json.dumps(push).encode()
        return server_header(len(payload)) + payload

    def watcher(self) -> Watcher:
        watcher = Watcher(
            TARGET,
            self.tally,
            self.judge,
            stream=self.stream,
            arrivals=self.arrivals,
            name="w",
        )
        watcher.sight = SeqSight(START + 1)
        watcher.ready()
        watcher.data_received(b"")
        return watcher

    def faults(self, watchers: list[Watcher]) -> tuple[int, int, int]:
        self.arrivals.flush()
        sights = [watcher.settled_sight() for watcher in watchers]
        verdict = settle_seqs(
            self.tally.acked,
            self.judge.row_at,
            [sight for sight in sights if sight is not None],
            self.head,
        )
        faults = (verdict.lost, verdict.duplicated, verdict.out_of_order)
        assert bool(verdict.examples) == any(faults)
        return faults


def feed(watcher: Watcher, frames: list[bytes], steps: list[int]) -> None:
    """Bring frames in pieces of the given sizes, over and over."""
    data = b"".join(frames)
    at = turn = 0
    while at < len(data):
        step = steps[turn % len(steps)]
        watcher.data_received(data[at : at + step])
        at, turn = at + step, turn + 1


@given(counts, st.lists(cuts, min_size=1, max_size=4))
def test_honest_delivery_is_clean_in_any_pieces(
    count: int, steps: list[list[int]]
) -> None:
    room = Room(count)
    watchers = [room.watcher() for _ in steps]
    for watcher, step in zip(watchers, steps, strict=True):
        feed(watcher, room.frames, step)
        assert watcher.expected == room.head + 1
    assert room.faults(watchers) == (0, 0, 0)
    assert room.tally.delivered == room.tally.latency.count == count * len(steps)


@given(count=counts, one=cuts, two=cuts, place=places, first=st.booleans())
def test_dropped_delivery_is_lost(
    *, count: int, one: list[int], two: list[int], place: int, first: bool
) -> None:
    room = Room(count)
    honest, faulty = room.watcher(), room.watcher()
    some = list(room.frames)
    del some[place % count]
    both = [(honest, room.frames, one), (faulty, some, two)]
    for watcher, frames, steps in both[:: -1 if first else 1]:
        feed(watcher, frames, steps)
    assert room.faults([honest, faulty]) == (1, 0, 0)
    assert room.tally.delivered == 2 * count - 1


@given(
    count=counts, one=cuts, two=cuts, place=places, later=places, first=st.booleans()
)
def test_delivery_that_comes_again_is_a_duplicate(
    *, count: int, one: list[int], two: list[int], place: int, later: int, first: bool
) -> None:
    room = Room(count)
    honest, faulty = room.watcher(), room.watcher()
    more = list(room.frames)
    place %= count
    more.insert(place + 1 + later % (count - place), room.frames[place])
    both = [(honest, room.frames, one), (faulty, more, two)]
    for watcher, frames, steps in both[:: -1 if first else 1]:
        feed(watcher, frames, steps)
    assert room.faults([honest, faulty]) == (0, 1, 0)
    assert room.tally.delivered == 2 * count


@given(count=st.integers(2, 60), one=cuts, two=cuts, place=places, first=st.booleans())
def test_swapped_deliveries_are_out_of_order(
    *, count: int, one: list[int], two: list[int], place: int, first: bool
) -> None:
    room = Room(count)
    honest, faulty = room.watcher(), room.watcher()
    mixed = list(room.frames)
    place %= count - 1
    mixed[place : place + 2] = mixed[place + 1], mixed[place]
    both = [(honest, room.frames, one), (faulty, mixed, two)]
    for watcher, frames, steps in both[:: -1 if first else 1]:
        feed(watcher, frames, steps)
    assert room.faults([honest, faulty]) == (0, 0, 1)
    assert room.tally.delivered == 2 * count


@given(count=counts, one=cuts, two=cuts, place=places, first=st.booleans())
def test_altered_text_is_a_loss_where_it_came(
    *, count: int, one: list[int], two: list[int], place: int, first: bool
) -> None:
    room = Room(count)
    honest, faulty = room.watcher(), room.watcher()
    wrong = list(room.frames)
    wrong[place % count] = room.frame(place % count, text="another")
    both = [(honest, room.frames, one), (faulty, wrong, two)]
    for watcher, frames, steps in both[:: -1 if first else 1]:
        feed(watcher, frames, steps)
    assert room.faults([honest, faulty]) == (1, 0, 0)


@given(counts, cuts, places)
def test_message_with_a_second_seq_is_a_duplicate(
    count: int, steps: list[int], place: int
) -> None:
    room = Room(count)
    watcher = room.watcher()
    room.head += 1
    again = room.frame(place % count, seq=room.head)
    feed(watcher, [*room.frames, again], steps)
    assert room.faults([watcher]) == (0, 1, 0)


@given(counts, cuts, places, st.sampled_from([1, START, START + 61, 10**9]))
def test_acknowledgement_with_a_wrong_seq_is_a_loss(
    count: int, steps: list[int], place: int, seq: int
) -> None:
    room = Room(count)
    watcher = room.watcher()
    feed(watcher, room.frames, steps)
    room.tally.acked[place % count] = seq
    # At its seq nobody has it, and the second watcher has nothing at all.
    assert room.faults([watcher, room.watcher()]) == (1 + 1 + count, 0, 0)


def test_seq_that_cannot_be_is_not_waited_for() -> None:
    room = Room(3)
    watcher = room.watcher()
    feed(watcher, [*room.frames, room.frame(1, seq=2**53 - 1)], [1000])
    assert room.faults([watcher]) == (0, 0, 1)


def test_ping_between_leaves_the_watcher_in_step() -> None:
    room = Room(4)
    first, second = room.watcher(), room.watcher()
    feed(first, room.frames, [1000])
    feed(second, [room.frames[0], b"\x89\x01p", *room.frames[1:]], [7])
    assert second.expected == room.head + 1
    assert room.faults([first, second]) == (0, 0, 0)


events = st.integers(1, 40).map(
    lambda count: [Event(START + 1 + row, row) for row in range(count)]
)


@given(
    events, places, st.sampled_from(["whole", "short", "double", "altered", "mixed"])
)
def test_log_is_judged(log: list[Event], place: int, fault: str) -> None:
    acked = {event.row: event.seq for event in log}
    place %= len(log)
    expected = (0, 0, 0)
    match fault:
        case "short":
            del log[place]
            expected = (1, 0, 0)
        case "double":
            log.append(Event(START + len(log) + 1, place))
            expected = (0, 1, 0)
        case "altered":
            log[place] = Event(log[place].seq, OTHER)
            expected = (1, 0, 0)
        case "mixed" if place:
            log[place - 1 : place + 1] = log[place], log[place - 1]
            expected = (0, 0, 1)
    verdict = settle_log(acked, log, list(range(len(acked))))
    assert (verdict.lost, verdict.duplicated, verdict.out_of_order) == expected


def test_log_that_turns_an_authors_messages_around() -> None:
    log = [Event(1, 1), Event(2, 0)]
    assert settle_log({0: 2, 1: 1}, log, [5, 5]).out_of_order == 1
    assert settle_log({0: 2, 1: 1}, log, [5, 6]).out_of_order == 0


@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=40),
    places,
    st.sampled_from(["none", "drop", "double", "swap"]),
)
def test_chat_without_seqs_is_judged(
    authors: list[int], place: int, fault: str
) -> None:
    sight = RowSight(array("q", authors))
    rows = list(range(len(authors)))
    place %= len(rows) - 1
    expected = (0, 0, 0)
    match fault:
        case "drop":
            del rows[place]
            expected = (1, 0, 0)
        case "double":
            rows.append(place)
            expected = (0, 1, 0)
        case "swap":
            rows[place : place + 2] = rows[place + 1], rows[place]
            expected = (0, 0, int(authors[place] == authors[place + 1]))
    for row in rows:
        sight.saw(row)
    verdict = settle_rows(dict.fromkeys(range(len(authors)), 0), [sight])
    assert (verdict.lost, verdict.duplicated, verdict.out_of_order) == expected
    assert bool(verdict.examples) == any(expected)


def test_what_one_watcher_saw_is_owed_to_all() -> None:
    authors = array("q", [1, 1, 2])
    one, two = RowSight(authors), RowSight(authors)
    one.saw(0)
    two.saw(1)
    assert settle_rows({2: 0}, [one, two]).lost == 4


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200))
def test_percentiles_are_never_too_low(durations: list[float]) -> None:
    histogram = Histogram()
    for seconds in durations:
        histogram.add(seconds)
    ordered = sorted(durations)
    shares = (50, 95, 99, 100)
    for share in shares:
        exact = ordered[-(-len(ordered) * share // 100) - 1] * 1000
        found = histogram.percentile_ms(share)
        assert found is not None
        assert exact - 0.001 <= found <= exact * 1.001 + 0.001
    found_all = [histogram.percentile_ms(share) or 0 for share in shares]
    assert all(a <= b for a, b in pairwise(found_all))
