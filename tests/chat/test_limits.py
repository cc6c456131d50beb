"""Limits over a WebSocket, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.gate import Gate, person_key
from headgate.chat.models import Event, LimitOverride, Member, Room
from headgate.chat.overrides import overrides
from headgate.chat.people import actor_for, new_guest
from headgate.contrib.shared import limiter
from headgate.testing.limits_clock import LimitsClock
from tests.chat.scenes import group
from tests.chat.talker import Said, Talker, Talkers, in_thread, talk_fixture  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.limits]

FAR = {"REFUSALS_BEFORE_PAUSE": 10_000, "REFUSALS_BEFORE_CLOSE": 20_000}


@pytest.fixture(autouse=True)
def _limited(settings: Settings, limits_clock: LimitsClock) -> None:
    settings.HEADGATE = {"GUESTS": True, **FAR}
    overrides().outdate()


async def send_many(talker: Talker, count: int, **more: Any) -> list[Said]:
    """Send messages and return the replies."""
    return [
        await talker.ask("send", text=f"m{n}", **{"room": "general", **more})
        for n in range(count)
    ]


def refusals(replies: list[Said]) -> list[Said]:
    return [each["error"] for each in replies if "error" in each]


async def saved() -> int:
    return int(await in_thread(Event.objects.count))


# --- send ---


async def test_the_burst_is_let_through_and_no_more(
    talk: Talkers, room: Room, ada: User
) -> None:
    replies = await send_many(await talk(ada), 12)

    assert [each["error"]["policy"] for each in replies[10:]] == ["send", "send"]
    assert await saved() == 10


async def test_a_refusal_says_all_that_helps(
    talk: Talkers, room: Room, ada: User, limits_clock: LimitsClock
) -> None:
    talker = await talk(ada)
    await send_many(talker, 10)
    limits_clock.advance(0.27)

    reply = await talker.ask("send", room="general", text="hi", client_id="c-1")

    assert reply["error"] == {
        "code": "rate_limited",
        "text": "Too fast.",
        "policy": "send",
        "retry_after_ms": 730,
        "remaining": 0,
        "client_id": "c-1",
    }


async def test_waiting_it_out_succeeds(
    talk: Talkers, room: Room, ada: User, limits_clock: LimitsClock
) -> None:
    talker = await talk(ada)
    replies = await send_many(talker, 11)
    wait_ms = replies[-1]["error"]["retry_after_ms"]
    limits_clock.advance((wait_ms - 1) / 1000)
    early = await talker.ask("send", room="general", text="early")
    limits_clock.advance(0.001)
    late = await talker.ask("send", room="general", text="late")

    assert "error" in early
    assert "seq" in late


async def test_a_refused_message_changes_nothing(
    talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    other = await talk(grace)
    talker = await talk(ada)
    await send_many(talker, 15)

    texts = [each["text"] for each in await other.all() if each.get("push")]
    assert texts == [f"m{n}" for n in range(10)]


async def test_rooms_are_counted_apart_and_together(
    talk: Talkers, room: Room, ada: User
) -> None:
    await in_thread(Room.objects.create, slug="help")
    await in_thread(Room.objects.create, slug="random")
    talker = await talk(ada)
    for name in ("help", "random"):
        await talker.ask("join", room=name)
    found = [
        refusals(await send_many(talker, 10, room=name))
        for name in ("general", "help", "random")
    ]

    assert [len(each) for each in found] == [0, 0, 10]
    assert {each["policy"] for each in found[2]} == {"send.all"}


async def test_two_sockets_of_one_person_share(
    talk: Talkers, room: Room, ada: User
) -> None:
    first, second = await talk(ada), await talk(ada)

    found = refusals(await send_many(first, 6)) + refusals(await send_many(second, 6))

    assert len(found) == 2


async def test_people_do_not_share(
    talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    first, second = await talk(ada), await talk(grace)

    assert not refusals(await send_many(first, 10))
    assert not refusals(await send_many(second, 10))


async def test_guests_of_one_address_share(talk: Talkers, room: Room) -> None:
    first, second = await talk(), await talk()

    assert not refusals(await send_many(first, 10))
    assert len(refusals(await send_many(second, 3))) == 3


def test_keys(ada: User) -> None:
    assert person_key(actor_for(ada), "203.0.113.9") == f"{{u:{ada.pk}}}"
    assert person_key(new_guest("Gus"), "203.0.113.9") == "{203.0.113.9}"


async def test_one_may_send_without_joining_and_is_limited(
    talk: Talkers, room: Room, ada: User
) -> None:
    talker = await talk(ada, None)

    assert len(refusals(await send_many(talker, 12))) == 2


async def test_an_edit_counts_as_a_message(
    talk: Talkers, room: Room, ada: User
) -> None:
    talker = await talk(ada)
    await send_many(talker, 9)
    replies = [
        await talker.ask("edit", room="general", target=1, text=f"anew {n}")
        for n in range(3)
    ]

    assert len(refusals(replies)) == 2


async def test_deleting_is_a_command_alone(
    talk: Talkers, room: Room, ada: User
) -> None:
    talker = await talk(ada)
    await send_many(talker, 10)

    replies = [
        await talker.ask("delete", room="general", target=n) for n in range(1, 11)
    ]

    assert not refusals(replies)


async def test_what_may_not_be_done_is_a_command_alone(
    talk: Talkers, ada: User, grace: User
) -> None:
    await in_thread(group, grace)
    talker = await talk(ada, None)
    replies = [
        await talker.ask("send", room="group", text="let me in") for _ in range(61)
    ]

    codes = [each["error"]["code"] for each in replies]
    assert codes.count("not_found") + codes.count("rate_limited") == 61
    assert codes[0] == "not_found"
    assert codes[-1] == "rate_limited"


# --- command, history, typing, read ---


async def test_commands_of_all_kinds_are_counted(
    talk: Talkers, room: Room, ada: User
) -> None:
    talker = await talk(ada)
    replies = [await talker.ask("join", room="general") for _ in range(62)]

    assert [each["policy"] for each in refusals(replies)] == ["command", "command"]


async def test_ping_and_leave_are_free(talk: Talkers, room: Room, ada: User) -> None:
    talker = await talk(ada)
    for _ in range(61):
        await talker.ask("join", room="general")

    replies = [await talker.ask("ping") for _ in range(100)]
    replies += [await talker.ask("leave", room="general") for _ in range(3)]

    assert not refusals(replies)


async def test_each_connection_has_its_commands(
    talk: Talkers, room: Room, ada: User
) -> None:
    first, second = await talk(ada), await talk(ada)
    for _ in range(60):
        await first.ask("join", room="general")

    assert "error" in await first.ask("join", room="general")
    assert "error" not in await second.ask("join", room="general")


@pytest.mark.parametrize("cmd", ["react", "dance"])
async def test_what_is_no_command_is_counted_too(
    talk: Talkers, room: Room, ada: User, cmd: str
) -> None:
    talker = await talk(ada)
    for _ in range(60):
        await talker.ask("join", room="general")

    assert (await talker.ask(cmd))["error"]["code"] == "rate_limited"


async def test_history_has_its_own_limit(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {**FAR, "LIMITS": {"history": "2/min"}}
    talker = await talk(ada)
    replies = [await talker.ask("history", room="general") for _ in range(3)]

    assert [each["policy"] for each in refusals(replies)] == ["history"]
    assert not refusals(await send_many(talker, 3))


async def test_typing_past_the_limit_is_left_out_and_not_refused(
    talk: Talkers, room: Room, ada: User, grace: User, limits_clock: LimitsClock
) -> None:
    other, talker = await talk(grace), await talk(ada)
    replies = [await talker.ask("typing", room="general") for _ in range(3)]
    limits_clock.advance(3.0)
    replies.append(await talker.ask("typing", room="general", typing=False))

    assert not refusals(replies)
    told = [each["typing"] for each in await other.all() if each["push"] == "typing"]
    assert told == [True, False]


async def test_nobody_is_told_who_types_in_a_crowd(
    talk: Talkers, room: Room, ada: User, grace: User, settings: Settings
) -> None:
    settings.HEADGATE = {**FAR, "GUESTS": True, "TYPING_MAX_MEMBERS": 2}
    other, talker = await talk(grace), await talk(ada)
    await talker.ask("typing", room="general")
    await talk()
    await talker.ask("typing", room="general")

    assert [each["push"] for each in await other.all()] == ["typing"]


async def test_nor_in_a_group_of_many_members(
    talk: Talkers, ada: User, grace: User, settings: Settings
) -> None:
    settings.HEADGATE = {**FAR, "TYPING_MAX_MEMBERS": 2}
    third = await in_thread(User.objects.create_user, "third")
    made = await in_thread(group, ada, grace, third)
    other, talker = await talk(grace, "group"), await talk(ada, "group")
    await talker.ask("typing", room="group")

    assert [each["push"] for each in await other.all()] == []
    assert await in_thread(Member.objects.filter(room=made).count) == 3


async def test_read_marks_are_joined(talk: Talkers, room: Room, ada: User) -> None:
    talker = await talk(ada)
    await send_many(talker, 5)
    for seq in (1, 2, 5, 3):
        await talker.say(
            {"cmd": "read", "id": 100 + seq, "room": "general"} | {"seq": seq}
        )
    replies = [await talker.reply(100 + seq) for seq in (1, 2, 5, 3)]

    assert not refusals(replies)
    member = await in_thread(Member.objects.get, author_key=f"u:{ada.pk}")
    assert member.read_seq == 5


# --- plain mode ---


async def test_plain_mode_says_it_in_its_words(
    talk: Talkers, room: Room, ada: User
) -> None:
    talker = await talk.plain(ada)
    for n in range(11):
        await talker.say({"message": "hi", "client_id": f"c-{n}"})
    said = [await talker.hear() for _ in range(21)]

    (refusal,) = [each for each in said if "error" in each]
    assert refusal == {
        "error": "rate_limited",
        "text": "Too fast.",
        "retry_after_ms": 1000,
        "policy": "send",
        "client_id": "c-10",
    }


# --- what is told ---


async def test_the_welcome_tells_the_policies(
    talk: Talkers, room: Room, ada: User
) -> None:
    talker = await talk(ada)

    assert talker.welcome["limits"] == [
        {
            "policy": "command",
            "key": "connection",
            "burst": 60,
            "per_second": 2.0,
            "remaining": 60,
        },
        {
            "policy": "append",
            "key": "connection",
            "burst": 40,
            "per_second": 20.0,
            "remaining": 40,
        },
        {"policy": "send", "key": "user and room", "burst": 10, "per_second": 1.0},
        {
            "policy": "send.all",
            "key": "user",
            "burst": 20,
            "per_second": 1.0,
            "remaining": 20,
        },
        {
            "policy": "typing",
            "key": "user and room",
            "burst": 1,
            "per_second": 0.333333,
        },
        {
            "policy": "history",
            "key": "user",
            "burst": 60,
            "per_second": 1.0,
            "remaining": 60,
        },
    ]


async def test_the_welcome_tells_what_is_used_up(
    talk: Talkers, room: Room, ada: User
) -> None:
    first = await talk(ada)
    await send_many(first, 10)
    second = await talk(ada)

    found = {
        (each["policy"], each.get("room")): each for each in second.welcome["limits"]
    }
    assert found["send", "general"]["remaining"] == 0
    assert found["send", "general"]["retry_after_ms"] == 1000
    assert found["send.all", None]["remaining"] == 10


async def test_without_limits_nothing_is_told_or_refused(
    talk: Talkers, room: Room, ada: User, limits_off: None
) -> None:
    talker = await talk(ada)

    assert talker.welcome["limits"] == []
    assert not refusals(await send_many(talker, 70))


async def test_throttling_enabled_false(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    from headgate.contrib.shared import use_limiter

    use_limiter(None)
    settings.HEADGATE = {"THROTTLING_ENABLED": False}

    assert not refusals(await send_many(await talk(ada), 70))


async def test_a_dry_run_refuses_nothing_and_counts(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {**FAR, "DRY_RUN": ["send"]}

    assert not refusals(await send_many(await talk(ada), 13))
    (noted,) = limiter().refusals.report()
    assert (noted.policy, noted.key, noted.count, noted.dry_run) == (
        "send",
        f"{{u:{ada.pk}}}/general",
        3,
        True,
    )


# --- single people and rooms ---


async def test_a_person_may_have_a_limit_of_their_own(
    talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    await in_thread(LimitOverride.objects.create, user=ada, policy="send", rate="1/min")
    first, second = await talk(ada), await talk(grace)

    assert len(refusals(await send_many(first, 3))) == 2
    assert not refusals(await send_many(second, 3))


async def test_it_takes_effect_on_open_connections(
    talk: Talkers, room: Room, ada: User
) -> None:
    talker = await talk(ada)
    await send_many(talker, 2)
    version = overrides().version
    made = await in_thread(
        LimitOverride.objects.create, user=ada, policy="send", rate="off"
    )
    await until(lambda: overrides().version > version)
    assert not refusals(await send_many(talker, 15))
    version = overrides().version
    await in_thread(made.delete)
    await until(lambda: overrides().version > version)

    assert refusals(await send_many(talker, 15))


async def test_a_room_may_have_a_limit_of_its_own_while_people_are_there(
    talk: Talkers, room: Room, ada: User
) -> None:
    talker = await talk(ada)
    assert not refusals(await send_many(talker, 2))
    await in_thread(actions.set_room_limits, "general", {"send": "1/min"})
    (connection,) = node_connections()
    (watch,) = connection.watches.values()
    await until(lambda: bool(watch.rights.limits.limits))

    assert len(refusals(await send_many(talker, 2))) == 2


def node_connections() -> Any:
    from headgate.chat.engine import engine

    return engine().node.connections


async def until(condition: Any) -> None:
    """Let the loop run until something holds that another thread brings about."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def test_a_frame_in_the_wrong_shape_names_its_message(
    talk: Talkers, room: Room, ada: User
) -> None:
    """What is malformed is no command, and costs none: it is counted by itself."""
    talker = await talk(ada)
    await talker.say(json.dumps({"cmd": "send", "id": 5, "room": "general"}))

    assert (await talker.reply(5))["error"]["code"] == "bad_command"
    looked = [each for each in talker.welcome["limits"] if each["policy"] == "command"]
    assert looked[0]["remaining"] == 60


