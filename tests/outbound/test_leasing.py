"""How much is leased, in which order, and what goes together."""

from __future__ import annotations

import functools
import operator
from typing import Any

import pytest

from headgate.chat.models import Room
from headgate.outbound import due_rows
from headgate.outbound.calls import Outcome
from headgate.outbound.ledger import (
    Finished,
    replay,
)
from headgate.outbound.models import Delivery, Destination
from tests.outbound.owed_calls import Ledger, done, failed, make, say, texts

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def only(**which: Any) -> Delivery:
    return Delivery.objects.get(**which)


# --- limits of a destination ------------------------------------------------------


def test_rate_and_concurrency_are_kept(room: Room, ledger: Ledger) -> None:
    made = make(rate="2/s:3", concurrency=5)
    say(room, *(f"m{i}" for i in range(9)))
    turned = ledger.turn()
    assert len(turned.leased) == 3
    assert turned.look_at[made.pk] == pytest.approx(ledger.now + 0.5)
    assert ledger.turn().leased == []
    ledger.now += 2.0
    assert len(ledger.turn().leased) == 2, "five on their way are all that may be"
    ledger.note(Finished(turned.leased[0], done()))
    assert len(ledger.turn().leased) == 1


def test_a_rate_that_is_raised_holds_soon(room: Room, ledger: Ledger) -> None:
    """As soon as it would have paid for a burst, and not when the old one would."""
    made = make(rate="2/d", concurrency=100)
    say(room, *(f"m{i}" for i in range(20)))
    assert len(ledger.turn().leased) == 2
    Destination.objects.filter(pk=made.pk).update(rate="10/s")
    assert ledger.turn().leased == []
    ledger.now += 1
    assert len(ledger.turn().leased) == 10


def test_a_cost_budget_is_charged_with_what_calls_report(
    room: Room, ledger: Ledger
) -> None:
    make(cost_budget="60/min:100", concurrency=1)
    say(room, *"abc")
    ledger.make_calls(done(cost=130))
    assert ledger.turn().leased == []
    ledger.now += 29
    assert ledger.turn().leased == []
    ledger.now += 2
    assert len(ledger.turn().leased) == 1


def test_a_rate_that_is_none_lets_next_to_nothing_through(
    room: Room, ledger: Ledger
) -> None:
    make(rate="fast")
    say(room, *"abc")
    assert len(ledger.turn().leased) == 1


def test_saving_what_was_read_before_turns_no_gate_back(
    room: Room, ledger: Ledger
) -> None:
    made = make(rate="1/min")
    say(room, *"ab")
    ledger.make_calls(done())
    made.paused = False
    made.save()
    assert ledger.turn().leased == []
    assert Destination.objects.get().delivered == 1


# --- order --------------------------------------------------------------------------


def test_the_important_go_first(room: Room, ledger: Ledger) -> None:
    make(concurrency=2)
    for text, priority in ("low", "low"), ("one", "normal"), ("high", "high"):
        details = {"priority": priority} if priority != "normal" else None
        say(room, text, details=details)
    assert texts(ledger.turn().leased) == [["high"], ["one"]]


def test_in_each_room_one_after_the_other(room: Room, ledger: Ledger) -> None:
    """One that waits for its retry holds those after it, in its room alone."""
    make(ordering="room", concurrency=9)
    other = Room.objects.create(slug="other")
    for text in "123":
        say(room, f"a{text}", details={"priority": "high"} if text == "3" else None)
        say(other, f"b{text}")
    leased = ledger.turn().leased
    assert sorted(texts(leased)) == [["a1"], ["b1"]]
    assert ledger.turn().leased == []
    a1, b1 = sorted(leased, key=lambda x: texts([x]))
    ledger.note(Finished(a1, failed(retry_after_seconds=500)), Finished(b1, done()))
    assert texts(ledger.make_calls(done())) == [["b2"]]
    assert texts(ledger.make_calls(done())) == [["b3"]]
    assert texts(ledger.make_calls(done())) == []
    ledger.now += 7200
    assert [texts(ledger.make_calls(done())) for _ in range(4)] == [
        [["a1"]],
        [["a2"]],
        [["a3"]],
        [],
    ]


def test_a_dead_one_holds_nobody(room: Room, ledger: Ledger) -> None:
    make(ordering="room")
    say(room, "one", "two")
    ledger.make_calls(Outcome(result="refused"))
    assert texts(ledger.make_calls(done())) == [["two"]]


def test_one_that_is_replayed_waits_for_a_later_one(room: Room, ledger: Ledger) -> None:
    made = make(ordering="room")
    say(room, "one", "two", "three")
    ledger.make_calls(Outcome(result="refused"))
    (two,) = ledger.turn().leased
    replay(destination=made.pk)
    assert ledger.turn().leased == []
    ledger.note(Finished(two, done()))
    assert texts(ledger.make_calls(done())) == [["one"]]
    assert texts(ledger.make_calls(done())) == [["three"]]


