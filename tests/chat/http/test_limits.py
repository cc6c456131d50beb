"""Limits over HTTP: the same buckets as over a WebSocket, and what answers say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat.models import Event, Room
from headgate.testing.limits_clock import LimitsClock
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.talker import Talkers, in_thread, talk_fixture  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.limits]

HERE = "/api/v1/rooms/general"


@pytest.fixture(autouse=True)
def _limited(settings: Settings, limits_clock: LimitsClock) -> None:
    settings.HEADGATE = {"GUESTS": True}


async def test_a_refusal_says_all_that_helps(
    browse: Browsers, room: Room, ada: User
) -> None:
    browser = await browse(ada)
    for n in range(10):
        good = await browser.post(f"{HERE}/messages", json={"text": f"m{n}"})
        assert good.status_code == 201
    answer = await browser.post(
        f"{HERE}/messages", json={"text": "one more", "client_id": "c-1"}
    )

    assert problem_of(answer) == (429, "rate_limited")
    said = answer.json()
    assert (said["policy"], said["retry_after_ms"]) == ("send", 1000)
    assert (said["remaining"], said["client_id"]) == (0, "c-1")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["ratelimit-policy"] == (
        '"send";q=1;w=1;headgate-burst=10, "command";q=120;w=60;headgate-burst=60, '
        '"send.all";q=60;w=60;headgate-burst=20'
    )
    assert answer.headers["ratelimit"] == (
        '"send";r=0;t=1, "command";r=50;t=1, "send.all";r=10;t=1'
    )


async def test_good_answers_tell_what_is_left(
    browse: Browsers, room: Room, ada: User
) -> None:
    browser = await browse(ada)
    answer = await browser.post(f"{HERE}/messages", json={"text": "hi"})

    assert '"send";r=9;t=1' in answer.headers["ratelimit"]
    assert "retry-after" not in answer.headers


async def test_both_doors_have_one_bucket(
    browse: Browsers, talk: Talkers, room: Room, ada: User
) -> None:
    talker, browser = await talk(ada), await browse(ada)
    for n in range(6):
        assert "seq" in await talker.ask("send", room="general", text=f"ws {n}")
    statuses = [
        (await browser.post(f"{HERE}/messages", json={"text": f"http {n}"})).status_code
        for n in range(6)
    ]
    assert statuses == [201] * 4 + [429] * 2
    late = await talker.ask("send", room="general", text="late")
    assert late["error"]["code"] == "rate_limited"


async def test_two_hundred_at_once_over_four_connections_and_http(
    browse: Browsers, talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {
        "LIMITS": {"send": "20/day", "send.all": "off", "command": "off"},
        "REFUSALS_BEFORE_PAUSE": 1000,
        "REFUSALS_BEFORE_CLOSE": 2000,
    }
    talkers = [await talk(ada) for _ in range(4)]
    browser = await browse(ada)

    async def over_http(n: int) -> bool:
        answer = await browser.post(f"{HERE}/messages", json={"text": f"h{n}"})
        return answer.status_code == 201

    async def over_ws(talker: Any, count: int) -> list[bool]:
        return [
            "seq" in await talker.ask("send", room="general", text=f"w{n}")
            for n in range(count)
        ]

    found = await asyncio.gather(
        *(over_ws(talker, 40) for talker in talkers),
        asyncio.gather(*(over_http(n) for n in range(40))),
    )

    assert sum(len(each) for each in found) == 200
    assert sum(sum(each) for each in found) == 20
    assert await in_thread(Event.objects.count) == 20


async def test_plain_posts_are_messages_too(
    browse: Browsers, room: Room, ada: User
) -> None:
    browser = await browse(ada)
    answers = [
        await browser.post("/ws/chat/general/", json={"message": f"m{n}"})
        for n in range(11)
    ]

    assert [each.status_code for each in answers] == [201] * 10 + [429]


async def test_a_room_that_joining_would_make_is_not_made_past_the_limit(
    browse: Browsers, ada: User, settings: Settings, transactional_db: None
) -> None:
    settings.HEADGATE = {"MAKE_ROOMS": True, "LIMITS": {"send.all": "1/day"}}
    browser = await browse(ada)
    first = await browser.post("/api/v1/rooms/one/messages", json={"text": "hi"})
    second = await browser.post("/api/v1/rooms/two/messages", json={"text": "hi"})

    assert (first.status_code, second.status_code) == (201, 429)
    assert await in_thread(list, Room.objects.values_list("slug", flat=True)) == ["one"]


async def test_reading_history_has_its_limit(
    browse: Browsers, talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {"LIMITS": {"history": "3/min"}}
    browser, talker = await browse(ada), await talk(ada)
    assert "error" not in await talker.ask("history", room="general")
    answers = [
        await browser.get(f"{HERE}/{of}") for of in ("messages", "events", "messages")
    ]

    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2].json()["policy"] == "history"


@pytest.mark.parametrize("path", [HERE, "/api/v1/rooms"])
async def test_every_request_is_a_command(
    browse: Browsers, room: Room, ada: User, settings: Settings, path: str
) -> None:
    settings.HEADGATE = {"LIMITS": {"command": "2/min"}}
    browser = await browse(ada)
    answers = [await browser.get(path) for _ in range(3)]

    assert [each.status_code for each in answers] == [200, 200, 429]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{HERE}/messages", {"text": ""}),
        ("PATCH", f"{HERE}/messages/1", {"text": ""}),
        ("DELETE", f"{HERE}/messages/-1", None),
        ("POST", "/api/v1/connect", {"rooms": "general"}),
        ("POST", "/ws/chat/general/", {"message": ""}),
    ],
)
async def test_what_is_malformed_is_a_request_too(
    browse: Browsers,
    room: Room,
    ada: User,
    settings: Settings,
    method: str,
    path: str,
    body: Any,
) -> None:
    settings.HEADGATE = {"LIMITS": {"command": "2/min"}}
    browser = await browse(ada)
    statuses = [
        (await browser.request(method, path, json=body)).status_code for _ in range(3)
    ]

    assert statuses == [400, 400, 429]


async def test_guests_are_counted_by_their_address(
    browse: Browsers, room: Room
) -> None:
    first, second = await browse(), await browse()
    for n in range(10):
        await first.post(f"{HERE}/messages", json={"text": f"m{n}"})
    answer = await second.post(f"{HERE}/messages", json={"text": "from another"})

    assert problem_of(answer) == (429, "rate_limited")


async def test_a_forwarded_address_is_not_believed(
    browse: Browsers, room: Room
) -> None:
    browser = await browse()
    answers = [
        await browser.post(
            f"{HERE}/messages",
            json={"text": "hi"},
            headers={"X-Forwarded-For": f"203.0.113.{n}"},
        )
        for n in range(11)
    ]

    assert answers[-1].status_code == 429


async def test_behind_a_proxy_it_is(
    browse: Browsers, room: Room, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True, "TRUSTED_PROXIES": 1}
    browser = await browse()
    answers = [
        await browser.post(
            f"{HERE}/messages",
            json={"text": "hi"},
            headers={"X-Forwarded-For": f"198.51.100.{n % 2}"},
        )
        for n in range(22)
    ]

    assert [each.status_code for each in answers] == [201] * 20 + [429] * 2


async def test_limits_tells_what_is_left_and_costs_nothing(
    browse: Browsers, room: Room, ada: User
) -> None:
    browser = await browse(ada)
    await browser.post(f"{HERE}/messages", json={"text": "hi"})
    for _ in range(100):
        answer = await browser.get("/api/v1/limits?room=general")

    found = {
        (each["policy"], each.get("room")): each for each in answer.json()["limits"]
    }
    assert found["command", None]["remaining"] == 59
    assert found["send.all", None]["remaining"] == 19
    assert found["send", "general"]["remaining"] == 9
    assert "remaining" not in found["send", None]


async def test_limits_of_a_room_that_is_not_ones_own(
    browse: Browsers, room: Room, ada: User
) -> None:
    answer = await (await browse(ada)).get("/api/v1/limits?room=nowhere")

    assert problem_of(answer) == (404, "not_found")


async def test_the_descriptor_tells_the_policies(
    browse: Browsers, room: Room, ada: User
) -> None:
    answer = await (await browse(ada)).post("/api/v1/connect", json={})

    assert {each["policy"] for each in answer.json()["limits"]} == {
        "command",
        "send",
        "send.all",
        "typing",
        "history",
    }


async def test_a_page_of_another_origin_may_read_the_fields(
    browse: Browsers, room: Room, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {"ALLOWED_ORIGINS": ["https://a.example"], "GUESTS": True}
    browser = await browse()
    answer = await browser.get(HERE, headers={"Origin": "https://a.example"})

    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)


async def test_a_flood_writes_no_line_for_each_request(
    browse: Browsers, room: Room, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await browse(ada)
    caplog.set_level("INFO")
    statuses = [
        (await browser.post(f"{HERE}/messages", json={"text": f"m{n}"})).status_code
        for n in range(16)
    ]

    assert statuses.count(429) == 6
    said = [each.getMessage() for each in caplog.records if "httpx" not in each.name]
    assert [text for text in said if "Too Many" in text or "refused" in text] == [
        f"refused policy=send key={{u:{ada.pk}}}/general"
    ]
