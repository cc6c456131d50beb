"""What a project's table says, and what is told of fields that do not fit."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat.source_table import UNKNOWN, BadTable, SourceRow, SourceTable
from tests.old_chat.models import Chat, Messages, Note

pytestmark = [pytest.mark.django_db, pytest.mark.database]

THEN = datetime(2021, 3, 4, 5, 6, 7, 89, tzinfo=UTC)


def rows(**fields: Any) -> list[SourceRow]:
    """Return all rows of the table of messages, in the order of an import."""
    table = SourceTable("old_chat.Messages", text="message", **fields)
    return table.rows(list(table.keys()))


def only(**fields: Any) -> SourceRow:
    (row,) = rows(**fields)
    return row


def test_a_row_is_a_message(ada: User) -> None:
    chat = Chat.objects.create(name="Team A")
    made = Messages.objects.create(
        chat=chat, message="hi\nthere", author=ada, created=THEN
    )

    row = only(room="chat", author="author", at="created")

    assert row.text == "hi\nthere"
    assert row.client_id == f"import:old_chat.messages:{made.pk}"
    assert (row.author.key, row.author.name) == (f"u:{ada.pk}", "Ada Lovelace")
    assert row.at == THEN
    assert row.problem is None
    assert row.room is not None
    assert row.room.subject == ("old_chat.chat", str(chat.pk))
    assert (row.room.slug, row.room.title) == ("team-a", "Team A")


def test_rows_come_by_time_then_by_key_and_those_without_time_last() -> None:
    hours = [None, 5, 1, 3, None, 1]
    for hour in hours:
        at = None if hour is None else THEN + timedelta(hours=hour)
        Messages.objects.create(message=str(hour), created=at)
    made = list(Messages.objects.order_by("pk").values_list("pk", flat=True))

    table = SourceTable("old_chat.messages", text="message", at="created")

    assert list(table.keys()) == [made[i] for i in (2, 5, 3, 1, 0, 4)]


def test_without_a_time_rows_come_by_key() -> None:
    made = [Messages.objects.create(message=str(n)).pk for n in range(5)]
    table = SourceTable("old_chat.Messages", text="message")
    assert list(table.keys()) == made
    assert [row.at for row in table.rows(made)] == [None] * 5


def test_a_row_that_is_gone_meanwhile_is_left_out() -> None:
    first = Messages.objects.create(message="a").pk
    second = Messages.objects.create(message="b").pk
    table = SourceTable("old_chat.Messages", text="message")
    assert [row.pk for row in table.rows([second, 999_999, first])] == [second, first]


def test_what_the_projects_manager_hides_stays_hidden() -> None:
    seen = Note.objects.create(text="seen")
    Note.objects.create(text="hidden", hidden=True)
    table = SourceTable("old_chat.Note", text="text")
    assert list(table.keys()) == [seen.pk]
    (row,) = table.rows([table.key(str(seen.pk))])
    assert row.client_id == f"import:old_chat.note:{seen.pk}"


def test_a_long_key_gets_a_client_id_that_is_short_and_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes = [Note.objects.create(text="x") for _ in range(2)]
    table = SourceTable("old_chat.Note", text="text")
    table.label = "a_label_of_an_app.and_a_model_that_is_long"
    ids = [row.client_id for row in table.rows([note.pk for note in notes])]
    again = [row.client_id for row in table.rows([note.pk for note in notes])]
    assert ids == again
    assert len(set(ids)) == 2
    assert all(len(each) <= 64 and each.startswith("import:") for each in ids)


# --- times ---


def test_a_date_is_midnight_where_the_project_is(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    Messages.objects.create(message="hi", day=date(2021, 7, 1))
    assert only(at="day").at == datetime(2021, 6, 30, 22, tzinfo=UTC)


def test_naive_times_stay_naive_where_time_zones_are_off(settings: Settings) -> None:
    settings.USE_TZ = False
    Messages.objects.create(message="hi", created=datetime(2021, 7, 1, 12))  # noqa: DTZ001 - as such projects have it
    at = only(at="created").at
    assert at == datetime(2021, 7, 1, 12)  # noqa: DTZ001 - the same


@pytest.mark.parametrize(
    ("at", "zone"),
    [
        (datetime(1, 1, 1), "Asia/Tokyo"),  # noqa: DTZ001 - as a row has it
        (datetime(9999, 12, 31, 23), "America/New_York"),  # noqa: DTZ001 - the same
    ],
)
def test_a_time_that_no_calendar_has_is_told(
    at: datetime, zone: str, settings: Settings
) -> None:
    settings.TIME_ZONE = zone
    table = SourceTable("old_chat.Messages", text="message", at="created")
    row = Messages(pk=1, message="hi", created=at)
    assert table._row(row).problem == "its time is too far from now"


# --- authors ---


def test_an_author_who_is_gone_is_unknown(ada: User) -> None:
    Messages.objects.create(message="hi", author=ada)
    ada.delete()
    author = only(author="author").author
    assert author is UNKNOWN
    assert author.author.kind == "deleted"


def test_a_table_without_authors_has_unknown_ones() -> None:
    Messages.objects.create(message="hi")
    assert only().author is UNKNOWN


def test_a_name_is_the_same_guest_each_time() -> None:
    for nick in ("Ada", " Ada ", "Bob", "", "  "):
        Messages.objects.create(message="hi", nick=nick)
    ada, again, bob, *nobody = [row.author for row in rows(author="nick")]
    assert ada == again
    assert (ada.name, bob.name) == ("Ada", "Bob")
    assert ada.key != bob.key
    assert ada.author.kind == "guest"
    assert nobody == [UNKNOWN, UNKNOWN]


def test_a_name_hides_nothing_and_is_short() -> None:
    Messages.objects.create(message="hi", nick="A\u202eda\x07" + "x" * 100)
    author = only(author="nick").author
    assert author.name == ("Ada" + "x" * 100)[:40]
    assert len(author.key) <= 64


# --- rooms ---


@pytest.mark.parametrize(
    ("place", "slug"),
    [
        ("general", "general"),
        ("Room_7.b-c", "Room_7.b-c"),
        ("7", "7"),
        ("Köln Süd", "koln-sud"),
        ("  a  b  ", "a-b"),
        ("_x_", "x"),
        ("x" * 100, "x" * 64),
        ("Чат", "room-80be9686"),
        ("🎉", "room-18c3c6d9"),
    ],
)
def test_a_room_gets_a_slug(place: str, slug: str) -> None:
    Messages.objects.create(message="hi", place=place)
    room = only(room="place").room
    assert room is not None
    assert room.title == place
    if not slug.startswith("room-"):
        assert room.slug == slug
    else:
        assert room.slug.startswith("room-")
        assert len(room.slug) == len(slug)
    assert len(room.other_slug) <= 64
    assert room.other_slug.startswith(room.slug[:55])


def test_rooms_of_the_same_slug_are_told_apart() -> None:
    for place in ("Team A", "team a", "Team A"):
        Messages.objects.create(message="hi", place=place)
    one, other, again = [row.room for row in rows(room="place")]
    assert one is not None
    assert other is not None
    assert one == again
    assert one.slug == other.slug
    assert one.subject != other.subject
    assert one.other_slug != other.other_slug


def test_a_number_names_a_room() -> None:
    Messages.objects.create(message="hi", number=12)
    room = only(room="number").room
    assert room is not None
    assert room.slug == "12"


def test_a_field_of_the_rooms_model_names_it() -> None:
    chat = Chat.objects.create(name="Team A", slug="ta")
    Messages.objects.create(message="hi", chat=chat)
    room = only(room="chat", room_slug="slug").room
    assert room is not None
    assert (room.slug, room.title) == ("ta", "Team A")
    # A column's own name leads to the same.
    assert only(room="chat_id", room_slug="slug").room == room


@pytest.mark.parametrize("column", ["chat", "place"])
def test_a_row_without_a_room_is_told(column: str) -> None:
    Messages.objects.create(message="hi")
    assert only(room=column).problem == "it has no room"


# --- texts ---


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the text is blank"),
        (" \n\t\u3000", "the text is blank"),
        (None, "the text is blank"),
        ("x" * 17_000, "the text has 17,000 bytes; at most 16 KiB are taken, as JSON"),
        ("ü" * 8_200, "the text has 16,400 bytes; at most 16 KiB are taken, as JSON"),
        ("x" * 16_000, None),
        ("<b>bold</b> \\ \u202e 🎉", None),
    ],
)
def test_texts_that_can_be_no_message(text: str | None, said: str | None) -> None:
    Messages.objects.create(message=text)
    assert only().problem == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\x00b", "the text has the character U+0000"),
        ("a\ud800b", "the text is no Unicode"),
    ],
)
def test_texts_that_some_databases_have(text: str, said: str) -> None:
    table = SourceTable("old_chat.Messages", text="message")
    assert table._row(Messages(pk=1, message=text)).problem == said


# --- what does not fit ---


@pytest.mark.parametrize(
    ("model", "fields", "said"),
    [
        ("old_chat.Message", {}, "the models are: old_chat.Chat, old_chat.Messages"),
        ("Messages", {}, "Write app_label.Model; the apps are: admin, auth"),
        ("shop.Messages", {}, "Write app_label.Model; the apps are: admin, auth"),
        ("old_chat.a.b", {}, "There is no model 'old_chat.a.b'"),
        (
            "old_chat.Messages",
            {"text": "text"},
            "it has id, chat, place, message, author, nick, number, created, day.",
        ),
        ("old_chat.Messages", {"text": "chat"}, "is no text but a relation"),
        ("old_chat.Messages", {"room": "room"}, "--room-field: old_chat.Messages has"),
        ("old_chat.Chat", {"text": "messages"}, "has no column 'messages'"),
        ("old_chat.Messages", {"author": "who"}, "--author-field: old_chat.Messages"),
        ("old_chat.Messages", {"author": "chat"}, "leads to old_chat.Chat, and not to"),
        ("old_chat.Messages", {"author": "number"}, "is of the type IntegerField"),
        ("old_chat.Messages", {"at": "time"}, "--at-field: old_chat.Messages has no"),
        (
            "old_chat.Messages",
            {"at": "number"},
            "IntegerField, and no date",
        ),
        ("old_chat.Messages", {"room_slug": "slug"}, "has to be a foreign key"),
        (
            "old_chat.Messages",
            {"room": "place", "room_slug": "slug"},
            "has to be a foreign key",
        ),
        (
            "old_chat.Messages",
            {"room": "chat", "room_slug": "slag"},
            "--room-slug-field: old_chat.Chat has no column 'slag'; it has id, name",
        ),
    ],
)
def test_what_does_not_fit_is_told(
    model: str, fields: dict[str, str], said: str
) -> None:
    with pytest.raises(BadTable) as told:
        SourceTable(model, **({"text": "message"} | fields))
    assert said in str(told.value)


def test_members_of_a_room_are_its_users(ada: User, grace: User) -> None:
    first = Chat.objects.create(name="A")
    second = Chat.objects.create(name="B")
    for chat, author in [(first, ada), (first, ada), (second, grace), (first, None)]:
        Messages.objects.create(message="hi", chat=chat, author=author)
    table = SourceTable(
        "old_chat.Messages", text="message", room="chat", author="author"
    )
    one, *_ = table.rows(list(table.keys()))
    assert [user.key for user in table.users_in(one.room)] == [f"u:{ada.pk}"]
    everybody = [user.key for user in table.users_in(None)]
    assert everybody == [f"u:{ada.pk}", f"u:{grace.pk}"]
