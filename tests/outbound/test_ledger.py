"""One call and what becomes of it, and what people do to what is owed."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from headgate.chat.actions import delete_message
from headgate.chat.models import Event, Room
from headgate.chat.people import SYSTEM
from headgate.outbound import finishing, gates, replaying
from headgate.outbound.calls import Outcome
from headgate.outbound.due_rows import DELIVERY
from headgate.outbound.gates import GRACE_SECONDS
from headgate.outbound.ledger import (
    Finished,
    drop,
    due_destinations,
    owe_test,
    replay,
)
from headgate.outbound.models import Attempt, Delivery, Destination
from headgate.outbound.purge import purge
from headgate.protocol.pushes import Message
from tests.outbound.owed_calls import Ledger, done, failed, make, say, texts

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def only(**which: Any) -> Delivery:
    return Delivery.objects.get(**which)


# --- one call -----------------------------------------------------------------------


def test_a_call_tells_the_event_as_it_is_now(room: Room, ledger: Ledger) -> None:
    made = make(timeout_seconds=5, secrets=["whsec_a"], url="https://a.example/")
    say(room, "one", "two")
    delete_message(room, 1, by=SYSTEM)
    calls = [x.call for x in ledger.turn().leased]

    assert [(c.attempt, c.collects, c.digest) for c in calls] == [(1, False, False)] * 2
    gone, two = [c.told[0] for c in calls]
    assert isinstance(gone.push, Message)
    assert isinstance(two.push, Message)
    assert (gone.push.deleted, gone.push.text, two.push.text) == (True, "", "two")
    assert (two.event, two.room_id, two.payload) == ("message", room.pk, None)
    assert calls[1].id == two.id == str(only(seq=2).pk)
    target = calls[0].target
    assert (target.id, target.name, target.kind) == (made.pk, "crm", "handler")
    assert (target.secrets, target.timeout_seconds) == (("whsec_a",), 5)
    assert (target.url, target.public_only) == ("https://a.example/", False)


def test_what_is_leased_is_leased_once(room: Room, ledger: Ledger) -> None:
    make(timeout_seconds=5)
    say(room, "one")
    (first,) = ledger.turn().leased
    assert ledger.turn().leased == []
    assert due_destinations(connection, ledger.now) == {}
    ledger.now += 5 + GRACE_SECONDS - 0.01
    assert ledger.turn().leased == []
    ledger.now += 0.02
    (again,) = ledger.turn().leased
    assert again.call.id == first.call.id
    assert again.token != first.token
    assert again.call.attempt == 2, "a try that a worker did not survive is one"


def test_a_call_that_was_made_is_done(room: Room, ledger: Ledger) -> None:
    make()
    say(room, "one")
    ledger.make_calls(done(service_seconds=0.5, status=200, cost=3))

    row = only()
    assert (row.state, row.attempts, row.lease, row.last_status) == ("done", 1, "", 200)
    assert row.finished_at == ledger.now
    (attempt,) = Attempt.objects.all()
    assert (attempt.number, attempt.outcome, attempt.status) == (1, "delivered", 200)
    assert (attempt.service_seconds, attempt.delivery) == (0.5, row)
    made = Destination.objects.get()
    assert (made.calls, made.delivered, made.failures, made.cost) == (1, 1, 0, 3)
    assert made.service_seconds == 0.5
    assert made.waited_seconds == pytest.approx(10, abs=5)


def test_a_lease_that_was_lost_changes_nothing(room: Room, ledger: Ledger) -> None:
    make()
    say(room, "one")
    (lost,) = ledger.turn().leased
    ledger.now += 60
    (kept,) = ledger.turn().leased
    ledger.note(Finished(lost, Outcome(result="refused", error="late")))
    assert (only().state, only().last_error) == ("due", "")
    ledger.note(Finished(kept, done()))
    ledger.note(Finished(lost, failed()))
    assert only().state == "done"
    assert Attempt.objects.count() == 1


def test_what_was_not_begun_is_given_back(room: Room, ledger: Ledger) -> None:
    make()
    say(room, "one")
    ledger.note(*(Finished(x, None) for x in ledger.turn().leased))
    (again,) = ledger.turn().leased
    assert again.call.attempt == 1
    assert not again.retry
    assert Attempt.objects.count() == 0


def test_a_destination_that_is_deleted_takes_all_along(
    room: Room, ledger: Ledger
) -> None:
    make()
    say(room, "one")
    leased = ledger.turn().leased
    Destination.objects.get().delete()
    ledger.note(*(Finished(x, done()) for x in leased))
    assert Delivery.objects.count() == 0


def test_many_deliveries_are_deleted_and_dropped_in_parts(
    room: Room, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nobody waits for a backlog, nor is one read into memory."""
    monkeypatch.setattr(replaying, "AT_ONCE", 2)
    made, other = make(concurrency=5), make("other")
    say(room, *"abcde")
    ledger.note(*(Finished(x, failed()) for x in ledger.turn(crm=9).leased))
    with CaptureQueriesContext(connection) as asked:
        assert replaying.drop_all(other) == 5
    assert sum("'dropped'" in each["sql"] for each in asked) == 3
    with CaptureQueriesContext(connection) as asked:
        replaying.delete_destination(made)
    deletes = [each for each in asked if f'DELETE FROM "{DELIVERY}"' in each["sql"]]
    assert len(deletes) == 3
    assert Attempt.objects.count() == 0
    assert {row.destination for row in Delivery.objects.all()} == {other}
    assert list(Destination.objects.all()) == [other]


