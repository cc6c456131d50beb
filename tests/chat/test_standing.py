"""Open connections of people whose standing changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from headgate.chat import actions, entrance
from headgate.chat.engine import Engine
from headgate.chat.models import Member, Message, Room
from headgate.chat.people import SYSTEM, Actor
from headgate.chat.permissions import Allow, Deny, Permissions
from headgate.protocol.codes import Close
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Said,
    Talker,
    Talkers,
    guests_fixture,
    in_thread,
    seqs,
    talk_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests"),
]

Act = Callable[..., Any]


@pytest.fixture
def group(ada: User, grace: User) -> Room:
    """A group of two; its head is 2."""
    made = Room.objects.create(slug="group", kind=Room.Kind.GROUP)
    actions.add_member(made, ada)
    actions.add_member(made, grace)
    return made


def said_of(frames: list[Said]) -> list[tuple[str, Any]]:
    """Return what was pushed, in short."""
    return [(said["push"], said.get("seq") or said.get("left")) for said in frames]


@pytest.mark.parametrize("end", [actions.remove_member, actions.ban])
async def test_who_is_cut_gets_that_and_nothing_after(
    talk: Talkers,
    group: Room,
    ada: User,
    grace: User,
    end: Act,
) -> None:
    cut, stays = await talk(ada, room="group"), await talk(grace, room="group")
    plain = await talk.plain(ada, room="group")
    await stays.ask("send", room="group", text="before")

    await in_thread(end, group, ada, by=grace)
    await stays.until("group", 4)
    await stays.ask("send", room="group", text="after")
    await stays.ask("edit", room="group", target=3, text="changed")
    await stays.ask("typing", room="group", typing=True)
    await stays.until("group", 6)

    heard = await cut.all()
    assert said_of(heard) == [("message", 3), ("membership", 4), ("rooms", ["group"])]
    change = "removed" if end is actions.remove_member else "banned"
    assert (heard[1]["change"], heard[1]["member"]["id"]) == (change, f"u:{ada.pk}")
    assert heard[1]["author"]["id"] == f"u:{grace.pk}"
    assert (await plain.hear())["message"] == "before"
    code = "not_found" if end is actions.remove_member else "banned"
    assert (await plain.hear())["error"] == code
    assert (await plain.closed()).code == Close.ACCESS_REVOKED


@pytest.mark.parametrize(
    ("end", "code"),
    [(actions.remove_member, "not_found"), (actions.ban, "banned")],
)
async def test_who_was_cut_may_do_nothing_there(
    talk: Talkers,
    group: Room,
    ada: User,
    end: Act,
    code: str,
) -> None:
    talker = await talk(ada, room="group")
    await talker.ask("send", room="group", text="mine")
    await in_thread(end, group, ada)
    await talker.push("rooms")

    commands: list[tuple[str, dict[str, Any], str]] = [
        ("join", {}, code),
        ("join", {"after": 0}, code),
        ("send", {"text": "a"}, code),
        ("edit", {"target": 3, "text": "a"}, code),
        ("delete", {"target": 3}, code),
        ("history", {}, code),
        ("history", {"of": "events"}, code),
        ("typing", {"typing": True}, "not_joined"),
        ("read", {"seq": 1}, "not_joined"),
    ]
    for cmd, more, refused in commands:
        assert await talker.refusal(cmd, room="group", **more) == refused, cmd
    again = await talk(ada, room=None, resume={"group": 0})
    assert again.welcome["rooms"]["group"]["error"]["code"] == code


async def test_what_came_before_in_the_same_run_is_still_theirs(
    talk: Talkers,
    group: Room,
    ada: User,
    grace: User,
) -> None:
    """A message, the removal and another message, committed and told as one."""
    cut, stays = await talk(ada, room="group"), await talk(grace, room="group")
    plain = await talk.plain(ada, room="group")

    def at_once() -> None:
        with transaction.atomic():
            actions.send_message(group, grace, "before")
            actions.remove_member(group, ada)
            actions.send_message(group, grace, "after")

    await in_thread(at_once)
    await stays.until("group", 5)

    heard = await cut.all()
    assert said_of(heard) == [("message", 3), ("membership", 4), ("rooms", ["group"])]
    assert (await plain.hear())["message"] == "before"
    assert (await plain.hear())["error"] == "not_found"
    assert (await plain.closed()).code == Close.ACCESS_REVOKED


async def test_who_is_behind_is_cut_as_well(
    talk: Talkers,
    chat: Engine,
    group: Room,
    ada: User,
    grace: User,
) -> None:
    cut, stays = await talk(ada, room="group"), await talk(grace, room="group")
    (connection,) = [c for c in chat.node.connections if c.owner.user.pk == ada.pk]
    cut.reads.clear()
    for _ in range(40):
        await stays.ask("send", room="group", text="x" * 8_000)
    await stays.until("group", 42)
    (watch,) = connection.watches.values()
    assert not watch.live

    await in_thread(actions.remove_member, group, ada)
    await stays.until("group", 43)
    cut.reads.set()

    heard = await cut.all()
    assert said_of(heard)[-2:] == [("membership", 43), ("rooms", ["group"])]
    got = seqs(heard)
    assert got == list(range(3, 3 + len(got)))
    assert len(got) < 40
    assert not connection.behind


async def test_who_is_added_again_sees_from_there(
    talk: Talkers,
    group: Room,
    ada: User,
    grace: User,
) -> None:
    talker, stays = await talk(ada, room="group"), await talk(grace, room="group")
    await in_thread(actions.remove_member, group, ada)
    await talker.push("rooms")
    await stays.ask("send", room="group", text="between")
    await in_thread(actions.add_member, group, ada)
    await stays.ask("send", room="group", text="after")

    await stays.until("group", 6)

    joined = await talker.ask("join", room="group", after=0)
    page = await talker.ask("history", room="group")

    assert (joined["head"], joined["unread"]) == (6, 1)
    assert [message["text"] for message in page["messages"]] == ["after"]
    heard = await talker.until("group", 6)
    assert [said["seq"] for said in heard if said.get("room") == "group"][-2:] == [5, 6]
    assert "between" not in str(heard)


async def test_nobody_slips_in_while_being_removed(
    talk: Talkers,
    chat: Engine,
    group: Room,
    ada: User,
    grace: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Let in by the database; removed, and that told, before the watch began."""
    stays = await talk(grace, room="group")
    late = await talk(ada, room=None)
    real = entrance._look_in

    def look_in(*asked: Any, **more: Any) -> Any:
        found = real(*asked, **more)
        actions.remove_member(group, ada)
        until = time.monotonic() + 5
        while chat.node.hub.rooms[group.pk].head < 3 and time.monotonic() < until:
            time.sleep(0.001)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(entrance, "_look_in", look_in)
        assert await late.refusal("join", room="group") == "not_found"
    await stays.ask("send", room="group", text="secret")
    await stays.until("group", 4)

    assert seqs(await late.all()) == []


