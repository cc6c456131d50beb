"""What a commit owes, to whom, and that it never fails for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import TestCase

from headgate.chat import hooks
from headgate.chat.actions import delete_message, edit_message, send_message
from headgate.chat.append import append
from headgate.chat.entries import Draft, Ended
from headgate.chat.journal import Journal
from headgate.chat.models import Room
from headgate.chat.people import SYSTEM, Actor, new_guest
from headgate.outbound import owing, registry, wakes, wanting
from headgate.outbound.models import Delivery, Destination
from headgate.outbound.notices import Notice, owe_notices
from headgate.outbound.wanting import Known
from tests.chat.talker import in_thread

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

GUS = new_guest("Gus")
BOT = Actor("b:helper", "Helper")


def wants(name: str = "crm", **fields: Any) -> Destination:
    """A destination that wants messages of all rooms, but for what is said."""
    given = {"events": ["message"], "rooms": ["*"], "url": "https://a.example/"}
    made = Destination(name=name, **(given | fields))
    Destination.objects.bulk_create([made])  # past the rules, which some tests break
    return made


def write(room: Room, *texts: str, author: Actor = GUS, **more: Any) -> None:
    with transaction.atomic():
        append(connection, [Draft(room.pk, author, text, **more) for text in texts])


@contextmanager
def rolled_back() -> Iterator[None]:
    """A transaction, or part of one, that is undone at its end."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def owed(**which: Any) -> list[Delivery]:
    return list(Delivery.objects.filter(**which).order_by("seq", "destination__name"))


def test_each_destination_that_wants_the_event_is_owed_it(room: Room) -> None:
    other = Room.objects.create(slug="order-7")
    wants("all")
    wants("orders", rooms=["order-*", "x"])
    wants("edits", events=["edited", "deleted"])
    wants("of-one", room=other, rooms=[])
    wants("none", rooms=[])
    # As somebody writes it who takes it for a bot's: not each of its characters.
    wants("one-text", rooms="order-*", events="edited")
    write(room, "one")
    write(other, "two")

    assert [(d.destination.name, d.room_id, d.seq, d.event) for d in owed()] == [
        ("all", room.pk, 1, "message"),
        ("all", other.pk, 1, "message"),
        ("of-one", other.pk, 1, "message"),
        ("orders", other.pk, 1, "message"),
    ]
    row = owed(destination__name="all")[0]
    assert (row.state, row.attempts, row.lease, row.order_key) == ("due", 0, "", "")
    assert abs(row.due_at - time.time()) < 30
    assert row.created_at == row.due_at
    assert (row.payload, row.expires_at, row.batch) == (None, None, None)


def test_edits_and_deletions_are_owed_as_events_of_their_own(room: Room) -> None:
    wants(events=["edited", "deleted", "membership"])
    send_message(room, GUS, "one")
    edit_message(room, 1, "two", by=SYSTEM)
    delete_message(room, 1, by=SYSTEM)

    assert [(d.event, d.seq) for d in owed()] == [("edited", 2), ("deleted", 3)]


def test_a_growing_message_is_told_when_it_has_ended(room: Room) -> None:
    wants(events=["message", "edited"])
    write(room, "", details={"open": True})
    assert owed() == []
    with transaction.atomic():
        append(connection, [Ended(room.pk, GUS, 1, "done", text="all of it")])
    assert [(d.event, d.seq) for d in owed()] == [("message", 1)]


def test_what_is_brought_over_from_elsewhere_is_not_owed(room: Room) -> None:
    from django.utils import timezone

    wants()
    write(room, "old", at=timezone.now())
    assert owed() == []


def test_a_known_message_is_owed_once(room: Room) -> None:
    wants()
    for _ in range(2):
        write(room, "one", client_id="c-1")
    assert len(owed()) == 1


@pytest.mark.parametrize("author", [BOT, SYSTEM])
def test_bots_are_not_told_of_bots(room: Room, author: Actor) -> None:
    wants("bot-helper", kind="handler", handler="bot:helper")
    wants("function", kind="handler", handler="function:a.b")
    write(room, "one", author=author)
    write(room, "two")
    assert [(d.destination.name, d.seq) for d in owed()] == [
        ("function", 1),
        ("bot-helper", 2),
        ("function", 2),
    ]


def test_importance_usefulness_and_order(room: Room) -> None:
    wants("plain", importance=2, useful_seconds=60)
    wants("ordered", ordering="room")
    send_message(room, GUS, "one")
    send_message(room, GUS, "two", priority="high", expires_in_ms=5000)
    send_message(room, GUS, "three", priority="low")

    plain, ordered = (owed(destination__name=n) for n in ("plain", "ordered"))
    assert [d.importance for d in plain] == [2, 0, 2]
    assert [d.importance for d in ordered] == [1, 0, 2]
    useful = [d.expires_at and round(d.expires_at - d.created_at, 3) for d in plain]
    assert useful == [60, 5, 60]
    assert ordered[0].expires_at is None
    assert {d.order_key for d in ordered} == {str(room.pk)}


