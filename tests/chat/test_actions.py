"""Writing from project code: in its transaction, told once it is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection, transaction
from django.test import TestCase

from headgate import NotSent, send_message
from headgate.chat import actions
from headgate.chat.models import Event, Member, Message, Room
from headgate.chat.people import SYSTEM, new_guest
from headgate.protocol.codes import Code
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    guests_fixture,
    in_thread,
    seqs,
    talk_fixture,
)

pytestmark = pytest.mark.database
committed = pytest.mark.django_db(transaction=True)


class InATestCase(TestCase):
    """A project's own tests, whose transactions are never committed."""

    def setUp(self) -> None:
        self.room = Room.objects.create(slug="general")
        self.ada = User.objects.create_user("ada", first_name="Ada")

    def test_it_is_there_at_once(self) -> None:
        sent = send_message("general", self.ada, "hi")

        assert sent == actions.Sent(1)
        message = Message.objects.get()
        assert (message.text, message.author_key) == ("hi", f"u:{self.ada.pk}")
        assert message.author_name == "Ada"

    def test_rolled_back_means_never_there(self) -> None:
        def change_of_mind() -> None:
            with transaction.atomic():
                assert send_message(self.room, self.ada, "no").seq == 1
                raise LookupError("a change of mind")

        with self.captureOnCommitCallbacks() as told, pytest.raises(LookupError):
            change_of_mind()

        assert not Event.objects.exists()
        assert told == []
        assert send_message(self.room, self.ada, "yes").seq == 1
        self.room.refresh_from_db()
        assert self.room.head == 1

    def test_each_is_told_after_the_commit_and_retries_are_not(self) -> None:
        with self.captureOnCommitCallbacks() as told:
            send_message(self.room, self.ada, "a", client_id="c")
            send_message(self.room, self.ada, "a", client_id="c")
            send_message(self.room, self.ada, "b")

        assert len(told) == 2

    def test_many_in_one_transaction_are_numbered(self) -> None:
        with transaction.atomic():
            found = [send_message(self.room, self.ada, f"{n}").seq for n in range(20)]

        assert found == list(range(1, 21))

    def test_a_refusal_leaves_the_transaction_usable(self) -> None:
        with transaction.atomic():
            send_message(self.room, self.ada, "a", client_id="c")
            with pytest.raises(NotSent) as refused:
                send_message(self.room, self.ada, "b", client_id="c")
            assert send_message(self.room, self.ada, "c").seq == 2

        assert refused.value.code == Code.ID_CONFLICT
        assert refused.value.retry_after_ms is None

    def test_memberships_and_edits_work_too(self) -> None:
        send_message(self.room, self.ada, "a")
        assert actions.edit_message(self.room, 1, "b", by=self.ada).seq == 2
        assert actions.add_member(self.room, self.ada).seq == 3
        assert actions.delete_message(self.room, 1, by=self.ada).seq == 4
        assert Member.objects.get().role == "member"

    def test_a_group_takes_its_members_and_a_kept_room_object_knows(self) -> None:
        group = Room.objects.create(slug="group", kind=Room.Kind.GROUP)
        with pytest.raises(NotSent) as refused:
            send_message(group, self.ada, "a")
        assert refused.value.code == Code.NOT_FOUND

        actions.add_member(group, self.ada)

        assert send_message(group, self.ada, "a").seq == 2
        actions.remove_member(group, self.ada)
        with pytest.raises(NotSent):
            send_message(group, self.ada, "a")


# --- who and what -----------------------------------------------------------------


@committed
@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ({"text": ""}, Code.BAD_COMMAND, "`text` is empty"),
        ({"text": " \n"}, Code.BAD_COMMAND, "`text` is empty"),
        ({"text": "a\x00"}, Code.BAD_COMMAND, "U\\+0000"),
        ({"text": "\ud800"}, Code.BAD_COMMAND, "surrogates"),
        ({"text": "x" * 17_000}, Code.TOO_LARGE, "16384"),
        ({"client_id": ""}, Code.BAD_COMMAND, "client_id"),
        ({"client_id": "c" * 65}, Code.BAD_COMMAND, "client_id"),
        ({"kind": "loud"}, Code.BAD_COMMAND, "kind"),
        ({"format": "html"}, Code.BAD_COMMAND, "format"),
        ({"priority": "urgent"}, Code.BAD_COMMAND, "priority"),
        ({"reply_to": 0}, Code.BAD_COMMAND, "reply_to"),
        ({"expires_in_ms": -1}, Code.BAD_COMMAND, "expires_in_ms"),
        ({"data": {"a": "x" * 4096}}, Code.TOO_LARGE, "4096"),
        ({"data": {"a": 2**53}}, Code.BAD_COMMAND, "integer"),
        ({"data": {"a": "\x00"}}, Code.BAD_COMMAND, "U\\+0000"),
        ({"data": {"a": object()}}, Code.BAD_COMMAND, "object"),
        ({"data": []}, Code.BAD_COMMAND, "data"),
        ({"room": "nowhere"}, Code.NOT_FOUND, "no room 'nowhere'"),
    ],
)
def test_what_the_wire_does_not_take_is_not_sent(
    room: Room,
    ada: User,
    more: dict[str, Any],
    code: Code,
    says: str,
) -> None:
    given = {"room": room, "author": ada, "text": "hi", **more}

    with pytest.raises(NotSent, match=says) as refused:
        send_message(**given)

    assert refused.value.code == code
    assert not Event.objects.exists()