async def test_a_look_that_was_asked_for_ahead_is_no_better(
    talk: Talkers,
    chat: Engine,
    room: Room,
    group: Room,
    ada: User,
    grace: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same with several rooms in a hello, which are looked into together."""
    await talk(grace, room="group")
    real, removed = entrance._look_in, []

    def look_in(question: Any, lookups: Any) -> Any:
        found = real(question, lookups)
        if question.slug == "group" and not removed:
            removed.append(actions.remove_member(group, ada))
            until = time.monotonic() + 5
            while chat.node.hub.rooms[group.pk].head < 3 and time.monotonic() < until:
                time.sleep(0.001)
        return found

    monkeypatch.setattr(entrance, "_look_in", look_in)
    late = await talk(ada, room=None, resume={"general": 0, "group": 0})

    rooms = late.welcome["rooms"]
    assert removed
    assert rooms["group"]["error"]["code"] == "not_found"
    assert rooms["general"]["head"] == 0


async def test_a_ban_keeps_out_of_a_public_room(
    talk: Talkers,
    room: Room,
    ada: User,
) -> None:
    talker, other = await talk(ada), await talk()
    await talker.ask("send", room="general", text="a")
    await in_thread(actions.ban, room, ada)
    await talker.push("rooms")
    await other.ask("send", room="general", text="b")

    assert await talker.refusal("send", room="general", text="c") == "banned"
    assert await talker.refusal("join", room="general") == "banned"
    await in_thread(actions.unban, room, ada)
    assert "error" not in await talker.ask("join", room="general")
    assert (await talker.ask("send", room="general", text="d"))["seq"] == 5


async def test_one_persons_end_is_nobody_elses(
    talk: Talkers,
    room: Room,
    ada: User,
    grace: User,
) -> None:
    talker, guest = await talk(grace), await talk()

    await in_thread(actions.ban, room, ada)
    await in_thread(actions.ban, room, Actor("g:none", "None"))
    await guest.ask("send", room="general", text="a")

    for other in (talker, guest):
        assert said_of(await other.until("general", 3)) == [
            ("membership", 1),
            ("membership", 2),
            ("message", 3),
        ]


# --- mutes ------------------------------------------------------------------------


async def test_a_mute_stops_writing_and_not_reading(
    talk: Talkers,
    room: Room,
    ada: User,
) -> None:
    talker, other = await talk(ada), await talk()
    await talker.ask("send", room="general", text="a")
    later = timezone.now() + timedelta(seconds=90)
    await in_thread(actions.mute, room, ada, later)

    reply = await talker.ask("send", room="general", text="b", client_id="c")
    assert reply["error"]["code"] == "muted"
    assert reply["error"]["client_id"] == "c"
    assert 80_000 < reply["error"]["retry_after_ms"] <= 90_001
    edit = {"room": "general", "target": 1, "text": "b"}
    assert await talker.refusal("edit", **edit) == "muted"
    await other.ask("send", room="general", text="c")
    assert said_of(await talker.until("general", 3)) == [
        ("message", 1),
        ("membership", 2),
        ("message", 3),
    ]
    await in_thread(actions.unmute, room, ada)
    assert (await talker.ask("send", room="general", text="b"))["seq"] == 5


async def test_waiting_out_a_mute_is_enough(
    talk: Talkers,
    room: Room,
    ada: User,
) -> None:
    talker = await talk(ada)
    later = timezone.now() + timedelta(seconds=0.2)
    await in_thread(actions.mute, room, ada, later)
    reply = await talker.ask("send", room="general", text="b")

    await asyncio.sleep(reply["error"]["retry_after_ms"] / 1000)

    assert "error" not in await talker.ask("send", room="general", text="b")


# --- rights -----------------------------------------------------------------------


class OnlyModeratorsWrite(Permissions):
    """A project's own rules."""

    def can(
        self,
        actor: Actor,
        operation: str,
        room: Room,
        message: Message | None = None,
    ) -> Allow | Deny:
        """Let moderators write."""
        member = self.member(actor, room)
        if operation == "send" and (member is None or member.role == "member"):
            return Deny(text="Only moderators write here.")
        return super().can(actor, operation, room, message)


@pytest.fixture
def announcements(settings: Settings, guests: None) -> None:
    """Only moderators write."""
    rules = f"{__name__}.{OnlyModeratorsWrite.__name__}"
    settings.HEADGATE = {"GUESTS": True, "PERMISSIONS": rules}


async def decided_again(chat: Engine, talker: Talker, seq: int) -> None:
    """Wait until what follows from an event was decided."""
    await talker.until("general", seq)
    await chat.standing._recheck.idle.wait()


@pytest.mark.usefixtures("announcements")
async def test_a_role_counts_at_once_on_open_connections(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
) -> None:
    await in_thread(actions.add_member, room, ada)
    talker, plain = await talk(ada), await talk.plain(ada)
    refused = await talker.ask("send", room="general", text="a")
    assert refused["error"] == {
        "code": "forbidden",
        "text": "Only moderators write here.",
    }

    await in_thread(actions.set_role, room, ada, Member.Role.MODERATOR)
    await decided_again(chat, talker, 2)
    assert (await talker.ask("send", room="general", text="a"))["seq"] == 3
    await plain.hear()
    await plain.say({"message": "b"})
    assert (await plain.hear())["seq"] == 4

    await in_thread(actions.set_role, room, ada, Member.Role.MEMBER)
    await decided_again(chat, talker, 5)
    assert await talker.refusal("send", room="general", text="a") == "forbidden"


async def test_system_is_never_refused(talk: Talkers, group: Room, ada: User) -> None:
    talker = await talk(ada, room="group")

    await in_thread(actions.send_message, group, SYSTEM, "from the project")

    assert (await talker.push("message"))["author"]["kind"] == "system"
