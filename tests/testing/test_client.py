"""`ChatClient` in the tests of a project: in each kind of Django's test cases."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any, cast
from unittest.mock import patch

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, User
from django.core.asgi import get_asgi_application
from django.db import connection, transaction
from django.test import TestCase, TransactionTestCase, override_settings
from django.urls import path

import headgate
from headgate.asgi import with_chat
from headgate.chat import actions, hooks
from headgate.chat.access import access_changed
from headgate.chat.consumer import ChatConsumer
from headgate.chat.engine import close_engine, engine, started_engine
from headgate.chat.models import Message, Room
from headgate.chat.people import SYSTEM
from headgate.chat.permissions import Allow, Deny, Permissions
from headgate.chat.profiles import Profile
from headgate.protocol.codes import Code
from headgate.routing import websocket_urlpatterns
from headgate.testing import ChatClient, Closed, Refused
from headgate.testing.inline_engine import InlineEngine

pytestmark = pytest.mark.database

APPLICATION = "tests.testing.test_client.application"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """What a project has in its asgi.py."""
    await with_chat(get_asgi_application())(scope, receive, send)


async def say(room: str, text: str) -> None:
    """Write as project code does, in whatever transaction is open."""
    await sync_to_async(headgate.send_message)(room, SYSTEM, text)


class Scenes:
    """What must work in a `TestCase` as in a `TransactionTestCase`."""

    ada: User
    grace: User

    def setUp(self) -> None:
        users = get_user_model().objects
        self.ada = users.create_user("ada", first_name="Ada")
        self.grace = users.create_user("grace", first_name="Grace")
        Room.objects.create(slug="general")
        team = Room.objects.create(slug="team", kind=Room.Kind.GROUP)
        actions.add_member(team, self.ada)

    async def test_two_people_write_and_see_each_other(self) -> None:
        async with (
            ChatClient(self.ada, "general") as ada,
            ChatClient(self.grace, "general") as grace,
        ):
            assert ada.welcome["user"]["name"] == "Ada"
            sent = await ada.send("general", "hi", client_id="c1")
            assert sent["seq"] == 1
            push = await grace.push("message", room="general")
            assert (push["text"], push["author"]["name"]) == ("hi", "Ada")
            again = await ada.send("general", "hi", client_id="c1")
            assert again["seq"] == 1
            await grace.send("general", "hello")
            seen = [push["text"] for push in await ada.pushes()]
            assert seen == ["hi", "hello"]
            assert await ada.pushes() == []
        found = await sync_to_async(list)(Message.objects.values_list("text"))
        assert len(found) == 2

    async def test_what_project_code_writes_is_seen(self) -> None:
        async with ChatClient(self.grace, "general") as grace:
            await say("general", "from a view")
            assert (await grace.push("message"))["text"] == "from a view"
            sent = await headgate.asend_message("general", self.ada, "from a task")
            assert sent.seq == 2
            assert (await grace.push("message", seq=2))["text"] == "from a task"
            await say("general", "one more")
            assert [push["seq"] for push in await grace.pushes()] == [3]

    async def test_who_may_not_come_in_is_refused(self) -> None:
        async with ChatClient(self.grace) as grace:
            for room in ("team", "nowhere"):
                with pytest.raises(Refused) as refused:
                    await grace.join(room)
                assert refused.value.code == "not_found"
            with pytest.raises(Refused) as refused:
                await grace.send("general", "  ")
            assert refused.value.code == "bad_command"
            assert refused.value.error["field"] == "text"
        with pytest.raises(Refused):
            async with ChatClient(self.grace, "team"):
                pass
        assert started_engine() is None

    async def test_a_removal_cuts_at_once(self) -> None:
        async with ChatClient(self.ada, "team", "general") as ada:
            await sync_to_async(actions.remove_member)("team", self.ada)
            await say("team", "without her")
            push = await ada.push("rooms")
            assert push["left"] == ["team"]
            texts = [push.get("text") for push in await ada.pushes()]
            assert "without her" not in texts

    async def test_a_rule_that_changed_is_asked_again(self) -> None:
        rules = {"PERMISSIONS": f"{__name__}.Rules"}
        with override_settings(HEADGATE=rules):
            async with ChatClient(self.ada, "general") as ada:
                Rules.closed = True
                try:
                    await sync_to_async(access_changed)(self.ada)
                    assert (await ada.push("rooms"))["left"] == ["general"]
                finally:
                    Rules.closed = False

    async def test_the_projects_functions_are_called(self) -> None:
        ours = {"PROFILES": f"{__name__}.profiles", "BEFORE_SEND": f"{__name__}.shout"}
        with override_settings(HEADGATE=ours):
            async with ChatClient(self.ada, "general") as ada:
                assert ada.welcome["user"]["name"] == "Ada the first"
                await ada.send("general", "hi")
                push = await ada.push("message")
        assert (push["text"], push["author"]["name"]) == ("HI", "Ada the first")

    async def test_handlers_are_told_of_what_a_client_sends(self) -> None:
        told: asyncio.Queue[Any] = asyncio.Queue()
        with patch.dict(hooks._handlers, clear=True):

            @headgate.on("message", rooms="general")
            async def keep(event: Any) -> None:
                told.put_nowait((event.text, await Message.objects.acount()))

            async with ChatClient(self.ada, "general") as ada:
                await ada.send("general", "hi")
                async with asyncio.timeout(30):
                    assert await told.get() == ("hi", 1)

    async def test_guests_have_a_name(self) -> None:
        with override_settings(HEADGATE={"GUESTS": True}):
            async with ChatClient("Bob", "general") as bob:
                assert bob.welcome["user"]["kind"] == "guest"
                await bob.send("general", "hi")
                assert (await bob.push("message"))["author"]["name"] == "Bob"
        with pytest.raises(Closed) as closed:
            await ChatClient("Bob")
        assert closed.value.code == 4501
        assert closed.value.said is not None
        assert closed.value.said["code"] == "unauthenticated"

    async def test_it_comes_in_by_the_projects_application(self) -> None:
        with override_settings(ASGI_APPLICATION=APPLICATION):
            async with ChatClient(self.ada, "general", "team") as ada:
                await ada.send("team", "hi")
                assert (await ada.push("message"))["author"]["name"] == "Ada"
            # And the test goes on with the connection that it had.
            assert await Message.objects.acount() == 1

    async def test_an_own_router_under_another_path(self) -> None:
        routes = URLRouter([path("live/", URLRouter(websocket_urlpatterns))])
        mounted = ProtocolTypeRouter({"websocket": AuthMiddlewareStack(routes)})
        async with ChatClient(
            self.ada, "team", application=mounted, path="/live/ws/chat/"
        ) as ada:
            assert (await ada.send("team", "hi"))["seq"] == 2

    async def test_the_projects_own_code_may_use_channels_database_helper(
        self,
    ) -> None:
        async with ChatClient(self.ada, "general"):
            assert await database_sync_to_async(Room.objects.count)() == 2
        assert await Room.objects.acount() == 2

    def test_in_a_test_that_is_not_async(self) -> None:
        async def scene() -> str:
            async with ChatClient(self.ada, "general") as ada:
                await ada.send("general", "hi")
                return str((await ada.push("message"))["text"])

        assert async_to_sync(scene)() == "hi"
        assert Message.objects.count() == 1


def profiles(ids: Any) -> dict[Any, Profile]:
    """Show people by what the test's transaction says of them."""
    users = get_user_model().objects.filter(pk__in=ids)
    return {user.pk: Profile(f"{user.first_name} the first") for user in users}