def test_a_destination_that_is_gone_or_disabled_gets_nothing(room: Room) -> None:
    """Though it is still known, as when another process has changed it."""
    wants("stays")
    gone, disabled = wants("gone"), wants("disabled")
    with transaction.atomic():
        registry.known(connection, keep=True)
    with connection.cursor() as cursor:  # no signal tells this process
        table = Destination._meta.db_table
        cursor.execute(f"DELETE FROM {table} WHERE id = %s", [gone.pk])
    Destination.objects.filter(pk=disabled.pk).update(enabled=False)
    assert len(registry.known(connection, keep=True).wanting) == 3, (
        "this test shows nothing"
    )

    write(room, "one")
    assert [d.destination.name for d in owed()] == ["stays"]
    room.refresh_from_db()
    assert room.head == 1


def test_a_new_destination_is_known_at_once_where_it_was_made(room: Room) -> None:
    write(room, "before")
    wants()
    write(room, "after")
    Destination.objects.get().delete()
    write(room, "later")
    wants("again")
    write(room, "last")
    assert [(d.destination.name, d.seq) for d in owed()] == [("again", 4)]


def test_a_destination_of_elsewhere_is_known_after_a_second(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(room, "before")
    Destination.objects.bulk_create(
        [Destination(name="a", events=["message"], rooms=["*"])]
    )
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 1.01)
    write(room, "after")
    assert [d.seq for d in owed()] == [2]


def test_nothing_is_remembered_of_a_transaction_that_is_rolled_back(room: Room) -> None:
    with rolled_back():
        wants("never")
        send_message(room, GUS, "never")
        assert len(owed()) == 1
    write(room, "one")
    assert owed() == []
    wants()
    write(room, "two")
    assert [d.seq for d in owed()] == [2]


def test_a_destination_whose_deletion_is_rolled_back_misses_nothing(
    room: Room,
) -> None:
    wants()
    with rolled_back():
        Destination.objects.get().delete()
        send_message(room, GUS, "never")
    write(room, "one")
    assert [d.seq for d in owed()] == [1]


def test_a_destination_whose_making_is_rolled_back_in_part(room: Room) -> None:
    wants()
    with transaction.atomic():
        send_message(room, GUS, "one")
        with rolled_back():
            wants("never")
            send_message(room, GUS, "never")
        send_message(room, GUS, "two")
    write(room, "three")
    assert [(d.destination.name, d.seq) for d in owed()] == [
        ("crm", 1),
        ("crm", 2),
        ("crm", 3),
    ]


def test_what_is_read_before_another_commits_is_not_kept(room: Room) -> None:
    """Somebody reads while a destination is made; what they read is too old then."""
    if connection.vendor == "sqlite":
        return  # it has one writer: nobody reads in the middle of another
    inside, go_on = threading.Event(), threading.Event()

    def make() -> None:
        try:
            with transaction.atomic():
                wants()
                inside.set()
                go_on.wait(10)
        finally:
            connection.close()

    maker = threading.Thread(target=make)
    maker.start()
    inside.wait(10)
    write(room, "before")
    go_on.set()
    maker.join()
    write(room, "after")
    assert [d.seq for d in owed()] == [2]


async def test_the_journal_owes_what_it_writes_and_on_its_way_round(room: Room) -> None:
    """A retry in the batch fails the first transaction; nothing is owed twice."""
    await in_thread(wants)
    journal = Journal(lambda _: None, max_waiting=100, max_waiting_bytes=10**6)
    try:
        await journal.write(Draft(room.pk, GUS, "one", "c-1"))
        drafts = [Draft(room.pk, GUS, text, f"c-{i}") for i, text in enumerate("ab", 2)]
        again = Draft(room.pk, GUS, "one", "c-1")
        await asyncio.gather(*(journal.write(d) for d in (drafts[0], again, drafts[1])))
    finally:
        await journal.close()
    assert [d.seq for d in await in_thread(owed)] == [1, 2, 3]


def test_workers_are_woken_after_the_commit_and_not_before(room: Room) -> None:
    wants()
    woken: list[int] = []

    def wake() -> None:
        woken.append(len(owed()))

    wakes.listen(wake)
    try:
        with transaction.atomic():
            send_message(room, GUS, "one")
            assert woken == []
        assert woken == [1]
        with rolled_back():
            send_message(room, GUS, "never")
        assert woken == [1]
    finally:
        wakes.stop_listening(wake)


def test_the_journal_asks_the_table_once_a_second(
    room: Room, django_assert_num_queries: Any
) -> None:
    with transaction.atomic():
        append(connection, [Draft(room.pk, GUS, "warm")], wait=False)
    with transaction.atomic(), django_assert_num_queries(0):
        owing.owe_events(connection, [], ours=True)


