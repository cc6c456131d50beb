from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.chat import actions
from headgate.chat.engine import Engine
from headgate.chat.history import (
    PAGE_MAX_BYTES,
    DatabaseLog,
    events_page,
    known_message,
    landed,
    message_at,
    messages_of,
    messages_page,
    unread_count,
)
from headgate.chat.models import Room
from headgate.chat.people import SYSTEM, actor_for
from headgate.live.ports import RoomHead
from headgate.protocol.codec import encode

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def room(room: Room) -> Room:
    """A room of 30 events; every third edits the message before it."""
    for n in range(1, 31):
        if n % 3:
            actions.send_message(room, SYSTEM, f"m{n}", kind="system")
        else:
            actions.edit_message(room, n - 1, f"e{n}", by=SYSTEM)
    return room


MESSAGES = [n for n in range(1, 31) if n % 3]


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.integers(1, 25),
    st.integers(1, 31),
    st.none() | st.integers(0, 32),
    st.none() | st.integers(0, 32),
)
def test_a_page_of_messages_is_what_a_list_would_be(
    room: Room,
    limit: int,
    visible_from: int,
    before: int | None,
    after: int | None,
) -> None:
    page = messages_page(
        room.pk,
        before=before,
        after=after,
        visible_from=visible_from,
        limit=limit,
    )

    fits = [
        seq
        for seq in MESSAGES
        if visible_from <= seq
        and (before is None or seq < before)
        and (after is None or seq > after)
    ]
    cut = fits[-limit:] if after is None else fits[:limit]
    assert [entry.seq for entry in page.entries] == cut
    assert (page.head, page.more) == (30, len(fits) > limit)
    assert messages_of(page) == page.entries


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(1, 40), st.integers(0, 32), st.none() | st.integers(0, 32))
def test_a_page_of_events_is_a_run_of_the_log(
    room: Room,
    limit: int,
    after: int,
    to: int | None,
) -> None:
    page = events_page(room.pk, after=after, to=to, limit=limit)

    last = 30 if to is None else min(to, 30)
    fits = list(range(after + 1, last + 1))
    assert [entry.seq for entry in page.entries] == fits[:limit]
    assert (page.head, page.more) == (30, len(fits) > limit)


@pytest.mark.parametrize("of", ["events", "messages", "messages before"])
def test_a_page_of_long_messages_ends_early_and_says_so(room: Room, of: str) -> None:
    """Following the pages, whichever way, still gives everything."""
    for _ in range(40):
        actions.send_message(room, SYSTEM, "x" * 15_000, kind="system")
    found: list[int] = []
    more, pages = True, 0
    while more:
        if of == "events":
            last = max(found, default=30)
            page = events_page(room.pk, after=last, to=None, limit=200)
        else:
            back = of == "messages before"
            page = messages_page(
                room.pk,
                before=min(found, default=None) if back else None,
                after=None if back else max(found, default=30),
                visible_from=31,
                limit=200,
            )
        assert sum(len(encode(entry)) for entry in page.entries) <= PAGE_MAX_BYTES
        found += [entry.seq for entry in page.entries]
        more, pages = page.more, pages + 1

    assert sorted(found) == list(range(31, 71))
    assert pages > 1


async def test_the_log_of_delivery(room: Room, chat: Engine) -> None:
    log = DatabaseLog(chat.reader)

    assert await log.head(room.pk) == RoomHead(30, room.epoch)
    events = await log.events(room.pk, 10, 20, 200, max_bytes=1_000_000)
    assert [event.seq for event in events] == list(range(11, 21))
    few = await log.events(room.pk, 10, 20, 3, max_bytes=99)
    assert [event.seq for event in few] == [11, 12, 13]
    assert list(await log.events(room.pk, 30, 30, 200, max_bytes=99)) == []
    assert all(event.room == "general" for event in events)


async def test_a_room_that_is_gone_has_an_empty_log(chat: Engine) -> None:
    log = DatabaseLog(chat.reader)

    assert await log.head(10**6) == RoomHead(0, "")
    assert list(await log.events(10**6, 0, 5, 200, max_bytes=99)) == []


def test_unread_counts_what_can_be_read(room: Room) -> None:
    assert unread_count(room.pk, 0) == 20
    assert unread_count(room.pk, 28) == 1
    assert unread_count(room.pk, 99) == 0
    actions.delete_message(room, 29, by=SYSTEM)
    assert unread_count(room.pk, 28) == 0


def test_landed_is_ones_own(room: Room, ada: User, grace: User) -> None:
    actions.send_message(room, ada, "a", client_id="c-1")
    other = Room.objects.create(slug="other")
    actions.send_message(other, ada, "a", client_id="c-2")
    asked = ["c-1", "c-2", "c-3"]

    assert landed(room.pk, actor_for(ada).key, asked) == {"c-1": 31}
    assert landed(room.pk, actor_for(grace).key, asked) == {}
    assert landed(room.pk, actor_for(ada).key, []) == {}


def test_a_message_is_found_by_its_seq(room: Room) -> None:
    message = message_at(room.pk, 2)

    assert message is not None
    assert (message.text, message.edited_seq) == ("e3", 3)
    assert message_at(room.pk, 3) is None
    assert message_at(room.pk, 99) is None


@pytest.mark.skipif(connection.vendor != "sqlite", reason="of SQLite's planner")
def test_what_landed_is_looked_up_in_the_unique_index(room: Room) -> None:
    """It holds only what has a client_id, and begins with that, not with the room."""
    with CaptureQueriesContext(connection) as asked:
        landed(room.pk, SYSTEM.key, ["c-1", "c-2"])
        known_message(room.pk, SYSTEM.key, "c-1")

    assert len(asked) == 2
    with connection.cursor() as cursor:
        for query in asked.captured_queries:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            [(*_, plan)] = cursor.fetchall()
            assert "headgate_event_client_id (client_id=? AND room_id=? AND" in plan