async def shout(draft: Any) -> Any:
    """Write all in capitals."""
    return replace(draft, text=draft.text.upper())


class Rules(Permissions):
    """Closed to everybody when a test says so."""

    closed = False

    def can(self, *_args: Any, **_more: Any) -> Allow | Deny:
        return Deny(Code.NOT_FOUND) if self.closed else Allow()


class InTestCase(Scenes, TestCase):
    """Nothing is ever committed here."""

    async def test_nothing_is_left_open_or_closed(self) -> None:
        def in_transaction() -> bool:
            return bool(connection.in_atomic_block)

        assert await sync_to_async(in_transaction)()
        async with ChatClient(self.ada, "general") as ada:
            await ada.send("general", "hi")
        assert await sync_to_async(in_transaction)()
        assert await Message.objects.acount() == 1

    async def test_what_was_rolled_back_is_not_seen(self) -> None:
        def roll_back() -> None:
            with transaction.atomic():
                headgate.send_message("general", SYSTEM, "never")
                transaction.set_rollback(True)

        async with ChatClient(self.ada, "general") as ada:
            await sync_to_async(roll_back)()
            await say("general", "ever")
            texts = [push["text"] for push in await ada.pushes()]
        assert texts == ["ever"]

    def test_send_message_needs_nothing_else(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            assert headgate.send_message("general", self.ada, "hi").seq == 1
        assert Message.objects.get().text == "hi"

    def test_handlers_are_told_where_commits_are_captured(self) -> None:
        told: list[Any] = []
        with patch.dict(hooks._handlers, clear=True):
            headgate.on("message")(told.append)
            headgate.send_message("general", SYSTEM, "not told")
            with self.captureOnCommitCallbacks(execute=True):
                headgate.send_message("general", SYSTEM, "told")
        assert [event.text for event in told] == ["told"]

    async def test_asend_message_writes_in_the_tests_transaction(self) -> None:
        sent = await headgate.asend_message("general", self.ada, "hi")
        assert sent.seq == 1
        assert await Message.objects.acount() == 1
        with pytest.raises(headgate.NotSent):
            await headgate.asend_message("nowhere", self.ada, "hi")
        assert await Message.objects.acount() == 1


class InTransactionTestCase(Scenes, TransactionTestCase):
    """Everything is committed here."""


# --- without a database case of Django's ---


@pytest.fixture
def somebody(transactional_db: None) -> User:
    Room.objects.create(slug="general")
    return get_user_model().objects.create_user("ada", first_name="Ada")


async def test_nothing_stays_when_the_last_one_is_closed(somebody: User) -> None:
    before = threading.active_count()
    async with ChatClient(somebody, "general"):
        running = started_engine()
        assert isinstance(running, InlineEngine)
        async with ChatClient(somebody, "general"):
            assert running.clients == 2
        assert started_engine() is running
    assert started_engine() is None
    # At most the one that Django keeps for its connections.
    assert threading.active_count() <= before + 1
    assert [task for task in asyncio.all_tasks() if not task.done()] == [
        asyncio.current_task()
    ]


async def test_one_that_failed_to_open_leaves_nothing(somebody: User) -> None:
    for wrong in (
        ChatClient(somebody, "nowhere"),
        ChatClient("Bob"),
        ChatClient(somebody, headers={"origin": "https://evil.example"}),
    ):
        with pytest.raises((Refused, Closed)):
            await wrong
    assert started_engine() is None


async def test_a_refused_handshake_is_told(somebody: User) -> None:
    with pytest.raises(Closed, match="the handshake was refused") as closed:
        await ChatClient(somebody, headers={"origin": "https://evil.example"})
    assert closed.value.code is None


async def test_the_servers_close_is_told(somebody: User) -> None:
    async with ChatClient(somebody, "general") as ada:
        for _ in range(10):
            with pytest.raises(Refused, match="unknown_command"):
                await ada.command("fly")
        closed = await ada.closed()
        assert closed.code == 4500
        assert closed.said is not None
        assert closed.said["text"] == "10 commands were not well formed."
        with pytest.raises(Closed):
            await ada.command("ping")


async def test_what_does_not_come_is_named(somebody: User) -> None:
    async with ChatClient(somebody, "general", timeout_seconds=2) as ada:
        await ada.send("general", "hi")
        with pytest.raises(TimeoutError, match="a push message text='ho'") as told:
            await ada.push("message", text="ho")
        assert "'text': 'hi'" in str(told.value)
        # What was not asked for is still there.
        assert (await ada.push("message"))["text"] == "hi"


async def test_a_call_may_wait_longer_than_its_client(somebody: User) -> None:
    async with ChatClient(somebody, "general", timeout_seconds=2) as ada:

        async def write_later() -> None:
            await asyncio.sleep(2.5)
            await say("general", "late")

        writing = asyncio.create_task(write_later())
        push = await ada.push("message", text="late", timeout_seconds=30)
        assert push["text"] == "late"
        await writing
        assert (await ada.command("ping", timeout_seconds=30))["reply"]
        sent = await ada.send("general", "hi", timeout_seconds=30)
        assert sent["seq"] == 2
        await ada.join("general", after=0, timeout_seconds=30)


class Deaf(ChatConsumer):
    """Does not hear a ping."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def heard() -> Any:
            while "ping" in (message := await receive()).get("text", ""):
                pass
            return message

        await super().__call__(scope, heard, send)


async def test_a_call_may_wait_less_long_than_its_client(somebody: User) -> None:
    deaf = cast("Any", Deaf())
    serving = AuthMiddlewareStack(URLRouter([path("ws/chat/", deaf)]))
    async with ChatClient(somebody, "general", application=serving) as ada:
        for waiting in (
            ada.push("message", room="general", timeout_seconds=0.1),
            ada.command("ping", timeout_seconds=0.1),
        ):
            with pytest.raises(TimeoutError, match=r"did not come in 0\.1 s") as told:
                await waiting
            assert "timeout_seconds" not in str(told.value)


class Faulty(ChatConsumer):
    """Breaks as a project's subclass may."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def broken() -> Any:
            message = await receive()
            if "ping" in message.get("text", ""):
                raise ZeroDivisionError("in the project's own code")
            return message

        await super().__call__(scope, broken, send)


async def test_what_the_application_raises_is_raised(somebody: User) -> None:
    async def serving(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ZeroDivisionError("in the project's own code")

    with pytest.raises(ZeroDivisionError, match="own code"):
        await ChatClient(somebody, application=serving)
    assert started_engine() is None


async def test_a_fault_behind_the_handshake_closes_with_1011(
    somebody: User,
) -> None:
    faulty = cast("Any", Faulty())
    serving = AuthMiddlewareStack(URLRouter([path("ws/chat/", faulty)]))
    async with ChatClient(somebody, "general", application=serving) as ada:
        with pytest.raises(Closed) as closed:
            await ada.command("ping")
        assert closed.value.code == 1011


async def test_a_client_that_is_not_open_says_so(somebody: User) -> None:
    client = ChatClient(somebody, "general")
    with pytest.raises(RuntimeError, match="not open"):
        await client.send("general", "hi")
    async with client:
        pass
    with pytest.raises(RuntimeError, match="not open"):
        await client.send("general", "hi")
    await client.close()  # again is nothing


async def test_a_servers_chat_in_the_same_loop_is_told(somebody: User) -> None:
    engine()
    try:
        with pytest.raises(RuntimeError, match="Open the first client before"):
            await ChatClient(somebody)
    finally:
        await close_engine()


@pytest.mark.parametrize("who", [None, AnonymousUser(), User(username="ada"), 7])
def test_nobody_is_told(who: Any) -> None:
    with pytest.raises(TypeError, match="pass a saved user, or a guest's name"):
        ChatClient(who)


def test_names_are_there() -> None:
    import headgate.testing as package

    assert package.ChatClient is ChatClient
    with pytest.raises(AttributeError, match="has no attribute 'Client'"):
        _ = package.Client
