from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError, connection, transaction

from headgate.chat import journal as journal_module
from headgate.chat.actions import send_message
from headgate.chat.engine import Engine
from headgate.chat.entries import (
    Change,
    Draft,
    Ended,
    Entry,
    Grown,
    Known,
    ReadMark,
    Refused,
    Verdict,
    Written,
)
from headgate.chat.journal import Journal, Overloaded
from headgate.chat.models import Event, Message, Room
from headgate.chat.people import Actor, new_guest
from headgate.chat.reader import Reader
from headgate.protocol.pushes import LogEvent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

GUEST = Actor("g:1", "Gus")


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run ORM code on a thread whose connection is closed after it."""
    reader = Reader()
    try:
        return await reader.run(function, *args)
    finally:
        await reader.close()


async def test_answers_come_before_what_was_written_is_told(
    room: Room,
    chat: Engine,
) -> None:
    order: list[str] = []
    told = asyncio.Event()

    def on_written(written: list[tuple[int, LogEvent]]) -> None:
        order.extend(f"told {push.seq}" for _, push in written)
        told.set()

    journal = Journal(on_written, max_waiting=10, max_waiting_bytes=10_000)
    for n in range(3):
        journal.submit(
            Draft(room.pk, GUEST, f"m{n}"),
            lambda verdict: order.append(f"answered {_seq(verdict)}"),
        )
    await told.wait()
    await journal.close()

    assert order[:3] == ["answered 1", "answered 2", "answered 3"]
    assert order[3:] == ["told 1", "told 2", "told 3"]


def _seq(verdict: Verdict) -> int | None:
    if isinstance(verdict, Written):
        return verdict.push.seq
    return verdict.seq if isinstance(verdict, Known) else None


async def test_a_full_journal_refuses_and_takes_again(room: Room) -> None:
    told = asyncio.Event()
    journal = Journal(
        lambda written: told.set() if written[-1][1].seq == 5 else None,
        max_waiting=5,
        max_waiting_bytes=1_000_000,
    )
    answered: list[Verdict] = []
    for n in range(5):
        journal.submit(Draft(room.pk, GUEST, f"m{n}"), answered.append)

    with pytest.raises(Overloaded) as full:
        journal.submit(Draft(room.pk, GUEST, "one too many"), answered.append)

    assert 100 <= full.value.retry_after_ms <= 5000
    await told.wait()
    assert [_seq(verdict) for verdict in answered] == [1, 2, 3, 4, 5]
    assert isinstance(await journal.write(Draft(room.pk, GUEST, "again")), Written)
    await journal.close()


async def test_a_journal_full_of_bytes_refuses(room: Room) -> None:
    journal = Journal(lambda _: None, max_waiting=100, max_waiting_bytes=5_000)
    journal.submit(Draft(room.pk, GUEST, "x" * 4000), lambda _: None)

    with pytest.raises(Overloaded):
        journal.submit(Draft(room.pk, GUEST, "x" * 4000), lambda _: None)
    await journal.close()


@pytest.mark.parametrize(
    ("entry", "size_bytes"),
    [
        (Draft(1, GUEST, "x" * 40), 40),
        (Draft(1, GUEST, "Привет 👋"), 12 + 1 + 4),
        (Draft(1, GUEST, "\ud800"), 3),
        (Draft(1, GUEST, "x", details={"data": {"a": "ж"}}), 1 + len('{"a":"ж"}') + 1),
        (Draft(1, GUEST, "x", details={"reply_to": 7}), 1),
        (Change(1, GUEST, 1, "ж", {"data": {}}), 2 + 2),
        (Change(1, GUEST, 1, None), 0),
        (Grown(1, GUEST, 1, "ж"), 2),
        (Ended(1, GUEST, 1, "done", "ж"), 2),
        (ReadMark(1, GUEST, 1), 0),
    ],
)
async def test_what_waits_is_counted_in_bytes(
    room: Room, entry: Entry, size_bytes: int
) -> None:
    journal = Journal(lambda _: None, max_waiting=1, max_waiting_bytes=10_000)
    journal.submit(entry, lambda _: None)

    assert journal.waiting_bytes == 500 + size_bytes
    await journal.close()


async def test_closing_writes_and_answers_all_that_was_taken(room: Room) -> None:
    answered: list[Verdict] = []
    journal = Journal(lambda _: None, max_waiting=1000, max_waiting_bytes=1_000_000)
    for n in range(700):
        journal.submit(Draft(room.pk, GUEST, f"m{n}"), answered.append)

    await journal.close()

    assert list(range(1, 701)) == [_seq(verdict) for verdict in answered]
    with pytest.raises(Overloaded):
        journal.submit(Draft(room.pk, GUEST, "late"), answered.append)


async def test_one_bad_entry_gets_its_own_verdict(
    room: Room,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A value that the database refuses: neither text nor JSON checks see it."""
    too_long = "c" * 500  # PostgreSQL refuses it, SQLite would take it
    if connection.vendor == "sqlite":
        real = journal_module.append

        def picky(conn: Any, entries: Any, **more: Any) -> Any:
            if any(entry.client_id == too_long for entry in entries):
                conn.connection.execute(
                    "INSERT INTO headgate_chat_room (id) VALUES (1)"
                )
            return real(conn, entries, **more)

        monkeypatch.setattr(journal_module, "append", picky)
    ids = ["a", "b", too_long, "d", "e"]

    verdicts = await asyncio.gather(
        *[chat.journal.write(Draft(room.pk, GUEST, "hi", cid)) for cid in ids],
    )

    assert [_seq(verdict) for verdict in verdicts] == [1, 2, None, 3, 4]
    bad = verdicts[2]
    assert isinstance(bad, Refused)
    assert bad.error.code == "internal"
    assert "entry_failed" in caplog.text