def test_no_statement_reads_a_backlog(room: Room, ledger: Ledger) -> None:
    """By SQLite's plans: it looks for rows in an index, by all that it asks for."""
    if connection.vendor != "sqlite":
        return  # its plans depend on what the tables hold
    make(late="drop")
    make("ordered", ordering="room", late="digest", batch_size=2)
    say(room, *(f"m{i}" for i in range(10)))
    Delivery.objects.filter(seq=1).update(expires_at=1.0)
    with CaptureQueriesContext(connection) as captured:
        due_destinations(connection, ledger.now)
        leased = ledger.turn().leased
        ledger.note(*(Finished(x, failed()) for x in leased))
        purge(connection, ledger.now + 10**9)
        Destination.objects.update(paused=True)
        assert purge(connection, ledger.now + 10**9), "some are given up"
    plans = []
    with connection.cursor() as cursor:
        for query in captured.captured_queries:
            if DELIVERY in query["sql"]:
                cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
                plans += [row[3] for row in cursor.fetchall()]
    looks = {plan for plan in plans if "delivery" in plan or "one" in plan.split()}
    assert len(looks) > 5, looks
    assert [plan for plan in looks if "SCAN" in plan and "one" not in plan] == []
    due = [plan for plan in looks if "delivery_due" in plan]
    assert [plan for plan in due if "importance=? AND due_at<?" not in plan] == []
    assert [plan for plan in looks if "delivery_past" in plan] == []
    assert any("delivery_leased" in plan for plan in looks)
    assert any("delivery_order (destination_id=? AND order_key=?" in p for p in looks)
    assert any("delivery_end (state=? AND finished_at<?" in plan for plan in looks)


@pytest.mark.parametrize("state", [{"enabled": False}, {"paused": True}])
def test_nobody_calls_what_is_off(
    room: Room, ledger: Ledger, state: dict[str, bool]
) -> None:
    make()
    say(room, "one")
    Destination.objects.update(**state)
    assert due_destinations(connection, ledger.now) == {}
    assert ledger.turn().leased == []


# --- what comes of it ---------------------------------------------------------------