def test_what_has_not_changed_is_not_made_anew(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a thousand destinations that took a fifth of a second, each second."""
    wants("a", rooms=["gen*"])
    wants("b", rooms=["x*"])

    def look() -> Known:
        registry._forget()
        return registry.known(connection, keep=False)

    first = look()
    assert look() is first
    compiled: list[str] = []
    real = wanting.fnmatch.translate

    def translate(pattern: str) -> str:
        compiled.append(pattern)
        return str(real(pattern))

    monkeypatch.setattr(wanting.fnmatch, "translate", translate)
    assert look() is first
    assert compiled == []
    Destination.objects.filter(name="b").update(rooms=["general"])
    found = look().who_wants("message", room.pk, "general", "user")
    assert len(found) == 2
    assert compiled == ["general"]
    assert found[0] is first.wanting[0]
    Destination.objects.filter(name="a").update(enabled=False)
    assert len(look().wanting) == 1


def test_project_code_gets_no_callbacks_of_ours(room: Room) -> None:
    """A project's tests may count those of a transaction."""
    with transaction.atomic():
        registry.known(connection, keep=False)
        assert connection.run_on_commit == []


# --- notices ----------------------------------------------------------------------


def test_many_notices_read_the_destinations_once(
    room: Room, django_assert_num_queries: Any
) -> None:
    wants("ops", events=["service.degraded"], rooms=[])
    notices = [Notice("service.degraded", {"n": i}, "k") for i in range(50)]
    with transaction.atomic(), django_assert_num_queries(4):  # two for the savepoint
        owe_notices(notices)
    assert sorted(row.payload["n"] for row in owed()) == [*range(50)]


def test_a_notice_goes_to_whoever_lists_it_and_is_not_about(room: Room) -> None:
    about = wants("about", events=["service.degraded"])
    wants("ops", events=["service.degraded"], rooms=[])
    wants("other", events=["message"])
    owe_notices([Notice("service.degraded", {"a": "ü"}, "k", about.pk)])

    (row,) = owed()
    assert row.destination.name == "ops"
    assert (row.event, row.payload, row.order_key) == (
        "service.degraded",
        {"a": "ü"},
        "k",
    )
    assert row.room_id is row.seq is None


# --- what code declares -----------------------------------------------------------


def test_a_declared_destination_is_made_and_followed(room: Room) -> None:
    registry.declare(
        "bot:helper", name="bot-helper", events=["message"], rooms="gen*", concurrency=2
    )
    write(room, "one")
    row = Destination.objects.get()
    assert (row.kind, row.handler, row.events) == ("handler", "bot:helper", ["message"])
    assert (row.rooms, row.concurrency) == (["gen*"], 2)
    assert len(owed()) == 1, "what made it is told to it"

    Destination.objects.update(paused=True, rate="1/s", enabled=False)
    registry.declare(
        "bot:helper",
        name="bot-helper",
        events=["message", "edited"],
        rooms=["*"],
        concurrency=5,
    )
    write(room, "two")
    row.refresh_from_db()
    assert (row.events, row.rooms, row.concurrency) == (["message", "edited"], ["*"], 5)
    assert (row.paused, row.rate, row.enabled) == (True, "1/s", False)


def test_a_declared_destination_is_made_again(room: Room) -> None:
    registry.declare("bot:helper", name="bot-helper", events=["message"], rooms="*")
    write(room, "one")
    Destination.objects.get().delete()
    write(room, "two")
    assert [d.seq for d in owed()] == [2]


def test_an_administrators_destination_keeps_its_name(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    """The declared one cannot be made, and the message is written all the same."""
    wants("bot-helper")
    registry.declare("bot:helper", name="bot-helper", events=["message"], rooms="*")
    write(room, "one")
    assert [d.destination.kind for d in owed()] == ["webhook"]


def test_an_owed_handler_has_a_destination(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_owed", {})

    @hooks.on("message", rooms=["gen*"], owed=True)
    @hooks.on("edited", rooms=["gen*"], owed=True)
    def remember(event: object) -> None:
        """Do nothing here."""

    (key,) = hooks.owed_handlers()
    assert key.startswith("function:tests.outbound.test_owing.")
    write(room, "one")
    row = Destination.objects.get()
    assert (row.handler, row.events, row.rooms) == (
        key,
        ["edited", "message"],
        ["gen*"],
    )
    assert [d.seq for d in owed()] == [1]
    assert hooks.owed_handlers()[key].function.call is remember


def test_a_rate_follows_the_code_where_it_says_one(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_owed", {})

    def remember(event: object) -> None: ...

    rates = [(None, ""), ("4/s:1", "4/s:1"), ("8/s", "8/s"), (None, "8/s")]
    for given, expected in rates:
        monkeypatch.setattr(hooks, "_owed", {})
        hooks.on("message", owed=True, rate=given)(remember)
        monkeypatch.setattr(registry, "_followed", set())  # as in a new process
        registry._forget()
        write(room, "one")
        assert Destination.objects.get().rate == expected


class InTestCase(TestCase):
    """A test of the project's: all in a transaction that is never committed."""

    def test_owed(self) -> None:
        room = Room.objects.create(slug="in-test-case")
        wants()
        send_message(room, User.objects.create(username="ada"), "one")
        assert [d.seq for d in owed()] == [1]
        with rolled_back():
            send_message(room, GUS, "two")
        send_message(room, GUS, "three")
        assert [d.seq for d in owed()] == [1, 2]

    def test_owed_again(self) -> None:
        assert owed() == []
        self.test_owed()