async def test_what_is_held_is_not_passed_where_a_batch_is_halved(
    room: Room, chat: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room comes free between the halves."""
    real = journal_module.append
    held = [True]

    def picky(conn: Any, entries: Any, **more: Any) -> Any:
        if any(entry.client_id == "bad" for entry in entries):
            raise IntegrityError
        return (
            [None] * len(entries)
            if held and held.pop()
            else real(conn, entries, **more)
        )

    monkeypatch.setattr(journal_module, "append", picky)

    verdicts = await asyncio.gather(
        *[
            chat.journal.write(Draft(room.pk, GUEST, "hi", cid))
            for cid in ("a", "b", "bad", "d")
        ],
    )

    assert [_seq(verdict) for verdict in verdicts] == [1, 2, None, 3]


async def test_a_retry_among_new_ones_gets_its_seq_and_is_no_fault(
    room: Room,
    chat: Engine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In one batch: new, known, new, another content for what is known, new."""
    await chat.journal.write(Draft(room.pk, GUEST, "first", "c-1"))
    batch = [
        ("a", "c-2"),
        ("first", "c-1"),
        ("b", None),
        ("other", "c-1"),
        ("c", "c-3"),
    ]

    verdicts = await asyncio.gather(
        *[chat.journal.write(Draft(room.pk, GUEST, *draft)) for draft in batch],
    )

    assert [_seq(verdict) for verdict in verdicts] == [2, 1, 3, None, 4]
    conflict = verdicts[3]
    assert isinstance(conflict, Refused)
    assert conflict.error.code == "id_conflict"
    assert await in_thread(Event.objects.count) == 4
    assert caplog.text == ""


async def test_a_commit_that_fails_acknowledges_nothing(
    room: Room,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The COMMIT itself fails: everything was inserted, nothing is there."""
    real = journal_module.append
    broken = threading.Event()
    broken.set()

    def append_then_fail(conn: Any, entries: Any, **more: Any) -> Any:
        verdicts = real(conn, entries, **more)
        if broken.is_set():
            raise OperationalError("database or disk is full")
        return verdicts

    monkeypatch.setattr(journal_module, "append", append_then_fail)
    drafts = [Draft(room.pk, GUEST, f"m{n}", f"c{n}") for n in range(5)]

    verdicts = await asyncio.gather(*[chat.journal.write(draft) for draft in drafts])

    for verdict in verdicts:
        assert isinstance(verdict, Refused)
        assert verdict.error.code == "unavailable"
        assert (verdict.error.retry_after_ms or 0) > 0
    assert await in_thread(Event.objects.count) == 0
    assert "commit_failed" in caplog.text
    broken.clear()
    again = await asyncio.gather(*[chat.journal.write(draft) for draft in drafts])
    assert [_seq(verdict) for verdict in again] == [1, 2, 3, 4, 5]


async def test_a_room_held_by_a_transaction_waits_and_others_do_not(
    room: Room,
    chat: Engine,
) -> None:
    other = await in_thread(lambda: Room.objects.create(slug="other"))
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            send_message(room, GUEST, "by hand")
            holding.set()
            assert release.wait(10)

    held = asyncio.create_task(in_thread(hold))
    await asyncio.to_thread(holding.wait, 10)
    waits = [
        asyncio.create_task(chat.journal.write(Draft(room.pk, GUEST, f"w{n}")))
        for n in range(3)
    ]

    if connection.vendor == "postgresql":  # SQLite has one writer for all rooms
        free = await chat.journal.write(Draft(other.pk, GUEST, "free"))
        assert _seq(free) == 1
    assert not any(task.done() for task in waits)
    release.set()
    await held
    assert [_seq(await task) for task in waits] == [2, 3, 4]


async def test_a_room_that_was_deleted_is_not_found_and_others_are_written(
    room: Room, chat: Engine
) -> None:
    other = await in_thread(lambda: Room.objects.create(slug="other"))
    gone = room.pk
    await in_thread(room.delete)

    verdicts = await asyncio.gather(
        *[chat.journal.write(Draft(pk, GUEST, "hi")) for pk in (gone, other.pk, gone)]
    )

    assert [_code(verdict) for verdict in verdicts] == ["not_found", None, "not_found"]
    assert _seq(verdicts[1]) == 1


async def test_a_room_that_is_being_deleted_waits_and_then_is_not_found(
    room: Room, chat: Engine
) -> None:
    """While it may still be rolled back nothing is said."""
    holding, release = threading.Event(), threading.Event()
    gone = room.pk

    def delete() -> None:
        with transaction.atomic():
            room.delete()
            holding.set()
            assert release.wait(10)

    deleting = asyncio.create_task(in_thread(delete))
    await asyncio.to_thread(holding.wait, 10)
    entry = Draft(gone, GUEST, "hi")
    waits = asyncio.create_task(chat.journal.write(entry))
    await asyncio.sleep(3 * journal_module.HELD_POLL_SECONDS)
    assert not waits.done()
    release.set()
    await deleting

    assert _code(await waits) == "not_found"


def _code(verdict: Verdict) -> str | None:
    return verdict.error.code if isinstance(verdict, Refused) else None


async def test_a_transaction_beside_a_journal_at_full_load_gets_in(
    room: Room,
    chat: Engine,
    ada: User,
) -> None:
    """Five writes by project code, each bounded in time, while the journal is busy."""
    busy = await in_thread(lambda: Room.objects.create(slug="busy"))
    ended = False
    written = 0

    def more(verdict: Verdict | None = None) -> None:
        nonlocal written
        written += verdict is not None
        if not ended:
            chat.journal.submit(Draft(busy.pk, GUEST, "x" * 200), more)

    for _ in range(500):
        more()
    for n in range(5):
        async with asyncio.timeout(15):
            await in_thread(send_message, room, ada, f"by hand {n}")
    ended = True

    assert written > 0
    assert await in_thread(Message.objects.filter(room=room).count) == 5


async def test_asend_message_goes_through_the_running_journal(
    room: Room,
    chat: Engine,
    ada: User,
) -> None:
    from headgate import NotSent, asend_message

    assert (await asend_message("general", ada, "hi", client_id="c")).seq == 1
    assert (await asend_message(room, ada, "hi", client_id="c")).seq == 1
    with pytest.raises(NotSent) as refused:
        await asend_message("general", ada, "ho", client_id="c")
    assert refused.value.code == "id_conflict"
    with pytest.raises(NotSent, match="no room"):
        await asend_message("nowhere", ada, "hi")
    with pytest.raises(NotSent, match="`text` is empty"):
        await asend_message("general", ada, "  ")


async def test_asend_message_works_without_a_journal(room: Room, ada: User) -> None:
    from headgate import asend_message

    assert (await asend_message("general", ada, "hi")).seq == 1
    assert (await asend_message("general", new_guest("Gus"), "ho")).seq == 2
