"""Reading and posting over HTTP: pages without holes, and one message for one id."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.history import PAGE_MAX_BYTES
from headgate.chat.models import Event, Room
from headgate.chat.people import SYSTEM
from headgate.protocol.fields import MAX_COMMAND_BYTES
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.scenes import group, write
from tests.chat.talker import Talkers, guests_fixture, in_thread, talk_fixture  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ROOM = "/api/v1/rooms/general"
MESSAGES = f"{ROOM}/messages"
GUEST = "Headgate-Guest"


async def page(browser: httpx.AsyncClient, path: str, **where: Any) -> dict[str, Any]:
    """Return a page, asked for with these parameters."""
    answer = await browser.get(path, params=where)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def seqs(found: dict[str, Any], of: str = "messages") -> list[int]:
    """Return the seqs in a page."""
    return [each["seq"] for each in found[of]]


# --- reading -------------------------------------------------------------------


async def test_paging_back_to_the_beginning(
    browse: Browsers, guests: None, room: Room
) -> None:
    await in_thread(write, 25)
    browser = await browse()
    found = await page(browser, MESSAGES, limit=10)
    seen = seqs(found)
    while found["more"]:
        found = await page(browser, MESSAGES, limit=10, before=seen[0])
        seen = seqs(found) + seen

    assert seen == list(range(1, 26))
    assert (found["head"], found["epoch"], found["room"]) == (25, room.epoch, "general")


async def test_paging_onward(browse: Browsers, guests: None, room: Room) -> None:
    await in_thread(write, 25)
    browser = await browse()
    seen: list[int] = []
    more = True
    while more:
        found = await page(browser, MESSAGES, limit=10, after=seen[-1] if seen else 0)
        seen += seqs(found)
        more = found["more"]

    assert seen == list(range(1, 26))


async def test_pages_are_those_of_the_websocket(
    browse: Browsers, talk: Talkers, room: Room, ada: User
) -> None:
    await in_thread(write, 9)
    await in_thread(actions.edit_message, "general", 3, "new", by=SYSTEM)
    await in_thread(actions.delete_message, "general", 4, by=SYSTEM)
    browser, talker = await browse(ada), await talk(ada)
    asked: list[tuple[str, dict[str, Any]]] = [
        ("messages", {}),
        ("messages", {"limit": 4}),
        ("messages", {"before": 5, "limit": 2}),
        ("messages", {"after": 5, "limit": 2}),
        ("messages", {"before": 8, "after": 2}),
        ("events", {}),
        ("events", {"after": 3, "to": 10}),
        ("events", {"after": 3, "limit": 2}),
    ]
    for of, where in asked:
        over_http = await page(browser, f"{ROOM}/{of}", **where)
        reply = await talker.ask("history", room="general", of=of, **where)
        del reply["reply"]
        assert over_http == reply


async def test_a_gap_is_healed_by_its_events(
    browse: Browsers, guests: None, room: Room
) -> None:
    await in_thread(write, 4)
    await in_thread(actions.edit_message, "general", 2, "new", by=SYSTEM)
    await in_thread(actions.delete_message, "general", 3, by=SYSTEM)
    browser = await browse()

    found = await page(browser, f"{ROOM}/events", after=3, to=5)

    assert [(e["push"], e["seq"]) for e in found["events"]] == [
        ("message", 4),
        ("edited", 5),
    ]
    assert (found["head"], found["more"]) == (6, False)


async def test_whoever_joins_at_the_head_of_a_page_misses_nothing(
    browse: Browsers, talk: Talkers, room: Room, ada: User
) -> None:
    await in_thread(write, 3)
    browser = await browse(ada)
    found = await page(browser, MESSAGES)
    await browser.post(MESSAGES, json={"text": "between"})
    talker = await talk(ada, room=None)

    await talker.ask("join", room="general", after=found["head"])

    assert (await talker.push("message"))["text"] == "between"


async def test_a_newcomer_to_a_group_sees_what_comes_after_him(
    browse: Browsers, ada: User, grace: User
) -> None:
    made = await in_thread(group, ada)
    await in_thread(write, 3, "group")
    await in_thread(actions.add_member, made, grace)
    await in_thread(write, 1, "group", "after {}")
    browser = await browse(grace)

    messages = await page(browser, "/api/v1/rooms/group/messages")
    events = await page(browser, "/api/v1/rooms/group/events")

    assert [each["text"] for each in messages["messages"]] == ["after 1"]
    assert seqs(events, "events") == [5, 6]  # the first is his being added


async def test_a_page_is_bounded_in_bytes(
    browse: Browsers, guests: None, room: Room
) -> None:
    await in_thread(write, 40, text="x" * 16_000)
    browser = await browse()

    found = await browser.get(MESSAGES, params={"limit": 200})

    assert len(found.content) < PAGE_MAX_BYTES + 20_000
    assert found.json()["more"]


PLACES = [
    ("messages", "before"),
    ("messages", "after"),
    ("messages", "limit"),
    ("events", "after"),
    ("events", "to"),
    ("events", "limit"),
]


@pytest.mark.parametrize(("of", "field"), PLACES)
@pytest.mark.parametrize("value", ["x", "-1", "1.5", "", str(2**53), "9" * 30, "0x1"])
async def test_bad_places(
    browse: Browsers, guests: None, room: Room, of: str, field: str, value: str
) -> None:
    refused = await (await browse()).get(f"{ROOM}/{of}", params={field: value})

    assert problem_of(refused) == (400, "bad_command")
    assert refused.json()["field"] == field


# --- posting -------------------------------------------------------------------


async def test_a_message_is_saved_and_told(
    browse: Browsers, talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    browser, talker = await browse(ada), await talk(grace)
    said = {
        "text": "hi",
        "client_id": "c-1",
        "kind": "x-note",
        "format": "markdown",
        "data": {"a": [1, {"b": None}]},
        "priority": "high",
        "expires_in_ms": 5000,
    }

    answer = await browser.post(MESSAGES, json=said)

    assert answer.status_code == 201
    saved = answer.json()
    assert (saved["seq"], saved["client_id"]) == (1, "c-1")
    assert answer.headers["location"] == f"{MESSAGES}/1"
    push = await talker.push("message")
    assert {name: push[name] for name in said} == said
    assert (push["seq"], push["at"]) == (1, saved["at"])
    assert push["author"] == {
        "id": f"u:{ada.pk}",
        "kind": "user",
        "name": "Ada Lovelace",
    }


async def test_a_room_is_made_by_posting_as_by_sending(
    browse: Browsers, talk: Talkers, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True, "MAKE_ROOMS": True}
    browser, talker = await browse(), await talk(room=None)

    posted = await browser.post("/api/v1/rooms/one/messages", json={"text": "hi"})
    sent = await talker.ask("send", room="two", text="hi")

    assert (posted.status_code, sent["seq"]) == (201, 1)
    rooms = [slug async for slug in Room.objects.values_list("slug", flat=True)]
    assert sorted(rooms) == ["one", "two"]


async def test_a_guest_is_told_who_they_are(
    browse: Browsers, guests: None, room: Room
) -> None:
    browser = await browse()

    first = await browser.post(MESSAGES, json={"text": "one"})
    token = {GUEST: first.headers[GUEST]}
    await browser.post(MESSAGES, json={"text": "two"}, headers=token)
    await browser.post(MESSAGES, json={"text": "three"})

    found = await page(browser, MESSAGES)
    one, two, three = [each["author"]["id"] for each in found["messages"]]
    assert one == two != three
    assert first.headers["cache-control"] == "no-store"


async def test_somebody_signed_in_gets_no_guest(
    browse: Browsers, guests: None, room: Room, ada: User
) -> None:
    guest = await (await browse()).post(MESSAGES, json={"text": "one"})
    browser = await browse(ada, headers={GUEST: guest.headers[GUEST]})

    answer = await browser.post(MESSAGES, json={"text": "two"})

    assert GUEST not in answer.headers
    found = await page(browser, MESSAGES)
    assert found["messages"][1]["author"]["id"] == f"u:{ada.pk}"


async def test_a_whole_command_is_a_body_too(
    browse: Browsers, guests: None, room: Room
) -> None:
    command = {"cmd": "send", "id": 4, "room": "general", "text": "hi"}

    answer = await (await browse()).post(MESSAGES, json=command)
    refused = await (await browse()).post(MESSAGES, json=command | {"room": ["x"]})

    assert answer.status_code == 201
    assert problem_of(refused) == (400, "bad_command")
    assert refused.json()["field"] == "room"


async def test_the_url_says_the_room(
    browse: Browsers, guests: None, room: Room
) -> None:
    await Room.objects.acreate(slug="other")
    body = '{"room": "other", "id": 3, "cmd": "send", "text": "hi", "room": "other"}'
    json = {"Content-Type": "application/json"}

    answer = await (await browse()).post(MESSAGES, content=body, headers=json)

    assert answer.status_code == 201
    assert [e.room_id async for e in Event.objects.all()] == [room.pk]


# --- the same message twice ----------------------------------------------------


async def test_again_over_http(browse: Browsers, room: Room, ada: User) -> None:
    browser = await browse(ada)
    said = {"text": "hi", "client_id": "c-1"}

    first = await browser.post(MESSAGES, json=said)
    again = await browser.post(MESSAGES, json=said)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert await Event.objects.acount() == 1


@pytest.mark.parametrize("first", ["http", "websocket"])
async def test_again_over_the_other_door(
    browse: Browsers, talk: Talkers, room: Room, ada: User, first: str
) -> None:
    browser, talker = await browse(ada), await talk(ada)
    said = {"text": "hi", "client_id": "c-1", "data": {"a": 1}}

    async def http() -> tuple[int, str]:
        answer = (await browser.post(MESSAGES, json=said)).json()
        return answer["seq"], answer["at"]

    async def websocket() -> tuple[int, str]:
        reply = await talker.ask("send", room="general", **said)
        return reply["seq"], reply["at"]

    doors = [http, websocket] if first == "http" else [websocket, http]
    answers = [await door() for door in doors]

    assert answers[0] == answers[1]
    assert await Event.objects.acount() == 1


@pytest.mark.parametrize("first", ["http", "websocket"])
async def test_another_text_under_the_same_id_is_a_conflict(
    browse: Browsers, talk: Talkers, room: Room, ada: User, first: str
) -> None:
    browser, talker = await browse(ada), await talk(ada)
    one, two = ({"text": text, "client_id": "c-1"} for text in ("one", "two"))
    if first == "http":
        await browser.post(MESSAGES, json=one)
        code = await talker.refusal("send", room="general", **two)
    else:
        await talker.ask("send", room="general", **one)
        refused = await browser.post(MESSAGES, json=two)
        status, code = problem_of(refused)
        assert status == 409
        assert refused.json()["client_id"] == "c-1"

    assert code == "id_conflict"
    assert await Event.objects.acount() == 1


async def test_the_same_at_once_through_both_doors(
    browse: Browsers, talk: Talkers, room: Room, ada: User
) -> None:
    browser, talker = await browse(ada), await talk(ada)
    said = {"text": "hi", "client_id": "c-1"}

    async def over_websocket() -> int:
        return int((await talker.ask("send", room="general", **said))["seq"])

    posts = [browser.post(MESSAGES, json=said) for _ in range(20)]
    reply, *answers = await asyncio.gather(over_websocket(), *posts)

    assert {reply, *(answer.json()["seq"] for answer in answers)} == {1}
    assert [a.status_code for a in answers].count(201) <= 1
    assert await Event.objects.acount() == 1


async def test_a_guest_comes_again_over_the_other_door(
    browse: Browsers, talk: Talkers, guests: None, room: Room
) -> None:
    browser = await browse()
    said = {"text": "hi", "client_id": "c-1"}
    answer = await browser.post(MESSAGES, json=said)
    talker = await talk(guest=answer.headers[GUEST])

    reply = await talker.ask("send", room="general", **said)

    assert reply["seq"] == answer.json()["seq"]


# --- what is not taken ---------------------------------------------------------

TOO_LARGE = '{"text": "' + "x" * MAX_COMMAND_BYTES + '"}'
BAD_BODIES = [
    "",
    "nonsense",
    "[]",
    "[1]",
    "null",
    '"text"',
    "{",
    "}",
    "{}",
    '{"text": 1}',
    '{"text": null}',
    '{"text": ""}',
    '{"text": " \\n\\t"}',
    '{"text": "a\\u0000b"}',
    '{"text": "hi", "client_id": "a\\u0000"}',
    '{"text": "hi", "data": {"a": "\\u0000"}}',
    '{"text": "\\ud800"}',
    '{"text": "hi", "data": NaN}',
    '{"text": "hi", "data": {"a": Infinity}}',
    '{"text": "hi", "data": {"a": 1e999}}',
    '{"text": "hi", "data": {"a": 9007199254740993}}',
    '{"text": "hi", "data": [1]}',
    '{"text": "hi", "data": ' + '{"a":' * 20 + "1" + "}" * 20 + "}",
    '{"text": "hi", "data": {"a": "' + "x" * 5000 + '"}}',
    '{"text": "hi", "client_id": ""}',
    '{"text": "hi", "client_id": "' + "x" * 65 + '"}',
    '{"text": "hi", "client_id": 5}',
    '{"text": "hi", "kind": "system"}',
    '{"text": "hi", "format": "html"}',
    '{"text": "hi", "priority": "urgent"}',
    '{"text": "hi", "reply_to": 0}',
    '{"text": "hi", "reply_to": 1.5}',
    '{"text": "hi", "expires_in_ms": -1}',
    '{"text": "hi", "text": 5}',
    '{"text": "hi"} {"text": "ho"}',
    '{"text": "hi"},{"text": "ho"}',
    '{"text": "hi",}',
    '{,"text": "hi"}',
    '{"text": "hi", "data": {"a": 1}',
    '{"text": "hi"}}',
    '{"text": "hi", "x": "}',
    "[" * 10_000,
    '{"a":' * 2_000 + "1" + "}" * 2_000,
    "\ufeff{}",
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: body[:30])
async def test_bad_bodies_are_refused_in_the_words_of_the_websocket(
    browse: Browsers, talk: Talkers, guests: None, room: Room, body: str
) -> None:
    browser, talker = await browse(), await talk()
    members = body.strip().removeprefix("{").removesuffix("}")
    as_command = (
        '{"cmd":"send","room":"general"' + (f",{members}" if members else "") + "}"
        if body.startswith("{") and body.endswith("}")
        else body
    )

    refused = await browser.post(
        MESSAGES, content=body, headers={"Content-Type": "application/json"}
    )
    await talker.say(as_command)
    said = (await talker.reply(None))["error"]

    assert problem_of(refused)[1] == said["code"]
    assert (refused.json()["detail"], refused.json().get("field")) == (
        said["text"],
        said.get("field"),
    )
    assert await Event.objects.acount() == 0


async def test_at_most_so_many_bytes(
    browse: Browsers, guests: None, room: Room
) -> None:
    browser = await browse()

    fits = await browser.post(MESSAGES, json={"text": "x" * 16_000})
    whole = await browser.post(MESSAGES, content=TOO_LARGE, headers=JSON)
    parts = await browser.post(MESSAGES, content=chunks(TOO_LARGE), headers=JSON)

    assert fits.status_code == 201
    assert problem_of(whole) == problem_of(parts) == (413, "too_large")


async def test_a_body_in_chunks(browse: Browsers, guests: None, room: Room) -> None:
    body = '{"text": "' + "x" * 3000 + '"}'

    answer = await (await browse()).post(MESSAGES, content=chunks(body), headers=JSON)

    assert answer.status_code == 201


async def test_what_is_no_utf_8(browse: Browsers, guests: None, room: Room) -> None:
    refused = await (await browse()).post(
        MESSAGES, content=b'{"text": "\xff"}', headers=JSON
    )

    assert problem_of(refused) == (400, "bad_command")


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json-patch+json",
        "text/json",
    ],
)
async def test_only_json_is_taken(
    browse: Browsers, guests: None, room: Room, kind: str | None
) -> None:
    headers = {} if kind is None else {"Content-Type": kind}

    refused = await (await browse()).post(
        MESSAGES, content=b'{"text": "hi"}', headers=headers
    )

    assert problem_of(refused) == (415, "binary")
    assert await Event.objects.acount() == 0


async def test_json_with_a_charset(browse: Browsers, guests: None, room: Room) -> None:
    answer = await (await browse()).post(
        MESSAGES,
        content='{"text": "Grüße"}'.encode(),
        headers={"Content-Type": "application/json; charset=utf-8"},
    )

    assert answer.status_code == 201


JSON = {"Content-Type": "application/json"}


async def chunks(body: str) -> Any:
    """Yield a body in parts, so that no header tells its size."""
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000].encode()
