from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from hypothesis import given
from hypothesis import strategies as st

from headgate.chat import actions
from headgate.chat.models import Event, Room
from headgate.chat.people import SYSTEM
from headgate.chat.rows import COLUMNS, EventRow, as_push, timestamp
from headgate.protocol.codec import encode
from headgate.protocol.pushes import Author, Deleted, Edited, Membership, Message

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
SHOWN = "2026-01-02T03:04:05.678Z"
ADA = Author("u:1", "user", "Ada")


def row(kind: str, **more: Any) -> EventRow:
    given = {
        "room_id": 1,
        "seq": 7,
        "kind": kind,
        "author_key": "u:1",
        "author_name": "Ada",
        "client_id": None,
        "digest": None,
        "text": "",
        "details": None,
        "target": None,
        "at": AT,
    }
    return EventRow(**{**given, **more})


@pytest.mark.parametrize(
    ("stored", "push"),
    [
        (
            row("message", text="hi", client_id="c", details={"reply_to": 3}),
            Message(
                room="r",
                seq=7,
                client_id="c",
                author=ADA,
                text="hi",
                at=SHOWN,
                reply_to=3,
            ),
        ),
        (
            row("message", edited_seq=8, deleted_seq=9),
            Message(
                room="r",
                seq=7,
                author=ADA,
                text="",
                at=SHOWN,
                edited=8,
                deleted=True,
            ),
        ),
        (
            row("edited", text="ho", target=3, details={"format": "markdown"}),
            Edited(
                room="r",
                seq=7,
                target=3,
                author=ADA,
                text="ho",
                at=SHOWN,
                format="markdown",
            ),
        ),
        (
            row("edited", target=3, deleted_seq=9),
            Edited(
                room="r",
                seq=7,
                target=3,
                author=ADA,
                text="",
                at=SHOWN,
                deleted=True,
            ),
        ),
        (
            row("deleted", target=3),
            Deleted(room="r", seq=7, target=3, author=ADA, at=SHOWN),
        ),
        (
            row(
                "membership",
                details={
                    "member": {"id": "g:1", "kind": "guest", "name": "Gus"},
                    "change": "role",
                    "role": "owner",
                },
            ),
            Membership(
                room="r",
                seq=7,
                member=Author("g:1", "guest", "Gus"),
                change="role",
                role="owner",
                author=ADA,
                at=SHOWN,
            ),
        ),
    ],
)
def test_each_kind_of_row_is_its_push(stored: EventRow, push: object) -> None:
    assert as_push(stored, "r") == push


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("message", {"reply_to": 3}),
        ("edited", {"format": "markdown"}),
        (
            "membership",
            {
                "member": {"id": "g:1", "kind": "guest", "name": "Gus"},
                "change": "muted",
                "until": SHOWN,
            },
        ),
    ],
)
def test_what_another_version_wrote_beside_is_left_out(
    kind: str, details: dict[str, Any]
) -> None:
    known = as_push(row(kind, details=details), "r")
    later = details | {"reactions": {"+1": 3}, "text": "of a column"}
    if "member" in later:
        later["member"] = later["member"] | {"pronouns": "they"}

    assert as_push(row(kind, details=later), "r") == known


@pytest.mark.parametrize("push", [Message, Edited])
def test_what_has_no_column_is_read_from_the_details(push: Any) -> None:
    """A field that is added to a push is kept in neither place otherwise."""
    of_columns = {"room", "seq", "client_id", "target", "author", "text", "at"}
    told = set(push.__struct_fields__) - of_columns - {"edited", "deleted"}
    given = dict.fromkeys(told, "kept")

    made = as_push(row(push.__struct_config__.tag, details=given), "r")

    assert {name: getattr(made, name) for name in told} == given


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_is_utc_with_milliseconds(at: datetime) -> None:
    shown = timestamp(at)

    assert len(shown) == len(SHOWN)
    assert shown.endswith("Z")
    error = at - datetime.fromisoformat(shown)
    assert timedelta(0) <= error < timedelta(milliseconds=1)


def test_another_zone_is_the_same_time() -> None:
    assert timestamp(AT.astimezone(timezone(timedelta(hours=5)))) == SHOWN


def test_columns_are_those_of_the_table() -> None:
    fields = {field.attname for field in Event._meta.concrete_fields}

    assert set(COLUMNS) == fields - {"id"}


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_what_was_pushed_is_what_is_read_back(room: Room, ada: User) -> None:
    """Every kind of event, through the database of this run and to the wire."""
    actions.send_message(room, ada, "hi", data={"ключ": [1.5, None, "\\", "'"]})
    actions.send_message(room, SYSTEM, "👋", kind="system", reply_to=1)
    actions.edit_message(room, 1, "ho", by=ada)
    actions.add_member(room, ada, role="owner")
    actions.delete_message(room, 2, by=SYSTEM)
    rows = Event.objects.order_by("seq").values_list(*COLUMNS)

    pushes = [as_push(EventRow(*row), "general") for row in rows]

    read = [msgspec.json.decode(encode(push)) for push in pushes]
    kinds = ["message", "message", "edited", "membership", "deleted"]
    assert [said["push"] for said in read] == kinds
    assert (read[0]["text"], read[0]["edited"]) == ("ho", 3)
    assert "data" not in read[0]  # the edit came without
    assert (read[1]["text"], read[1]["deleted"]) == ("", True)
    assert (read[3]["role"], read[3]["member"]["name"]) == ("owner", "Ada Lovelace")
