"""A table comes into the log: in order, each row once, whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DataError, connection
from pytest_django import DjangoAssertNumQueries, Settings

import headgate
from headgate.chat import actions, importing
from headgate.chat.importing import Counts, import_rows
from headgate.chat.models import Event, Member, Message, Room
from headgate.chat.people import SYSTEM, Actor
from headgate.chat.permissions import rights_in
from headgate.chat.profiles import Profile
from headgate.chat.source_table import SourceTable
from headgate.chat.subjects import room_for
from tests.chat.told import no_handlers_fixture  # noqa: F401 - found by its name
from tests.old_chat.models import Chat, Messages, Note

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

THEN = datetime(2021, 3, 4, 5, 6, 7, 89, tzinfo=UTC)


def bring_in(
    *,
    into: str | None = None,
    kind: str = "public",
    dry_run: bool = False,
    told: list[str] | None = None,
    **fields: Any,
) -> Counts:
    """Import the table of messages, and return what became of it."""
    given = {"text": "message", "at": "created"} | fields
    table = SourceTable("old_chat.Messages", **given)
    tell = (told if told is not None else []).append
    counts = Counts()
    for counts in import_rows(table, room=into, kind=kind, dry_run=dry_run, tell=tell):
        assert counts.read == counts.added + counts.known + counts.refused
    return counts


def log_of(slug: str) -> list[tuple[int, str, datetime]]:
    """Return seq, text and time of a room's messages; its log has no hole."""
    room = Room.objects.get(slug=slug)
    seqs = list(room.events.order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, room.head + 1))
    rows = Message.objects.filter(room=room).order_by("seq")
    return list(rows.values_list("seq", "text", "at"))


