"""What somebody is told of their own rights: when they come, and when they change."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from pytest_django import Settings

import headgate
from headgate.chat import actions
from headgate.chat.models import Room
from headgate.chat.people import Actor
from headgate.chat.permissions import Allow, Deny, Permissions
from tests.chat.http.browsers import Browsers, browse_fixture  # noqa: F401
from tests.chat.http.stream_reader import Readers, stream_fixture  # noqa: F401
from tests.chat.talker import Talkers, in_thread, talk_fixture  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

TOLD = ("moderates", "read_only")


class ReadersOnly(Permissions):
    """Rules by which only those write whose first name is in the room's title."""

    def can(
        self, actor: Actor, operation: str, room: Room, message: Any = None
    ) -> Allow | Deny:
        if operation == "send" and (
            actor.user is None or actor.user.first_name not in room.title
        ):
            return Deny(text="This room is to be read.")
        return super().can(actor, operation, room, message)


@pytest.fixture(autouse=True)
def _guests(settings: Settings) -> None:
    settings.HEADGATE = {"GUESTS": True}


@pytest.fixture
def readers_only(settings: Settings) -> None:
    """Let only those write whose name stands on the room."""
    settings.HEADGATE = {
        "GUESTS": True,
        "PERMISSIONS": f"{__name__}.{ReadersOnly.__name__}",
    }


def told(said: dict[str, Any]) -> dict[str, Any]:
    """Return what something says of one's rights; what is false is left out."""
    found = {name: said[name] for name in TOLD if name in said}
    assert set(found.values()) <= {True}
    return found


async def let_delete(user: User) -> None:
    """Give somebody Django's permission that moderates all rooms."""
    right = await in_thread(
        Permission.objects.get,
        content_type__app_label="headgate_chat",
        codename="delete_message",
    )
    await in_thread(user.user_permissions.add, right)


@pytest.mark.parametrize(
    ("who", "moderates"),
    [
        ("guest", False),
        ("user", False),
        ("member", False),
        ("moderator", True),
        ("owner", True),
        ("staff", True),
    ],
)
async def test_who_moderates_is_told_so(
    talk: Talkers,
    browse: Browsers,
    room: Room,
    ada: User,
    who: str,
    moderates: bool,  # noqa: FBT001 - a case
) -> None:
    if who == "staff":
        await let_delete(ada)
    elif who not in {"guest", "user"}:
        await in_thread(actions.add_member, room, ada, role=who)
    user = None if who == "guest" else ada
    talker, browser = await talk(user), await browse(user)
    joined = await talker.ask("join", room="general")
    shown = await browser.get("/api/v1/rooms/general")

    wanted = {"moderates": True} if moderates else {}
    assert told(talker.welcome["rooms"]["general"]) == wanted
    assert told(joined) == wanted
    assert told(shown.json()) == wanted


async def test_who_may_only_read_is_told_so(
    talk: Talkers,
    browse: Browsers,
    stream: Readers,
    room: Room,
    ada: User,
    readers_only: None,
) -> None:
    talker, browser = await talk(ada), await browse(ada)
    joined = await talker.ask("join", room="general")
    shown = await browser.get("/api/v1/rooms/general")
    reader = await stream("general", ada)

    assert await talker.refusal("send", room="general", text="hi") == "forbidden"
    for said in (
        talker.welcome["rooms"]["general"],
        joined,
        shown.json(),
        reader.heard[0].said["rooms"]["general"],
    ):
        assert told(said) == {"read_only": True}


async def test_a_mute_is_not_to_be_read_only(
    talk: Talkers, room: Room, ada: User
) -> None:
    """It ends by itself, and what is sent tells when."""
    until = timezone.now() + timezone.timedelta(hours=1)
    await in_thread(actions.mute, room, ada, until)
    talker = await talk(ada)

    assert told(talker.welcome["rooms"]["general"]) == {}


async def test_whoever_becomes_a_moderator_is_told(
    talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    """Without slow mode, too; and nobody else is told."""
    await in_thread(actions.add_member, room, ada)
    talker, other = await talk(ada), await talk(grace)
    await in_thread(actions.set_role, room, ada, "moderator")
    given = await talker.push("room")
    await in_thread(actions.set_role, room, ada, "owner")
    await in_thread(actions.set_role, room, ada, "member")
    lost = await talker.push("room")

    assert given == {
        "push": "room",
        "room": "general",
        "slow_mode_ms": 0,
        "moderates": True,
    }
    assert lost == {"push": "room", "room": "general", "slow_mode_ms": 0}
    pushes = [*await other.until("general", 4), *await other.all()]
    assert [each["push"] for each in pushes] == ["membership"] * 3


async def test_in_slow_mode_all_of_it_is_told(
    talk: Talkers, room: Room, ada: User
) -> None:
    await in_thread(actions.add_member, room, ada)
    await in_thread(actions.set_slow_mode, room, 30)
    talker = await talk(ada)
    await in_thread(actions.set_role, room, ada, "moderator")
    given = await talker.push("room")
    await in_thread(actions.set_slow_mode, room, 0)
    over = await talker.push("room")
    await in_thread(actions.set_slow_mode, room, 5)
    again = await talker.push("room")

    both = {"exempt": True, "moderates": True}
    said = {"push": "room", "room": "general"}
    assert given == {**said, "slow_mode_ms": 30_000, **both}
    assert over == {**said, "slow_mode_ms": 0, "moderates": True}
    assert again == {**said, "slow_mode_ms": 5000, **both}


async def test_rights_that_the_project_changes_are_told(
    talk: Talkers, stream: Readers, room: Room, ada: User, readers_only: None
) -> None:
    talker, reader = await talk(ada), await stream("general", ada)

    def name_her() -> None:
        Room.objects.filter(pk=room.pk).update(title="Of Ada")
        headgate.access_changed(ada, room)

    await in_thread(name_her)
    may_write = await talker.push("room")
    assert told(may_write) == {}
    assert (await reader.named("room")).said == may_write
    assert "seq" in await talker.ask("send", room="general", text="hi")

    await let_delete(ada)
    await in_thread(headgate.access_changed, ada)
    moderates = await talker.push("room")
    assert told(moderates) == {"moderates": True}
    assert (await reader.named("room")).said == moderates


async def test_a_room_is_told_once_for_one_change(
    talk: Talkers, room: Room, ada: User
) -> None:
    """What is the same for somebody is not told again."""
    talker = await talk(ada)
    await in_thread(actions.set_room_limits, room, {"send": "5/s"})
    await in_thread(actions.add_member, room, ada)
    await in_thread(actions.set_slow_mode, room, 30)

    assert (await talker.push("room"))["slow_mode_ms"] == 30_000
    assert "room" not in [each["push"] for each in await talker.all()]