@committed
def test_data_may_nest_as_deep_as_on_the_wire(room: Room, ada: User) -> None:
    deep: dict[str, Any] = {}
    for _ in range(15):
        deep = {"a": deep}

    send_message(room, ada, "hi", data=deep)
    with pytest.raises(NotSent, match="deeper"):
        send_message(room, ada, "hi", data={"a": deep})


@committed
def test_everything_that_a_message_has_is_kept(room: Room, ada: User) -> None:
    send_message(
        room,
        ada,
        "hi",
        client_id="c",
        kind="x-order",
        format="markdown",
        data={"n": 1},
        reply_to=7,
        priority="high",
        expires_in_ms=5,
    )

    message = Message.objects.get()
    assert (message.client_id, message.digest is None) == ("c", False)
    assert message.details == {
        "kind": "x-order",
        "format": "markdown",
        "data": {"n": 1},
        "reply_to": 7,
        "priority": "high",
        "expires_in_ms": 5,
    }


@committed
def test_the_project_itself_speaks_as_the_system(room: Room) -> None:
    group = Room.objects.create(slug="group", kind=Room.Kind.GROUP)

    for target in (room, group):
        send_message(target, SYSTEM, "The order was shipped.", kind="system")

    for message in Message.objects.all():
        assert (message.author_key, message.details) == ("s:", {"kind": "system"})


@committed
@pytest.mark.parametrize("nobody", [None, AnonymousUser(), User(username="x"), "ada"])
def test_nobody_in_particular_is_a_mistake(room: Room, nobody: Any) -> None:
    with pytest.raises(TypeError, match="pass a saved user"):
        send_message(room, nobody, "hi")


@committed
@committed
@pytest.mark.parametrize("let_go", [actions.unmute, actions.unban])
def test_whoever_is_not_held_is_not_let_go(
    room: Room, ada: User, let_go: Callable[..., actions.Sent]
) -> None:
    first = send_message(room, ada, "hi")

    assert let_go(room, ada) == first
    assert Event.objects.count() == 1
    assert not Member.objects.exists()


def test_a_banned_author_is_not_sent(room: Room, ada: User) -> None:
    actions.ban(room, ada)

    with pytest.raises(NotSent) as refused:
        send_message(room, ada, "hi")

    assert refused.value.code == Code.BANNED


@committed
def test_only_moderators_delete_what_is_not_theirs(
    room: Room,
    ada: User,
    grace: User,
) -> None:
    send_message(room, ada, "hi")
    acts: list[Callable[[], actions.Sent]] = [
        lambda: actions.delete_message(room, 1, by=grace),
        lambda: actions.edit_message(room, 1, "ho", by=grace),
    ]
    for act in acts:
        with pytest.raises(NotSent) as refused:
            act()
        assert refused.value.code == Code.FORBIDDEN
    with pytest.raises(NotSent) as missing:
        actions.delete_message(room, 9, by=ada)
    assert missing.value.code == Code.NOT_FOUND

    actions.add_member(room, grace, role="moderator")

    assert actions.delete_message(room.slug, 1, by=grace).seq == 3


@committed
def test_a_role_that_is_none_is_a_mistake(room: Room, ada: User) -> None:
    with pytest.raises(ValueError, match="king"):
        actions.add_member(room, ada, role="king")
    with pytest.raises(ValueError, match="king"):
        actions.set_role(room, ada, "king")


# --- open connections -------------------------------------------------------------


@committed
@pytest.mark.usefixtures("guests", "room")
async def test_open_connections_are_told_after_the_commit(
    talk: Talkers,
    ada: User,
) -> None:
    talker, plain = await talk(), await talk.plain()
    inside, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def write() -> None:
        with transaction.atomic():
            send_message("general", ada, "from the project")
            loop.call_soon_threadsafe(inside.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)

    writing = asyncio.create_task(in_thread(write))
    await inside.wait()
    assert await talker.all() == []
    go_on.set()
    await writing

    assert (await talker.push("message"))["text"] == "from the project"
    assert (await plain.hear())["message"] == "from the project"


@committed
@pytest.mark.usefixtures("guests", "room")
async def test_open_connections_never_hear_of_what_was_rolled_back(
    talk: Talkers,
    ada: User,
) -> None:
    talker = await talk()

    def change_of_mind() -> None:
        with transaction.atomic():
            send_message("general", ada, "no")
            transaction.set_rollback(True)

    await in_thread(change_of_mind)
    await talker.ask("send", room="general", text="yes")

    heard = await talker.until("general", 1)
    assert [said["text"] for said in heard] == ["yes"]


@committed
@pytest.mark.usefixtures("guests", "room")
async def test_project_code_and_connections_write_into_one_log(
    talk: Talkers,
    ada: User,
) -> None:
    talker, other = await talk(), await talk()

    def write() -> None:
        for n in range(20):
            send_message("general", ada, f"p{n}")

    writing = asyncio.create_task(in_thread(write))
    for n in range(60):
        await talker.ask("send", room="general", text=f"w{n}")
    await writing

    for each in (talker, other):
        assert seqs(await each.until("general", 80)) == list(range(1, 81))


@committed
def test_a_write_of_another_database_is_not_waited_for(room: Room) -> None:
    """`on_commit` belongs to the connection that the log is on."""
    with transaction.atomic():
        send_message(room, new_guest("Gus"), "hi")
        assert len(connection.run_on_commit) == 1