def test_a_failure_is_retried_later_and_then_given_up(
    room: Room, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(max_attempts=3)
    make("ops", events=["delivery.exhausted"], rooms=[])
    say(room, "one")
    monkeypatch.setattr("random.random", lambda: 0.5)
    for wait in (10, 20):
        (x,) = ledger.turn(crm=9).leased
        ledger.note(Finished(x, failed(error="no\0 answer" + "x" * 400, status=500)))
        row = only(event="message")
        assert (row.state, row.due_at) == ("due", ledger.now + wait)
        assert row.last_error.startswith("no answerx")
        assert len(row.last_error) == 300
        assert ledger.turn(crm=9).leased == []
        ledger.now += wait
    (x,) = ledger.turn(crm=9).leased
    assert x.call.attempt == 3
    ledger.note(Finished(x, failed(error="no answer")))

    row = only(event="message")
    assert (row.state, row.attempts, row.last_status) == ("dead", 3, 500)
    notice = only(event="delivery.exhausted")
    assert notice.destination.name == "ops"
    assert notice.payload == {
        "destination": "crm",
        "delivery": str(row.pk),
        "event": "message",
        "room": "general",
        "seq": 1,
        "attempts": 3,
        "error": "no answer",
    }


def test_a_retry_is_never_before_retry_after(room: Room, ledger: Ledger) -> None:
    make()
    say(room, "one")
    ledger.make_calls(failed(retry_after_seconds=7200.0))
    assert only().due_at >= ledger.now + 7200


def test_a_throttled_call_is_no_attempt_and_all_wait(
    room: Room, ledger: Ledger
) -> None:
    make(concurrency=1)
    make("other", concurrency=1)
    say(room, "one", "two")
    throttled = Outcome(result="throttled", status=429, retry_after_seconds=30.0)
    ledger.make_calls(lambda c: throttled if c.target.name == "crm" else done())

    waiting = Delivery.objects.filter(destination__name="crm")
    assert {(r.state, r.attempts) for r in waiting} == {("due", 0)}
    assert Attempt.objects.count() == 1
    before = list(waiting.values_list("pk", "due_at").order_by("pk"))
    assert list(due_destinations(connection, ledger.now)) == [
        Destination.objects.get(name="other").pk
    ]
    turned = ledger.turn()
    assert [x.call.target.name for x in turned.leased] == ["other"]
    assert turned.look_at[Destination.objects.get(name="crm").pk] == ledger.now + 30
    assert list(waiting.values_list("pk", "due_at").order_by("pk")) == before
    ledger.now += 30
    assert [x.call.attempt for x in ledger.turn(crm=9).leased] == [1]


def test_a_refused_call_is_dead_at_once(room: Room, ledger: Ledger) -> None:
    make()
    say(room, "one")
    ledger.make_calls(Outcome(result="refused", error="no such address"))
    assert (only().state, only().last_error) == ("dead", "no such address")


def test_what_is_skipped_is_dropped_and_counts_as_no_call(
    room: Room, ledger: Ledger
) -> None:
    made = make(concurrency=gates.WINDOW_MIN_CALLS)
    say(room, "one")
    ledger.make_calls(Outcome(result="skipped", error="not for it"))
    row = only()
    assert (row.state, row.last_error, row.attempts) == ("dropped", "not for it", 0)
    made.refresh_from_db()
    assert (made.calls, made.delivered, made.failures) == (0, 0, 0)
    assert Attempt.objects.count() == 0

    # It says nothing of the service, so a probe of it closes no breaker.
    say(room, *"abcdefghijkl")
    ledger.make_calls(failed())
    ledger.now += 3600
    (probe,) = ledger.turn().leased
    assert probe.probe
    ledger.note(Finished(probe, Outcome(result="skipped")))
    made.refresh_from_db()
    assert (made.breaker_opened, made.probe_until) == (1, 0.0)


def test_one_that_is_gone_is_disabled_with_a_notice(room: Room, ledger: Ledger) -> None:
    make(concurrency=1, events=["message", "destination.disabled"])
    make("ops", events=["destination.disabled"], rooms=[])
    say(room, "one", "two")
    ledger.make_calls(Outcome(result="gone", status=410))

    made = Destination.objects.get(name="crm")
    assert (made.enabled, made.disabled_reason) == (False, gates.GONE)
    assert ledger.turn(crm=9).leased == []
    notice = only(event="destination.disabled")
    assert notice.destination.name == "ops", "nobody is told about itself"
    assert notice.payload == {"destination": "crm", "reason": gates.GONE}
    say(room, "three")
    assert Delivery.objects.filter(event="message").count() == 2


def test_five_days_without_a_success_disable_it(room: Room, ledger: Ledger) -> None:
    make()
    say(room, "one")
    ledger.make_calls(failed())
    ledger.now += gates.FAILING_LIMIT_SECONDS
    ledger.make_calls(failed())
    made = Destination.objects.get()
    assert (made.enabled, made.disabled_reason) == (False, gates.FAILED_FOR_DAYS)


def test_an_outcome_out_of_bounds_stops_nobody(room: Room, ledger: Ledger) -> None:
    make(cost_budget="5/min")
    say(room, "one", "two")
    ledger.make_calls(
        lambda c: (
            done(status=10**12, cost=10**18)
            if c.told[0].push.seq == 1  # type: ignore[union-attr]
            else Outcome(result="throttled", retry_after_seconds=1e300)
        )
    )
    made = Destination.objects.get()
    assert made.cost == finishing.MAX_COST
    assert made.not_before == ledger.now + finishing.MAX_RETRY_AFTER_SECONDS


def test_an_error_that_no_column_takes_stops_nobody(room: Room, ledger: Ledger) -> None:
    make()
    say(room, "one")
    ledger.make_calls(Outcome(result="refused", error="bad\0 \udce4"))
    assert (only().state, only().last_error) == ("dead", "bad ?")


def test_a_probe_without_an_event_closes_no_breaker(room: Room, ledger: Ledger) -> None:
    made = make(concurrency=gates.WINDOW_MIN_CALLS)
    say(room, *"abcdefghijkl")
    ledger.make_calls(failed())
    Event.objects.all().delete()
    ledger.now += 3600
    (probe,) = ledger.turn().leased
    assert probe.probe
    assert probe.call.told == ()
    ledger.note(Finished(probe, Outcome(result="refused")))
    made.refresh_from_db()
    assert (made.breaker_opened, made.probe_until) == (1, 0.0)


def test_systems_hear_when_a_service_fails_and_when_it_is_back(
    room: Room, ledger: Ledger
) -> None:
    make(concurrency=gates.WINDOW_MIN_CALLS)
    make("ops", events=["service.degraded", "service.recovered"], rooms=[])
    say(room, *"abcdefghijklmnopqrst")
    for x in (leased := ledger.turn(crm=99).leased):
        ledger.note(Finished(x, failed()))
    assert len(leased) == gates.WINDOW_MIN_CALLS
    assert ledger.turn(crm=99).leased == []
    ledger.now += gates.FIRST_OPEN_SECONDS
    (probe,) = ledger.turn(crm=99).leased
    assert ledger.turn(crm=99).leased == []
    ledger.note(Finished(probe, done()))
    assert len(ledger.turn(crm=99).leased) > 1
    notices = Delivery.objects.filter(destination__name="ops").order_by("created_at")
    assert [row.event for row in notices] == ["service.degraded", "service.recovered"]


def test_a_worker_that_dies_in_each_try_is_not_tried_for_ever(
    room: Room, ledger: Ledger
) -> None:
    make(max_attempts=3)
    make("ops", events=["delivery.exhausted"])
    say(room, "one")
    for attempt in (1, 2, 3):
        (x,) = ledger.turn(crm=100).leased
        assert x.call.attempt == attempt
        ledger.now += 60
    assert ledger.turn(crm=100).leased == []
    given_up = only(destination__name="crm")
    assert (given_up.state, given_up.last_error) == ("dead", finishing.WORN_OUT)
    told = only(destination__name="ops").payload
    assert told == {
        "destination": "crm",
        "delivery": given_up.pk.hex,
        "event": "message",
        "room": room.slug,
        "seq": 1,
        "attempts": 3,
        "error": finishing.WORN_OUT,
    }


def test_retries_are_a_part_of_the_calls(
    room: Room, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were not tried yet go all the same."""
    monkeypatch.setattr(gates, "WINDOW_MIN_CALLS", 10**6)  # no breaker
    make(concurrency=100)
    say(room, *(f"m{i}" for i in range(30)))
    ledger.make_calls(failed())
    ledger.now += 1000
    Destination.objects.update(retry_tokens=2.5, retry_at=ledger.now)
    say(room, "new")
    leased = ledger.turn().leased
    assert sorted(x.retry for x in leased) == [False, True, True]
    ledger.note(*(Finished(x, failed()) for x in leased))
    assert ledger.turn().leased == []


# --- what people do -----------------------------------------------------------------


def test_what_was_given_up_is_replayed(room: Room, ledger: Ledger) -> None:
    make()
    make("other")
    say(room, "one", "two")
    (first, *_) = ledger.make_calls(Outcome(result="refused", error="no"))
    ledger.make_calls(Outcome(result="refused"))
    assert set(ledger.states()) == {"dead"}
    crm = Destination.objects.get(name="crm").pk

    row = Delivery.objects.get(pk=first.id)
    assert replay(ids=[row.pk]) == 1
    assert replay(ids=[row.pk]) == 0, "it is due, and so not to be replayed"
    (again,) = ledger.make_calls(done())
    assert (again.id, again.attempt) == (first.id, 1)
    assert replay(destination=crm) == 1
    assert replay(since=only(seq=2, destination=crm).created_at + 1) == 0
    assert replay(since=1.0) == 2
    with pytest.raises(ValueError, match="Say which"):
        replay()


def test_what_is_dropped_is_not_called(room: Room, ledger: Ledger) -> None:
    made = make(concurrency=1)
    say(room, "one", "two")
    (x,) = ledger.turn().leased
    assert drop(destination=made.pk) == 1, "one is on its way"
    ledger.note(Finished(x, failed()))
    ledger.now += 3600
    assert drop(ids=[row.pk for row in Delivery.objects.all()]) == 1
    assert ledger.turn().leased == []
    assert ledger.states() == ["dropped", "dropped"]
    assert replay(destination=made.pk) == 2
    assert len(ledger.turn().leased) == 1


def test_a_test_call(room: Room, ledger: Ledger) -> None:
    made = make(events=[])
    delivery = owe_test(made)
    (x,) = ledger.turn().leased
    (told,) = x.call.told
    assert (x.call.id, told.event, told.push) == (str(delivery), "test", None)
    assert told.payload is not None
    assert told.payload["destination"] == "crm"
    Destination.objects.update(enabled=False)
    assert owe_test(made) is None


def test_a_turn_that_fails_has_not_happened(
    room: Room, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(concurrency=1)
    say(room, "one", "two")
    (x,) = ledger.turn().leased

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("headgate.outbound.ledger.write", fail)
        with pytest.raises(ZeroDivisionError):
            ledger.turn(Finished(x, done()))
    assert ledger.states() == ["due", "due"]
    assert texts(ledger.turn(Finished(x, done())).leased) == [["two"]]
    assert not transaction.get_connection().in_atomic_block