def test_many_rooms_have_their_turn(
    room: Room, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.outbound.due_rows.MAX_KEYS", 2)
    make(ordering="room", concurrency=99)
    for slug in "abcde":
        other = Room.objects.create(slug=slug)
        say(other, f"{slug}1", f"{slug}2")
    found = [texts(ledger.turn().leased) for _ in range(4)]
    assert sorted(
        functools.reduce(operator.iadd, functools.reduce(operator.iadd, found, []), [])
    ) == ["a1", "b1", "c1", "d1", "e1"]


# --- joined -------------------------------------------------------------------------


def test_a_batch_waits_to_be_full_or_for_its_time(room: Room, ledger: Ledger) -> None:
    make(batch_size=3, batch_wait_seconds=60)
    say(room, *"abcde")
    turned = ledger.turn()
    assert texts(turned.leased) == [["a", "b", "c"]]
    assert turned.leased[0].call.collects
    created = only(seq=4).created_at
    assert turned.ready_at == pytest.approx(created + 60)
    ledger.now = created + 61
    ledger.note(Finished(turned.leased[0], done()))
    assert texts(ledger.turn().leased) == [["d", "e"]]


def test_a_batch_stays_as_it_is(room: Room, ledger: Ledger) -> None:
    make(batch_size=3)
    say(room, *"ab")
    (first,) = ledger.make_calls(failed())
    say(room, *"cdef")
    ledger.now += 3600
    leased = ledger.turn().leased
    assert sorted(texts(leased)) == [["a", "b"], ["c", "d", "e"], ["f"]]
    again = next(x for x in leased if texts([x]) == [["a", "b"]])
    assert (again.call.id, again.call.attempt) == (first.id, 2)
    assert [t.id for t in again.call.told] == [t.id for t in first.told]
    ids = {t.id for t in first.told}
    assert first.id not in ids
    assert len(ids) == 2

    Destination.objects.update(batch_size=1)
    ledger.note(*(Finished(x, failed()) for x in leased))
    ledger.now += 3600
    calls = ledger.make_calls(done())
    assert {call.id for call in calls} == {x.call.id for x in leased}
    assert all(call.collects for call in calls)
    assert set(ledger.states()) == {"done"}


@pytest.mark.parametrize("ordering", ["none", "room"])
def test_what_was_called_alone_is_called_alone_again(
    room: Room, ledger: Ledger, ordering: str
) -> None:
    """Whatever `batch_size` has become: a receiver knows it by its id."""
    make(ordering=ordering)
    say(room, *"abc")
    first = ledger.make_calls(failed())[0]
    Destination.objects.update(batch_size=3)
    ledger.now += 3600
    again = next(x for x in ledger.turn().leased if x.call.told[0].push.seq == 1)  # type: ignore[union-attr]
    assert (again.call.id, again.call.attempt) == (first.id, 2)
    assert len(again.call.told) == 1
    assert not again.call.collects


def test_one_that_comes_first_just_now_stops_nobody(
    room: Room, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process has owed after the first of a key was looked for."""
    make(batch_size=3, ordering="room")
    say(room, *"ab")
    heads = due_rows.heads

    def and_then(*args: Any, **more: Any) -> Any:
        found = heads(*args, **more)
        Delivery.objects.filter(seq=1).update(due_at=ledger.now + 1)
        return found

    monkeypatch.setattr(due_rows, "heads", and_then)
    assert ledger.turn().leased == []
    monkeypatch.setattr(due_rows, "heads", heads)
    ledger.now += 2
    assert texts(ledger.turn().leased) == [["a", "b"]]


def test_batches_of_ordered_rooms(room: Room, ledger: Ledger) -> None:
    make(batch_size=2, ordering="room")
    other = Room.objects.create(slug="other")
    say(room, "a1", "a2", "a3")
    say(other, "b1")
    assert sorted(texts(ledger.make_calls(done()))) == [["a1", "a2"], ["b1"]]
    assert texts(ledger.make_calls(done())) == [["a3"]]


# --- late ---------------------------------------------------------------------------


def expire(**which: Any) -> None:
    Delivery.objects.filter(**which).update(expires_at=1.0)


def test_the_late_go_all_the_same(room: Room, ledger: Ledger) -> None:
    make(late="keep")
    say(room, "one")
    expire()
    assert len(ledger.turn().leased) == 1


def test_the_late_are_dropped(room: Room, ledger: Ledger) -> None:
    make(late="drop", useful_seconds=3600)
    say(room, "one", "two")
    expire(seq=1)
    assert texts(ledger.make_calls(done())) == [["two"]]
    assert ledger.states() == ["dropped", "done"]


def test_the_late_are_told_as_one_digest(room: Room, ledger: Ledger) -> None:
    make(late="digest", useful_seconds=3600)
    say(room, *"abc")
    expire(seq__lt=3)
    calls = {call.digest: call for call in ledger.make_calls(failed())}
    assert [len(calls[True].told), len(calls[False].told)] == [2, 1]

    say(room, "d")
    expire(seq=4)
    ledger.now += 1800
    again = ledger.make_calls(done())
    digests = [call for call in again if call.digest]
    assert sorted(len(call.told) for call in digests) == [1, 2]
    assert calls[True].id in {call.id for call in digests}
    assert next(c for c in digests if len(c.told) == 2).attempt == 2


def test_the_late_of_a_service_that_waits_are_not_touched(
    room: Room, ledger: Ledger
) -> None:
    make(late="drop")
    say(room, "one")
    expire()
    Destination.objects.update(not_before=ledger.now + 9)
    ledger.turn()
    assert ledger.states() == ["due"]
