"""Who is told that they miss something: when, of what, and not again."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

import headgate
from headgate.chat import actions
from headgate.chat.entries import ReadMark
from headgate.chat.models import Member, Room
from headgate.chat.people import actor_for, new_guest
from headgate.chat.storage import write
from headgate.outbound import absent_call
from headgate.outbound.absent import Absence
from headgate.outbound.models import Delivery
from headgate.outbound.worker import Worker
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    in_thread,
    talk_fixture,
)
from tests.outbound.handler_calls import (  # noqa: F401 - fixtures are found by name
    Handlers,
    handlers_fixture,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PUSH = "absent:push"


class Pushes:
    """A handler that keeps what it is told."""

    def __init__(self, **more: Any) -> None:
        self.seen: list[Absence] = []
        self.fails: list[Exception] = []

        @headgate.absent(**more)
        async def push(notice: Absence) -> None:
            if self.fails:
                raise self.fails.pop()
            self.seen.append(notice)


@pytest.fixture
def team(transactional_db: None, ada: User, grace: User) -> Room:
    """A group of two."""
    made = Room.objects.create(slug="team", kind="group")
    for user in (ada, grace):
        actions.add_member(made, user)
    return made


async def read_up_to(room: Room, user: User, seq: int) -> None:
    await write(ReadMark(room.pk, await in_thread(actor_for, user), seq))


async def notices(handlers: Handlers) -> list[Delivery]:
    """Return the notices that wait, once what was written has been looked at."""
    await handlers.work_of(PUSH, "message")
    rows = Delivery.objects.filter(event="absent", state="due").order_by("id")
    return list(await in_thread(lambda: list(rows)))


# --- who, and of what -------------------------------------------------------------


async def test_a_member_who_is_away_is_told_once_for_all_rooms(
    handlers: Handlers, team: Room, ada: User, grace: User
) -> None:
    pushes = Pushes(after_seconds=0)
    other = await in_thread(lambda: Room.objects.create(slug="other", kind="direct"))
    for user in (ada, grace):
        await in_thread(actions.add_member, other, user)
    await headgate.asend_message(team, ada, "one")
    await headgate.asend_message(team, ada, "two")
    await headgate.asend_message(other, ada, "three")
    assert len(await notices(handlers)) == 1
    assert [each.result for each in await handlers.work(PUSH)] == ["delivered"]
    (notice,) = pushes.seen
    assert notice.user == grace
    assert notice.rooms == {"team": 2, "other": 1}
    assert notice.mentioned == []
    assert (notice.last.room, notice.last.text) == ("other", "three")


async def test_nobody_is_told_of_what_they_wrote_or_read(
    handlers: Handlers, team: Room, ada: User, grace: User
) -> None:
    pushes = Pushes(after_seconds=0)
    sent = await headgate.asend_message(team, ada, "one")
    assert [each.order_key for each in await notices(handlers)] == [f"u:{grace.pk}"]
    await read_up_to(team, grace, sent.seq)
    await handlers.work(PUSH)
    assert pushes.seen == []

    later = await headgate.asend_message(team, ada, "two")
    await read_up_to(team, grace, later.seq)  # before it was looked at
    assert await notices(handlers) == []


async def test_they_are_told_only_of_what_came_since_they_were_added(
    handlers: Handlers, team: Room, ada: User
) -> None:
    pushes = Pushes(after_seconds=0)
    await headgate.asend_message(team, ada, "one")
    eve = await in_thread(User.objects.create_user, "eve")
    await in_thread(actions.add_member, team, eve)
    await headgate.asend_message(team, ada, "two")
    await notices(handlers)
    await handlers.work(PUSH)
    rooms = {each.user.username: each.rooms for each in pushes.seen}
    assert rooms == {"grace": {"team": 2}, "eve": {"team": 1}}


async def test_a_public_room_tells_those_who_are_mentioned(
    handlers: Handlers, room: Room, ada: User, grace: User
) -> None:
    pushes = Pushes(after_seconds=0)
    await headgate.asend_message(room, ada, "to all")
    for data in (
        {"mentions": [f"u:{grace.pk}", f"u:{ada.pk}", "u:999", "g:12", 5]},
        {"mentions": f"u:{grace.pk}"},  # no list
        {"mentions": [f"u:{grace.pk}"]},
    ):
        await headgate.asend_message(room, ada, "to some", data=data)
    assert len(await notices(handlers)) == 2
    await handlers.work(PUSH)
    (notice,) = pushes.seen
    assert (notice.user, notice.rooms) == (grace, {})
    assert notice.mentioned == [("general", 2), ("general", 4)]
    assert notice.last.seq == 4


async def test_a_mention_in_a_group_is_told_as_one(
    handlers: Handlers, team: Room, ada: User, grace: User
) -> None:
    pushes = Pushes(after_seconds=0)
    eve = await in_thread(User.objects.create_user, "eve")
    data = {"mentions": [f"u:{grace.pk}", f"u:{eve.pk}"]}
    sent = await headgate.asend_message(team, ada, "hi", data=data)
    await notices(handlers)
    await handlers.work(PUSH)
    (notice,) = pushes.seen  # eve is no member
    assert notice.user == grace
    assert (notice.rooms, notice.mentioned) == ({"team": 1}, [("team", sent.seq)])


async def test_what_is_no_account_is_not_mentioned(
    handlers: Handlers, room: Room, ada: User, grace: User
) -> None:
    """Whoever writes it could else have the handler fail, or tell somebody twice."""
    Pushes(after_seconds=0)
    wrong = ["u:", "u:x", f"u:0{grace.pk}", f"u: {grace.pk}", "u:" + "9" * 80, "u:-1"]
    data = {"mentions": [*wrong, [], f"u:{grace.pk}"]}
    await headgate.asend_message(room, ada, "hi", data=data)
    assert [each.order_key for each in await notices(handlers)] == [f"u:{grace.pk}"]
    assert [each.result for each in await handlers.work(PUSH)] == ["delivered"]


@pytest.mark.parametrize("how", ["banned", "removed", "inactive", "deleted"])
async def test_who_may_not_see_it_is_not_told(
    handlers: Handlers, team: Room, ada: User, grace: User, how: str
) -> None:
    pushes = Pushes(after_seconds=0)
    await headgate.asend_message(team, ada, "one")
    await notices(handlers)
    if how == "banned":
        await in_thread(actions.ban, team, grace)
    elif how == "removed":
        await in_thread(actions.remove_member, team, grace)
    elif how == "inactive":
        await in_thread(
            lambda: User.objects.filter(pk=grace.pk).update(is_active=False)
        )
    else:
        await in_thread(grace.delete)
    await handlers.work(PUSH)
    assert [each.user.username for each in pushes.seen] == []


async def test_what_was_deleted_is_not_told(
    handlers: Handlers, team: Room, ada: User
) -> None:
    pushes = Pushes(after_seconds=0)
    sent = await headgate.asend_message(team, ada, "one")
    await notices(handlers)
    await in_thread(lambda: actions.delete_message(team, sent.seq, by=ada))
    await handlers.work(PUSH)
    assert pushes.seen == []
    gone = await headgate.asend_message(team, ada, "two")
    await in_thread(lambda: actions.delete_message(team, gone.seq, by=ada))
    assert await notices(handlers) == []


async def test_guests_have_no_account_and_are_not_told(
    handlers: Handlers, team: Room, ada: User
) -> None:
    Pushes(after_seconds=0)
    guest = new_guest("Gus")
    await in_thread(actions.add_member, team, guest)
    await headgate.asend_message(team, ada, "one")
    assert guest.key not in [each.order_key for each in await notices(handlers)]


# --- when -------------------------------------------------------------------------


async def test_people_have_time_to_read_it_by_themselves(
    handlers: Handlers, team: Room, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {"ABSENT_AFTER_SECONDS": 45.0}
    Pushes()
    Pushes(name="mail", after_seconds=600)
    before = time.time()
    await headgate.asend_message(team, ada, "one")
    first = await notices(handlers)
    await handlers.work_of("absent:mail", "message")
    rows = await in_thread(
        lambda: list(Delivery.objects.filter(event="absent").order_by("due_at"))
    )
    assert [each.pk for each in rows][:1] == [each.pk for each in first]
    for row, seconds in zip(rows, (45, 600), strict=True):
        assert before + seconds <= row.due_at <= time.time() + seconds


async def test_a_later_message_joins_the_notice_that_waits(
    handlers: Handlers, team: Room, ada: User
) -> None:
    Pushes()
    await headgate.asend_message(team, ada, "one")
    (first,) = await notices(handlers)
    await headgate.asend_message(team, ada, "two")
    (second,) = await notices(handlers)
    assert second.pk == first.pk
    # One that is being made may have looked already.
    await in_thread(Delivery.objects.filter(pk=first.pk).update, lease="somebody")
    await headgate.asend_message(team, ada, "three")
    assert len(await notices(handlers)) == 2


async def test_whoever_is_there_is_not_told(
    talk: Talkers, handlers: Handlers, team: Room, ada: User, grace: User
) -> None:
    pushes = Pushes(after_seconds=0)
    talker = await talk(grace, room=None)
    await headgate.asend_message(team, ada, "one")
    await notices(handlers)
    await handlers.work(PUSH)
    assert pushes.seen == []
    await talk.end(talker)
    await headgate.asend_message(team, ada, "two")
    await notices(handlers)
    await handlers.work(PUSH)
    # Also of what came while they were there and did not read.
    assert [each.rooms for each in pushes.seen] == [{"team": 2}]


# --- again ------------------------------------------------------------------------


async def test_the_same_messages_are_not_told_again(
    handlers: Handlers, team: Room, ada: User, room: Room, grace: User
) -> None:
    pushes = Pushes(after_seconds=0)
    await headgate.asend_message(team, ada, "one")
    (first,) = await notices(handlers)
    # Two that wait, as two workers at once may have made them.
    await in_thread(
        lambda: Delivery.objects.create(
            destination_id=first.destination_id,
            event="absent",
            payload=first.payload,
            order_key=first.order_key,
            due_at=0.0,
            created_at=0.0,
        )
    )
    assert len(await handlers.work(PUSH)) == 2
    assert len(pushes.seen) == 1
    data = {"mentions": [f"u:{grace.pk}"]}
    await headgate.asend_message(room, ada, "hi", data=data)
    await notices(handlers)
    await handlers.work(PUSH)
    assert [each.rooms for each in pushes.seen[1:]] == [{"team": 1}]
    assert [each.mentioned for each in pushes.seen[1:]] == [[("general", 1)]]


async def test_a_handler_that_fails_is_called_again_with_the_same_id(
    handlers: Handlers, team: Room, ada: User
) -> None:
    pushes = Pushes(after_seconds=0)
    pushes.fails = [RuntimeError("no network")]
    await headgate.asend_message(team, ada, "one")
    await notices(handlers)
    assert [each.result for each in await handlers.work(PUSH)] == ["failed"]
    assert [each.result for each in await handlers.work(PUSH)] == ["delivered"]
    (notice,) = pushes.seen
    assert notice.id == str((await in_thread(Delivery.objects.get, event="absent")).pk)


async def test_each_handler_is_told_by_itself(
    handlers: Handlers, team: Room, ada: User
) -> None:
    pushes, mails = Pushes(after_seconds=0), Pushes(name="mail", after_seconds=0)
    await headgate.asend_message(team, ada, "one")
    for name in (PUSH, "absent:mail"):
        await handlers.work_of(name, "message")
        await handlers.work(name)
    assert (len(pushes.seen), len(mails.seen)) == (1, 1)


async def test_a_sync_handler_may_use_the_orm(
    handlers: Handlers, team: Room, ada: User
) -> None:
    seen: list[tuple[str, int]] = []

    @headgate.absent(after_seconds=0)
    def push(notice: Absence) -> None:
        seen.append((notice.user.first_name, Member.objects.count()))

    await headgate.asend_message(team, ada, "one")
    await notices(handlers)
    await handlers.work(PUSH)
    assert seen == [("Grace", 2)]


async def test_a_large_room_is_owed_all_its_notices(
    handlers: Handlers, team: Room, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absent_call, "_CHUNK", 3)
    Pushes(after_seconds=0)

    def add() -> None:
        for n in range(10):
            actions.add_member(team, User.objects.create_user(f"u{n}"))

    await in_thread(add)
    await headgate.asend_message(team, ada, "one")
    keys = [each.order_key for each in await notices(handlers)]
    assert (len(keys), len(set(keys))) == (11, 11)


async def test_the_worker_makes_the_notice_when_its_time_has_come(
    handlers: Handlers, team: Room, ada: User
) -> None:
    told: asyncio.Queue[tuple[float, Absence]] = asyncio.Queue()

    @headgate.absent(after_seconds=0.7)
    async def push(notice: Absence) -> None:
        told.put_nowait((time.monotonic(), notice))

    worker = Worker({"handler": handlers.sender})
    working = asyncio.create_task(worker.run())
    try:
        began = time.monotonic()
        await headgate.asend_message(team, ada, "one")
        await headgate.asend_message(team, ada, "two")
        async with asyncio.timeout(60):
            at, notice = await told.get()
        assert at - began >= 0.7
        assert notice.rooms == {"team": 2}
        # Two messages at once may owe two notices: the second finds nothing new.
        due = Delivery.objects.filter(state=Delivery.State.DUE)
        async with asyncio.timeout(60):
            while await in_thread(due.exists):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
    finally:
        worker.stop()
        await working
    assert told.empty()
    rows = await in_thread(
        lambda: set(Delivery.objects.values_list("event", "state", "attempts"))
    )
    assert {row[:2] for row in rows} == {("message", "done"), ("absent", "done")}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"name": "Push!"}, "names no handler"),
        ({"after_seconds": -1}, "after_seconds=-1 is no time"),
        ({"after_seconds": float("nan")}, "is no time"),
    ],
)
def test_what_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=text):
        headgate.absent(**given)
