"""`headgate.v1` on the real application: coming in, and whatever is no command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.engine import Engine
from headgate.chat.models import Member, Room
from headgate.chat.people import SYSTEM
from headgate.chat.welcome import HEARTBEAT_MS
from headgate.protocol.fields import MAX_ROOMS
from tests.chat.scenes import group, write
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
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
    pytest.mark.usefixtures("guests", "room"),
]


# --- hello ------------------------------------------------------------------------


async def test_welcome_says_who_and_where(talk: Talkers, ada: User) -> None:
    await in_thread(write, 3)

    talker = await talk(ada)

    epoch = talker.welcome["rooms"]["general"].pop("epoch")
    assert len(epoch) == 8
    assert talker.welcome.pop("ticket")
    assert talker.welcome == {
        "push": "welcome",
        "user": {"id": f"u:{ada.pk}", "kind": "user", "name": "Ada Lovelace"},
        "rooms": {"general": {"head": 3, "title": "General", "read": 0, "unread": 3}},
        "limits": [],
        "heartbeat_ms": HEARTBEAT_MS,
        "max_message_bytes": 16384,
    }
    assert talker.accepted == {"type": "websocket.accept", "subprotocol": "headgate.v1"}


async def test_a_guest_is_welcomed_and_known_again(talk: Talkers) -> None:
    first = await talk(name="  Gus\u202e  the   guest ")
    again = await talk(guest=first.welcome["guest"])
    renamed = await talk(guest=first.welcome["guest"], name="Gina")
    other = await talk(guest=first.welcome["guest"] + "x")

    me = first.welcome["user"]
    assert (me["kind"], me["name"]) == ("guest", "Gus the guest")
    assert again.welcome["user"] == me
    assert renamed.welcome["user"] == {**me, "name": "Gina"}
    assert other.welcome["user"]["id"] != me["id"]


async def test_hello_twice_is_refused(talk: Talkers) -> None:
    talker = await talk()

    reply = await talker.ask("hello")

    assert (reply["error"]["code"], reply["error"]["field"]) == ("bad_command", "cmd")
    assert await talker.ask("ping")


async def test_a_command_before_hello_is_answered_and_hello_still_counts(
    talk: Talkers,
) -> None:
    talker = await talk.raw()
    assert await talker.refusal("ping") == "hello_expected"
    await talker.say("no JSON")
    assert (await talker.reply(None))["error"]["code"] == "bad_command"

    await talker.say({"cmd": "hello"})

    assert (await talker.push("welcome"))["rooms"]["general"]["head"] == 0


async def test_hello_without_a_room_in_the_url_joins_those_to_resume(
    talk: Talkers,
) -> None:
    await in_thread(Room.objects.create, slug="other")
    await in_thread(write, 3)

    talker = await talk(room=None, resume={"general": 1, "other": 0, "nowhere": 5})

    rooms = talker.welcome["rooms"]
    assert rooms["general"]["head"] == 3
    assert rooms["other"]["head"] == 0
    assert rooms["nowhere"]["error"]["code"] == "not_found"
    assert seqs(await talker.until("general", 3)) == [2, 3]


async def test_what_was_pending_is_said_to_have_landed(talk: Talkers) -> None:
    await in_thread(Room.objects.create, slug="other")
    first = await talk()
    guest = first.welcome["guest"]
    await first.ask("send", room="general", text="a", client_id="c-1")
    await first.ask("send", room="general", text="b", client_id="c-2")
    await first.ask("send", room="other", text="c", client_id="c-3")
    mine = {"general": ["c-2", "c-3", "c-9"], "other": ["c-3"]}

    again = await talk(guest=guest, resume={"other": 1}, pending=mine)
    stranger = await talk(pending=mine)

    assert again.welcome["rooms"]["general"]["landed"] == {"c-2": 2}
    assert again.welcome["rooms"]["other"]["landed"] == {"c-3": 1}
    assert "landed" not in stranger.welcome["rooms"]["general"]


# --- resume -----------------------------------------------------------------------


async def test_resume_brings_what_was_missed_and_goes_on_live(talk: Talkers) -> None:
    await in_thread(write, 5)
    talker = await talk(resume={"general": 2})

    assert seqs(await talker.until("general", 5)) == [3, 4, 5]
    await talker.ask("send", room="general", text="on")
    assert (await talker.push("message"))["seq"] == 6


@pytest.mark.parametrize(
    ("place", "reset"),
    [
        (9, False),
        (10, False),
        (11, True),
        (2**53 - 1, True),
        (0, False),
        ({"seq": 3, "epoch": "{epoch}"}, False),
        ({"seq": 3, "epoch": "another"}, True),
        ({"seq": 3}, False),
    ],
)
async def test_a_place_that_cannot_be_kept_is_a_reset(
    talk: Talkers,
    room: Room,
    place: Any,
    reset: bool,  # noqa: FBT001
) -> None:
    await in_thread(write, 10)
    if isinstance(place, dict) and place.get("epoch") == "{epoch}":
        place["epoch"] = room.epoch

    by_hello = await talk(resume={"general": place})
    by_join = await talk(room=None)
    seen = place if isinstance(place, dict) else {"seq": place}
    more = {"after": seen["seq"], "epoch": seen.get("epoch")}
    assert "error" not in await by_join.ask("join", room="general", **more)

    for talker in (by_hello, by_join):
        if reset:
            told = await talker.push("reset")
            assert told == {
                "push": "reset",
                "room": "general",
                "oldest": 1,
                "head": 10,
                "epoch": room.epoch,
            }
        else:
            missed = list(range(seen["seq"] + 1, 11))
            if missed:
                assert seqs(await talker.until("general", 10)) == missed
        assert await talker.all() == []
    await by_hello.ask("send", room="general", text="on")
    for talker in (by_hello, by_join):
        assert (await talker.push("message"))["seq"] == 11


async def test_too_far_behind_is_a_reset(
    talk: Talkers,
    room: Room,
    settings: Settings,
) -> None:
    # The engine has read its settings when it began; a node of its own tells more.
    await in_thread(write, 10)
    from headgate.chat.engine import engine

    engine().node._resume_limit = 4

    near, far = await talk(resume={"general": 6}), await talk(resume={"general": 5})

    assert seqs(await near.until("general", 10)) == [7, 8, 9, 10]
    assert (await far.push("reset"))["head"] == 10
    assert await far.all() == []


async def test_a_place_beyond_what_this_process_knows_is_no_reset(
    talk: Talkers,
    room: Room,
    chat: Engine,
) -> None:
    """Another process wrote; a page has read it; this process has not heard of it."""
    watching = await talk()
    before = chat.node.hub.rooms[room.pk].head
    await in_thread(_write_unheard, room)

    page = await watching.ask("history", room="general")
    late = await talk(room=None)
    joined = await late.ask("join", room="general", after=page["head"])

    assert (before, page["head"]) == (0, 1)
    assert joined["head"] == 1
    assert await late.all() == []
    await late.ask("send", room="general", text="next")
    assert seqs(await late.until("general", 2)) == [2]


@pytest.mark.source
async def test_whoever_was_added_elsewhere_sees_nothing_from_before(
    talk: Talkers,
    room: Room,
    chat: Engine,
    ada: User,
    grace: User,
) -> None:
    """Another process wrote and added them; this one watches and has not heard."""
    hidden = await in_thread(group, ada)
    await (await talk(ada, None)).ask("join", room="group")
    newcomer = await talk(grace, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat.node.hub, "reach", lambda *_: None)
        await in_thread(actions.send_message, hidden, SYSTEM, "what we say of her")
        await in_thread(actions.add_member, hidden, grace)
        joined = await newcomer.ask("join", room="group")
    await in_thread(actions.send_message, hidden, SYSTEM, "welcome")

    assert joined["head"] == 3
    heard = await newcomer.until("group", 4)
    assert [said["seq"] for said in heard if "seq" in said] == [4]


def _write_unheard(room: Room) -> None:
    from django.db import connection, transaction

    from headgate.chat.append import append
    from headgate.chat.entries import Draft

    with transaction.atomic():
        append(connection, [Draft(room.pk, SYSTEM, "from afar")])


# --- join and leave ---------------------------------------------------------------


async def test_join_tells_the_room_and_is_live_from_now(talk: Talkers) -> None:
    await in_thread(write, 3)
    talker = await talk(room=None)

    reply = await talker.ask("join", room="general")

    assert len(reply.pop("epoch")) == 8
    assert reply == {
        "reply": 1,
        "room": "general",
        "head": 3,
        "title": "General",
        "read": 0,
        "unread": 3,
    }
    await talker.ask("send", room="general", text="a")
    assert seqs(await talker.until("general", 4)) == [4]


async def test_join_after_the_head_of_a_list_has_no_hole(talk: Talkers) -> None:
    talker, writer = await talk(room=None), await talk()
    await writer.ask("send", room="general", text="a")
    page = await talker.ask("history", room="general")
    await writer.ask("send", room="general", text="b")

    await talker.ask("join", room="general", after=page["head"])

    assert [m["text"] for m in page["messages"]] == ["a"]
    assert (await talker.push("message"))["text"] == "b"


async def test_joining_again_alone_keeps_the_room_open(talk: Talkers) -> None:
    """The only one there joins twice: what comes later comes all the same."""
    talker = await talk()
    await talker.ask("join", room="general")
    await talker.ask("join", room="general", after=0)
    await talker.ask("send", room="general", text="a")

    assert (await talker.push("message"))["seq"] == 1
    assert await talker.all() == []


async def test_leaving_ends_the_pushes(talk: Talkers) -> None:
    talker, writer = await talk(), await talk()

    assert await talker.ask("leave", room="general") == {"reply": 1}
    await writer.ask("send", room="general", text="a")
    await writer.push("message")

    assert await talker.all() == []
    assert await talker.ask("leave", room="general") == {"reply": 3}
    assert await talker.ask("leave", room="nowhere") == {"reply": 4}


async def test_an_unknown_room_is_not_found(talk: Talkers) -> None:
    talker = await talk(room="nowhere")

    assert talker.welcome["rooms"]["nowhere"]["error"]["code"] == "not_found"
    commands: list[tuple[str, dict[str, Any]]] = [
        ("join", {}),
        ("send", {"text": "a"}),
        ("edit", {"target": 1, "text": "a"}),
        ("delete", {"target": 1}),
        ("history", {}),
    ]
    for cmd, more in commands:
        assert await talker.refusal(cmd, room="nowhere", **more) == "not_found"
    assert not await in_thread(Room.objects.filter(slug="nowhere").exists)


async def test_an_unknown_room_is_made_where_that_may_be(
    talk: Talkers,
    settings: Settings,
) -> None:
    settings.HEADGATE = {"GUESTS": True, "MAKE_ROOMS": True, "MAX_MADE_ROOMS": 3}

    talker = await talk(room="new")
    assert talker.welcome["rooms"]["new"] == {
        **talker.welcome["rooms"]["new"],
        "head": 0,
        "title": "new",
    }
    assert "error" not in await talker.ask("join", room="newer")
    assert await talker.refusal("join", room="too-many") == "not_found"
    assert await in_thread(Room.objects.count) == 3
    await talker.ask("send", room="new", text="a")
    assert (await talker.push("message"))["room"] == "new"


@pytest.mark.parametrize("url_room", ["..", "a b", "a\nb", "%00", "-a", "a" * 65])
async def test_what_names_no_room_makes_none(
    talk: Talkers,
    settings: Settings,
    url_room: str,
) -> None:
    settings.HEADGATE = {"GUESTS": True, "MAKE_ROOMS": True}

    talker = await talk(room=url_room)

    assert talker.welcome["rooms"][url_room]["error"]["code"] == "not_found"
    assert await in_thread(Room.objects.count) == 1


async def test_a_connection_joins_at_most_so_many_rooms(talk: Talkers) -> None:
    rooms = [Room(slug=f"r{n}") for n in range(MAX_ROOMS)]
    await in_thread(Room.objects.bulk_create, rooms)
    resume = {f"r{n}": 0 for n in range(MAX_ROOMS)}

    talker = await talk(resume=resume)

    entries = talker.welcome["rooms"]
    refused = {slug for slug, entry in entries.items() if "error" in entry}
    assert refused == {f"r{MAX_ROOMS - 1}"}
    assert entries[refused.pop()]["error"]["code"] == "too_many_rooms"
    assert await talker.refusal("join", room="r99") == "too_many_rooms"
    assert "error" not in await talker.ask("join", room="r0")
    await talker.ask("leave", room="r0")
    assert "error" not in await talker.ask("join", room="r99")


async def test_a_group_that_is_not_ones_own_is_like_a_missing_room(
    talk: Talkers,
    ada: User,
    grace: User,
) -> None:
    """Every answer, for a room of others with a message in it and for none at all."""
    made = await in_thread(group, ada)
    await in_thread(actions.send_message, made, ada, "secret")
    stranger, guest = await talk(grace), await talk()
    commands: list[tuple[str, dict[str, Any]]] = [
        ("join", {}),
        ("join", {"after": 0}),
        ("leave", {}),
        ("send", {"text": "a"}),
        ("edit", {"target": 2, "text": "a"}),
        ("delete", {"target": 2}),
        ("typing", {"typing": True}),
        ("read", {"seq": 1}),
        ("history", {}),
        ("history", {"of": "events"}),
    ]
    for talker in (stranger, guest):
        for cmd, more in commands:
            real = await talker.ask(cmd, room="group", **more)
            missing = await talker.ask(cmd, room="groap", **more)
            assert {**real, "reply": 0} == {**missing, "reply": 0}, cmd
    entries = [
        (await talk(grace, room=None, resume={slug: 0})).welcome["rooms"][slug]
        for slug in ("group", "groap")
    ]
    assert entries[0] == entries[1]
    member = await talk(ada, room="group")
    assert member.welcome["rooms"]["group"]["head"] == 2


# --- all else ---------------------------------------------------------------------


async def test_a_ping_is_answered(talk: Talkers) -> None:
    talker = await talk()

    assert await talker.ask("ping") == {"reply": 1}
    await talker.say({"cmd": "ping"})
    assert await talker.all() == []


async def test_what_is_not_built_yet_is_said_to_be_unsupported(talk: Talkers) -> None:
    talker = await talk()

    assert await talker.refusal("react", room="general", target=1) == "unsupported"


@pytest.mark.parametrize(
    ("command", "code", "field"),
    [
        ({"cmd": "sing"}, "unknown_command", "cmd"),
        ({"cmd": "send", "room": "general"}, "bad_command", "text"),
        ({"cmd": "send", "room": "general", "text": " "}, "bad_command", "text"),
        ({"cmd": "send", "room": "../x", "text": "a"}, "bad_command", "room"),
        (
            {"cmd": "send", "room": "general", "text": "a", "kind": "system"},
            "bad_command",
            "kind",
        ),
        ({"cmd": "join", "room": "general", "after": -1}, "bad_command", "after"),
        ({"cmd": "join"}, "bad_command", "room"),
        ({"cmd": "leave"}, "bad_command", "room"),
        ({"cmd": "edit", "room": "general", "text": "a"}, "bad_command", "target"),
        ({"cmd": "delete", "room": "general", "target": 0}, "bad_command", "target"),
        ({"cmd": "typing", "room": "x", "typing": 1}, "bad_command", "typing"),
        ({"cmd": "read", "room": "general"}, "bad_command", "seq"),
        ({"cmd": "history", "room": "general", "limit": 201}, "bad_command", "limit"),
        ({"cmd": "history", "room": "general", "of": "all"}, "bad_command", "of"),
    ],
)
async def test_a_command_that_is_none_names_the_field(
    talk: Talkers,
    command: dict[str, Any],
    code: str,
    field: str,
) -> None:
    talker = await talk()

    await talker.say({**command, "id": 7})
    reply = await talker.reply(7)

    assert (reply["error"]["code"], reply["error"]["field"]) == (code, field)
    assert await talker.all() == []


async def test_a_database_that_is_away_is_said(
    talk: Talkers,
    room: Room,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from headgate.live.ports import LogUnavailable

    talker = await talk()
    real: Callable[..., Any] = chat.reader.run
    away = True

    async def run(function: Any, *args: Any, **more: Any) -> Any:
        if away:
            raise LogUnavailable("gone")
        return await real(function, *args, **more)

    monkeypatch.setattr(chat.reader, "run", run)
    for cmd, more in [
        ("join", {}),
        ("history", {}),
        ("edit", {"target": 1, "text": "a"}),
    ]:
        reply = await talker.ask(cmd, room="general", **more)
        assert reply["error"]["code"] == "unavailable"
        assert reply["error"]["retry_after_ms"] > 0
    late = await talk()
    assert late.welcome["rooms"]["general"]["error"]["code"] == "unavailable"

    away = False
    assert "error" not in await late.ask("join", room="general")


async def test_a_member_row_is_made_by_reading_and_not_by_looking(
    talk: Talkers,
) -> None:
    talker = await talk()
    await talker.ask("history", room="general")
    assert await in_thread(Member.objects.count) == 0

    await asyncio.gather(talker.ask("read", room="general", seq=0))

    assert await in_thread(Member.objects.count) == 1