async def test_what_is_refused_in_a_room_not_joined_costs_no_command(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {**FAR, "LIMITS": {"send": "1/day", "command": "20/day"}}
    talker = await talk(ada, None)
    found = refusals(await send_many(talker, 30))

    assert {each["policy"] for each in found} == {"send"}
    assert len(found) == 29


async def test_a_room_that_is_closed_to_one_costs_no_message(
    talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    await in_thread(group, grace)
    talker = await talk(ada)
    for n in range(20):
        await talker.ask("send", room="group", text=f"m{n}")

    assert not refusals(await send_many(talker, 10))


async def test_whoever_sends_what_needs_no_waiting_lets_others_in_between(
    talk: Talkers, room: Room, ada: User
) -> None:
    """A server may have thousands of frames ready, and free ones meet no limit."""
    talker = await talk(ada)
    ping = {"type": "websocket.receive", "text": '{"cmd":"ping"}'}
    for _ in range(400):
        talker._in.put_nowait(ping)
    turns = 0
    while not talker._in.empty():
        turns += 1
        await asyncio.sleep(0)

    assert turns >= 400 // 16


def test_all_that_is_ones_own_is_in_one_slot_of_a_cluster(ada: User) -> None:
    for actor in (actor_for(ada), new_guest("Gus")):
        gate = Gate(actor, "203.0.113.9", connected=False)
        keys = [
            charge.key
            for operation in ("connect", "send", "edit", "history", "typing")
            for charge in gate.charges(operation)
        ]
        assert len({key[key.index("{") : key.index("}")] for key in keys}) == 1
