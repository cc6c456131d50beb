"""Each notice is read once, in whatever order the notices come."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from headgate.chat import notices
from headgate.chat.models import AccessChange, Room
from headgate.chat.notices import KEPT_SECONDS, MISSED_AFTER_SECONDS, Notice, Notices

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def note(number: int | None = None, key: str | None = None) -> int:
    """Write a notice, with a given id where that matters; return its id."""
    made = AccessChange(pk=number, what="user", at=timezone.now())
    made.author_key = f"u:{number}" if key is None else key
    made.save(force_insert=True)
    return made.pk


def keys(found: list[Notice]) -> list[str]:
    return [notice.author_key for notice in found]


def test_what_was_noted_is_read_once(room: Room) -> None:
    seen = Notices()
    at = timezone.now()
    AccessChange.objects.create(what="access", author_key="u:1", room=room, at=at)
    AccessChange.objects.create(what="logout", session="abc", at=at)

    assert seen.look() == [
        Notice("access", "u:1", room.pk),
        Notice("logout", session="abc"),
    ]
    assert seen.look() == []
    note(key="u:2")
    assert keys(seen.look()) == ["u:2"]


def test_a_process_that_begins_reads_what_is_kept(db: None) -> None:
    note(key="u:1")

    assert keys(Notices().look()) == ["u:1"]


def test_lower_ids_that_come_later_are_read(db: None) -> None:
    seen = Notices()
    for number in (3, 5, 9):
        note(number)
    assert keys(seen.look()) == ["u:3", "u:5", "u:9"]

    for late in ((7,), (6, 10), (4,), (1, 8, 12), (11, 2)):
        for number in late:
            note(number)
        assert sorted(keys(seen.look())) == sorted(f"u:{n}" for n in late)
        assert seen.look() == []
    assert seen._gaps == []


def test_what_a_slow_transaction_noted_is_read_after_its_commit(db: None) -> None:
    """On PostgreSQL it has the lower id; SQLite lets one write after the other."""
    seen = Notices()
    noted, may_commit = threading.Event(), threading.Event()

    def slowly() -> None:
        try:
            with transaction.atomic():
                note(key="u:slow")
                noted.set()
                may_commit.wait(10)
        finally:
            connections.close_all()

    slow = threading.Thread(target=slowly)
    slow.start()
    assert noted.wait(10)
    if connection.vendor == "sqlite":
        assert seen.look() == []
    else:
        note(key="u:fast")
        assert keys(seen.look()) == ["u:fast"]
    may_commit.set()
    slow.join(10)

    assert keys(seen.look()) == ["u:slow"]
    assert seen.look() == []


def test_a_gap_is_waited_for_as_long_as_notices_are_kept(
    db: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Notices()
    note(1)
    note(5)
    seen.look()
    began = time.monotonic()

    monkeypatch.setattr(time, "monotonic", lambda: began + KEPT_SECONDS - 1)
    note(3)
    assert keys(seen.look()) == ["u:3"]
    monkeypatch.setattr(time, "monotonic", lambda: began + KEPT_SECONDS + 1)
    note(2)
    assert seen.look() == []


def test_gaps_are_bounded(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was waited for the longest is given up."""
    monkeypatch.setattr(notices, "MAX_GAPS", 3)
    seen = Notices()
    for number in (1, 3, 5, 7, 9, 11):
        note(number)
    seen.look()

    for number in range(2, 12, 2):
        note(number)

    assert keys(seen.look()) == ["u:6", "u:8", "u:10"]


def test_many_are_read_in_pages(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "PAGE", 2)
    seen = Notices()
    for number in range(1, 6):
        note(number)

    pages = [keys(seen.look()) for _ in range(4)]

    assert pages == [["u:1", "u:2"], ["u:3", "u:4"], ["u:5"], []]


def test_missing_some_is_known(db: None) -> None:
    seen = Notices()
    assert not seen.missed(1.0)
    note(7)
    seen.look()

    assert not seen.missed(MISSED_AFTER_SECONDS - 1)
    assert seen.missed(MISSED_AFTER_SECONDS + 1)


def test_another_database_is_noticed(db: None) -> None:
    """A server that took over gives out ids that were given out before."""
    seen = Notices()
    note(7)
    seen.look()
    AccessChange.objects.all().delete()
    note(5)

    assert seen.missed(1.0)
    assert not seen.missed(1.0)
    note(6)
    assert keys(seen.look()) == ["u:6"]