def fill(count: int, **more: Any) -> None:
    """Make rows whose keys are not in the order of their times."""
    Messages.objects.bulk_create(
        Messages(
            message=f"m{n}",
            created=THEN + timedelta(minutes=n * 7919 % count),
            **more,
        )
        for n in range(count)
    )


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows are several transactions."""
    monkeypatch.setattr(importing, "BATCH", 7)


def test_rows_keep_their_times_and_their_order() -> None:
    fill(40)
    counts = bring_in(into="general")
    assert counts == Counts(rows=40, read=40, added=40, rooms=1)
    log = log_of("general")
    assert [at for *_, at in log] == [THEN + timedelta(minutes=n) for n in range(40)]
    expected = sorted(range(40), key=lambda n: n * 7919 % 40)
    assert [text for _, text, _ in log] == [f"m{n}" for n in expected]


def test_each_room_has_its_order(ada: User) -> None:
    chats = [Chat.objects.create(name=f"Chat {n}") for n in range(3)]
    for n in range(30):
        at = THEN + timedelta(minutes=n * 17 % 30)
        Messages.objects.create(
            message=str(n), chat=chats[n % 3], created=at, author=ada
        )
    counts = bring_in(room="chat", author="author")
    assert (counts.added, counts.rooms) == (30, 3)
    for n in range(3):
        log = log_of(f"chat-{n}")
        assert len(log) == 10
        assert [at for *_, at in log] == sorted(at for *_, at in log)
        room = Room.objects.get(slug=f"chat-{n}")
        assert (room.title, room.kind) == (f"Chat {n}", "public")
        assert (room.subject_type, room.subject_id) == (
            "old_chat.chat",
            str(chats[n].pk),
        )
    first = Message.objects.first()
    assert first is not None
    assert (first.author_key, first.author_name) == (f"u:{ada.pk}", "Ada Lovelace")


def test_a_second_run_adds_only_what_is_new() -> None:
    fill(20)
    bring_in(into="general")
    before = log_of("general")
    assert bring_in(into="general") == Counts(rows=20, read=20, known=20)
    assert log_of("general") == before

    Messages.objects.create(message="earlier", created=THEN - timedelta(days=1))
    Messages.objects.create(message="later", created=THEN + timedelta(days=1))
    counts = bring_in(into="general")
    assert counts == Counts(rows=22, read=22, added=2, known=20)
    # What came later stands later, in its own order.
    assert [text for _, text, _ in log_of("general")[20:]] == ["earlier", "later"]


def test_one_that_was_interrupted_goes_on() -> None:
    fill(40)
    table = SourceTable("old_chat.Messages", text="message", at="created")
    run = import_rows(table, room="general", tell=[].append)
    for counts in run:
        if counts.added >= 14:
            break
    run.close()
    assert len(log_of("general")) == 14
    counts = bring_in(into="general")
    assert counts == Counts(rows=40, read=40, added=26, known=14)
    log = log_of("general")
    assert [at for *_, at in log] == [THEN + timedelta(minutes=n) for n in range(40)]


def test_a_batch_that_breaks_is_written_whole_by_the_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(20)
    append = importing.append
    calls = iter(range(100))

    def breaking(*args: Any) -> Any:
        written = append(*args)
        if next(calls) == 1:
            raise ConnectionResetError("the plug was pulled")
        return written

    monkeypatch.setattr(importing, "append", breaking)
    with pytest.raises(ConnectionResetError):
        bring_in(into="general")
    assert len(log_of("general")) == 7
    assert bring_in(into="general").added == 13
    assert len(log_of("general")) == 20


def test_what_comes_into_a_room_with_messages_comes_after_them(room: Room) -> None:
    actions.send_message(room, Actor("s:", ""), "here already")
    fill(3)
    assert bring_in(into="general").rooms == 0
    texts = [text for _, text, _ in log_of("general")]
    assert texts[0] == "here already"
    assert len(texts) == 4


# --- what stays known ---


def test_a_deleted_author_makes_no_second_copy(ada: User, grace: User) -> None:
    fill(5, author=ada)
    fill(5, author=grace)
    bring_in(into="general", author="author")
    ada.delete()
    counts = bring_in(into="general", author="author")
    assert counts == Counts(rows=10, read=10, known=10)


def test_naming_the_author_later_makes_no_second_copy(ada: User) -> None:
    Messages.objects.create(message="hi", author=ada, nick="Ada")
    for fields in ({}, {"author": "author"}, {"author": "nick"}, {"at": None}):
        bring_in(into="general", **fields)
    assert len(log_of("general")) == 1


def test_a_room_that_was_renamed_is_the_same() -> None:
    chat = Chat.objects.create(name="Team A")
    Messages.objects.create(message="one", chat=chat, place="Team A", created=THEN)
    bring_in(room="chat")
    Chat.objects.update(name="Team B")
    Room.objects.update(slug="renamed", title="Renamed")
    Messages.objects.create(message="two", chat=chat, place="Team A", created=THEN)
    assert bring_in(room="chat").rooms == 0
    assert [text for _, text, _ in log_of("renamed")] == ["one", "two"]


def test_a_text_that_was_edited_or_deleted_here_stays_so(ada: User) -> None:
    fill(3, author=ada)
    bring_in(into="general", author="author")
    actions.delete_message("general", 1, by=ada)
    actions.edit_message("general", 2, "edited here", by=ada)
    Messages.objects.filter(message="m2").update(message="edited there")
    assert bring_in(into="general", author="author").known == 3
    texts = [text for _, text, _ in log_of("general")]
    assert "edited here" in texts
    assert "edited there" not in texts
    assert "" in texts


def test_nobody_keeps_a_row_out_by_taking_its_id(ada: User, grace: User) -> None:
    """The id can be guessed, and anybody may send any over the wire."""
    row = Messages.objects.create(message="of Ada", author=ada, created=THEN)
    Room.objects.create(slug="general")
    taken = f"import:old_chat.messages:{row.pk}"
    actions.send_message("general", grace, "of Grace", client_id=taken)
    assert bring_in(into="general", author="author").added == 1
    assert [text for _, text, _ in log_of("general")] == ["of Grace", "of Ada"]


# --- rooms ---


def test_rooms_of_one_slug_stay_two() -> None:
    for n, place in enumerate(("Team A", "team a", "Team A", "team-a")):
        Messages.objects.create(message=f"{n}", place=place, created=THEN)
    for added in (4, 0):
        counts = bring_in(room="place")
        assert (counts.added, counts.rooms) == (added, 3 if added else 0)
    assert Room.objects.count() == 3
    logs = {
        room.title: [text for _, text, _ in log_of(room.slug)]
        for room in Room.objects.all()
    }
    assert logs == {"Team A": ["0", "2"], "team a": ["1"], "team-a": ["3"]}


def test_a_room_that_is_there_is_used(room: Room) -> None:
    Messages.objects.create(message="hi", place="general", created=THEN)
    assert bring_in(room="place").rooms == 0
    assert [text for _, text, _ in log_of("general")] == ["hi"]
    room.refresh_from_db()
    assert (room.subject_type, room.title) == ("", "General")


def test_a_room_of_something_else_is_not_used() -> None:
    Room.objects.create(slug="seven", subject_type="shop.order", subject_id="7")
    Messages.objects.create(message="hi", place="seven", created=THEN)
    assert bring_in(room="place").rooms == 1
    assert log_of("seven") == []
    assert Room.objects.filter(slug__startswith="seven-").count() == 1


def test_it_is_the_room_of_the_projects_thing() -> None:
    known, new = (Chat.objects.create(name=name) for name in ("Known", "New"))
    before = room_for(known)
    for chat in (known, new):
        Messages.objects.create(message="hi", chat=chat, created=THEN)
    assert bring_in(room="chat").rooms == 1
    assert len(log_of(before.slug)) == 1
    assert room_for(new).slug == "new"


def test_a_room_that_somebody_makes_meanwhile_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chat = Chat.objects.create(name="Team")
    Messages.objects.create(message="hi", chat=chat, created=THEN)
    find = importing._Import._find
    asked = iter(range(10))

    def late(self: Any, source: Any) -> Room | None:
        found = find(self, source)
        if next(asked) == 0:
            room_for(chat)
        return found

    monkeypatch.setattr(importing._Import, "_find", late)
    counts = bring_in(room="chat")
    assert (counts.added, counts.rooms) == (1, 0)
    assert len(log_of(room_for(chat).slug)) == 1


def test_who_wrote_in_a_group_is_its_member_and_sees_all(
    ada: User, grace: User
) -> None:
    team, other = (Chat.objects.create(name=name) for name in ("Team", "Other"))
    users = [ada, None, grace, ada]
    for n, author in enumerate(users):
        at = THEN + timedelta(minutes=n)
        Messages.objects.create(message=f"{n}", chat=team, author=author, created=at)
    Messages.objects.create(message="x", chat=other, author=grace, created=THEN)

    counts = bring_in(room="chat", author="author", kind="group")

    assert (counts.added, counts.rooms, counts.members) == (5, 2, 3)
    room = Room.objects.get(slug="team")
    assert room.kind == Room.Kind.GROUP
    seqs = [seq for seq, *_ in log_of("team")]
    assert seqs == [3, 4, 5, 6]
    for user in (ada, grace):
        actor = Actor(f"u:{user.pk}", "", user)
        rights = rights_in(actor, room)
        assert rights.denial("watch") is None
        assert rights.visible_from <= seqs[0]
    others = Member.objects.filter(room__slug="other")
    assert [member.author_key for member in others] == [f"u:{grace.pk}"]


def test_a_later_run_brings_nobody_back(ada: User, grace: User) -> None:
    chat = Chat.objects.create(name="Team")
    for author in (ada, grace):
        Messages.objects.create(message="hi", chat=chat, author=author, created=THEN)
    bring_in(room="chat", author="author", kind="group")
    actions.remove_member("team", grace)
    Messages.objects.create(message="again", chat=chat, author=grace, created=THEN)
    counts = bring_in(room="chat", author="author", kind="group")
    assert (counts.added, counts.members) == (1, 0)
    keys = Member.objects.values_list("author_key", flat=True)
    assert list(keys) == [f"u:{ada.pk}"]


def test_a_room_is_made_with_its_members_or_not_at_all(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = Chat.objects.create(name="Team")
    Messages.objects.create(message="hi", chat=chat, author=ada, created=THEN)

    def breaking(*_: Any) -> Iterator[Actor]:
        raise ConnectionResetError("the plug was pulled")

    with monkeypatch.context() as patched:
        patched.setattr(SourceTable, "users_in", breaking)
        with pytest.raises(ConnectionResetError):
            bring_in(room="chat", author="author", kind="group")
    assert not Room.objects.exists()
    assert bring_in(room="chat", author="author", kind="group").members == 1


def test_one_room_for_all_may_be_a_group(ada: User) -> None:
    fill(3, author=ada)
    counts = bring_in(into="team", author="author", kind="group")
    assert (counts.added, counts.members) == (3, 1)


def test_which_room_is_said_once() -> None:
    table = SourceTable("old_chat.Messages", text="message")
    with pytest.raises(ValueError, match="either the table has rooms"):
        list(import_rows(table, tell=[].append))
    table = SourceTable("old_chat.Messages", text="message", room="place")
    with pytest.raises(ValueError, match="either the table has rooms"):
        list(import_rows(table, room="general", tell=[].append))


# --- what is refused ---


def test_what_is_refused_is_told_and_loses_nothing_else() -> None:
    texts = ["a", "", "b", "x" * 20_000, "c", " ", "d", "e", "f", "g"]
    rows = [Messages.objects.create(message=t, created=THEN) for t in texts]
    told: list[str] = []
    counts = bring_in(into="general", told=told)
    assert (counts.added, counts.refused) == (7, 3)
    assert [line.partition(": ")[0] for line in told] == [
        f"old_chat.messages {rows[n].pk}" for n in (1, 3, 5)
    ]
    assert [line.partition(": ")[2] for line in told] == [
        "the text is blank.",
        "the text has 20,000 bytes; at most 16 KiB are taken, as JSON.",
        "the text is blank.",
    ]
    assert [text for _, text, _ in log_of("general")] == list("abcdefg")
    Messages.objects.filter(pk=rows[1].pk).update(message="mended")
    assert bring_in(into="general", told=[]).added == 1


def test_a_row_that_the_database_refuses_loses_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(10)
    append = importing.append

    def picky(using: Any, entries: Any) -> Any:
        if any(entry.text == "m3" for entry in entries):
            raise DataError("it has three legs")
        return append(using, entries)

    monkeypatch.setattr(importing, "append", picky)
    told: list[str] = []
    counts = bring_in(into="general", told=told)
    assert (counts.added, counts.refused) == (9, 1)
    assert "the database does not take it: it has three legs" in told[0]
    times = [at for *_, at in log_of("general")]
    assert times == sorted(times)


def test_who_is_banned_or_muted_today_wrote_then(ada: User, room: Room) -> None:
    actions.ban(room, ada)
    fill(3, author=ada)
    assert bring_in(into="general", author="author").added == 3
    with pytest.raises(actions.NotSent):
        actions.send_message(room, ada, "now")


# --- looking only ---


def test_a_dry_run_says_the_same_and_writes_nothing(ada: User) -> None:
    for n, place in enumerate(["a", "b", "a", "", "Team A", "team a"] * 3):
        text = "" if n % 7 == 6 else f"m{n}"
        Messages.objects.create(message=text, place=place, created=THEN, author=ada)
    told: list[str] = []
    looked = bring_in(room="place", author="author", dry_run=True, told=told)
    assert not Event.objects.exists()
    assert not Room.objects.exists()
    done: list[str] = []
    assert looked == bring_in(room="place", author="author", told=done)
    assert told == done
    known = bring_in(room="place", author="author", dry_run=True)
    assert (known.added, known.known) == (0, looked.added)


# --- how it is done ---


def test_no_query_for_a_row(
    django_assert_max_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
    ada: User,
) -> None:
    monkeypatch.setattr(importing, "BATCH", 500)
    chats = [Chat.objects.create(name=f"Chat {n}") for n in range(2)]
    for n in range(300):
        Messages.objects.create(message=f"{n}", chat=chats[n % 2], author=ada)
    with django_assert_max_num_queries(30):
        assert bring_in(room="chat", author="author").added == 300


_asked: list[int] = []


def profiles(ids: list[str]) -> dict[str, Profile]:
    """Say how people are shown, and note for how many that was asked."""
    _asked.append(len(ids))
    return {pk: Profile(f"No. {pk}") for pk in ids}


def test_the_projects_profiles_are_asked_for_at_once(settings: Settings) -> None:
    settings.HEADGATE = {"PROFILES": f"{__name__}.profiles"}
    users = [User.objects.create_user(f"user{n}") for n in range(7)]
    for user in users:
        Messages.objects.create(message="hi", author=user, created=THEN)
    _asked.clear()
    bring_in(into="general", author="author")
    assert _asked == [7]
    names = Message.objects.values_list("author_name", flat=True)
    assert set(names) == {f"No. {user.pk}" for user in users}


@pytest.mark.usefixtures("no_handlers")
def test_no_handler_is_told_of_what_was_said_long_ago() -> None:
    told: list[Any] = []
    headgate.on("message")(told.append)
    fill(3)
    assert bring_in(into="general").added == 3
    assert told == []
    actions.send_message("general", SYSTEM, "now")
    assert [event.text for event in told] == ["now"]


def test_somebody_may_write_between_any_two_batches() -> None:
    """Nothing of an import stays open while it does not write."""
    fill(40)
    Room.objects.create(slug="general")
    table = SourceTable("old_chat.Messages", text="message", at="created")
    written: list[int] = []

    def write() -> None:
        try:
            sent = actions.send_message("general", Actor("s:", ""), "between")
            written.append(sent.seq)
        finally:
            connection.close()

    for _ in import_rows(table, room="general", tell=[].append):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(written) == 7
    log = log_of("general")
    assert len(log) == 47
    times = [at for _, text, at in log if text != "between"]
    assert times == sorted(times)


def test_two_imports_at_once_write_each_row_once() -> None:
    fill(60)
    Room.objects.create(slug="general")
    failed: list[BaseException] = []
    begin = threading.Barrier(2)

    def run() -> None:
        table = SourceTable("old_chat.Messages", text="message", at="created")
        try:
            counts = import_rows(table, room="general", tell=[].append)
            next(counts)  # both have looked up what is known: nothing
            begin.wait()
            for _ in counts:
                pass
        except BaseException as exc:  # noqa: BLE001 - told below
            failed.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    texts = [text for _, text, _ in log_of("general")]
    assert sorted(texts) == sorted(f"m{n}" for n in range(60))


def test_keys_of_any_kind_are_kept_in_their_order() -> None:
    for n in range(20):
        Note.objects.create(text=f"n{n}")
    table = SourceTable("old_chat.Note", text="text")
    for _ in import_rows(table, room="notes", tell=[].append):
        pass
    expected = Note.objects.order_by("pk").values_list("text", flat=True)
    assert [text for _, text, _ in log_of("notes")] == list(expected)
