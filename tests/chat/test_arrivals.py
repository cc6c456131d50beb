"""How often one may connect, and how many connections may be open."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat.arrivals import Arrival, address_of, open_connections
from headgate.chat.models import Room
from headgate.testing.limits_clock import LimitsClock
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.talker import Talkers, talk_fixture  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.limits]


@pytest.fixture(autouse=True)
def _limited(settings: Settings, limits_clock: LimitsClock) -> None:
    settings.HEADGATE = {"GUESTS": True}


def limited(settings: Settings, **limits: str) -> None:
    names = {name.replace("__", "."): rate for name, rate in limits.items()}
    settings.HEADGATE = {"GUESTS": True, "LIMITS": names}


async def test_a_person_connects_so_often(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    limited(settings, connect="2/min")
    await talk(ada)
    await talk(ada)
    third = await talk.raw(ada)
    await third.say({"cmd": "hello", "id": 1})
    said = await third.reply(1)
    ended = await third.closed()

    assert said["error"]["code"] == "rate_limited"
    assert said["error"]["policy"] == "connect"
    assert said["error"]["retry_after_ms"] == 30_000
    assert (ended.code, ended.reason) == (4013, "Too many connections.")


async def test_waiting_it_out_lets_one_in(
    talk: Talkers,
    room: Room,
    ada: User,
    settings: Settings,
    limits_clock: LimitsClock,
) -> None:
    limited(settings, connect="2/min")
    await talk(ada)
    await talk(ada)
    limits_clock.advance(30)

    assert (await talk(ada)).welcome["push"] == "welcome"


async def test_plain_mode_says_it_too(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    limited(settings, connect="1/min")
    await talk(ada)
    second = await talk.raw(ada, subprotocols=())
    ended = await second.closed()

    (said,) = second.pushes
    assert (said["error"], said["policy"]) == ("rate_limited", "connect")
    assert ended.code == 4013


async def test_an_address_connects_so_often(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    limited(settings, connect__address="1/min")
    await talk()
    second = await talk.raw(ada)
    ended = await second.closed()

    assert second.pushes[0]["error"]["policy"] == "connect.address"
    assert ended.code == 4013


async def test_at_the_cap_the_new_one_is_refused_and_the_old_stay(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    limited(settings, connect__open="2")
    first, second = await talk(ada), await talk(ada)
    third = await talk.raw(ada)
    await third.say({"cmd": "hello", "id": 1})
    said = await third.reply(1)
    ended = await third.closed()

    assert said["error"]["policy"] == "connect.open"
    assert said["error"]["text"] == "2 connections are open already."
    assert said["error"]["retry_after_ms"] > 0
    assert ended.code == 4013
    for old in (first, second):
        assert "error" not in await old.ask("ping")


async def test_a_place_that_is_free_again_is_taken(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    limited(settings, connect__open="1")
    await talk.end(await talk(ada))

    assert (await talk(ada)).welcome["push"] == "welcome"


async def test_nothing_is_left_when_all_are_gone(
    talk: Talkers, room: Room, ada: User
) -> None:
    for who in (ada, ada, None):
        await talk.end(await talk(who))
    await talk.end(await talk.raw(ada))  # never said hello

    assert open_connections() == {}


async def test_the_cap_of_an_address(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    limited(settings, connect__address__open="1")
    await talk()
    second = await talk.raw(ada)
    await second.closed()

    assert second.pushes[0]["error"]["policy"] == "connect.address.open"


async def test_a_stream_is_a_connection_too(
    browse: Browsers, room: Room, ada: User, settings: Settings
) -> None:
    limited(settings, connect__open="off", connect="1/min")
    assert await Arrival("203.0.113.9").by_person(await _actor(ada)) is None
    answer = await (await browse(ada)).get("/api/v1/stream?rooms=general")

    assert problem_of(answer) == (429, "rate_limited")
    assert answer.json()["policy"] == "connect"
    assert answer.headers["retry-after"] == "60"
    assert '"connect";r=0;t=60' in answer.headers["ratelimit"]


async def _actor(user: User) -> object:
    from headgate.chat.people import actor_for

    return actor_for(user)


async def test_tickets_are_counted_by_themselves(
    browse: Browsers, talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    limited(settings, connect="1/min")
    browser = await browse(ada)
    first = await browser.post("/api/v1/connect", json={"rooms": ["general"]})
    second = await browser.post("/api/v1/connect", json={"rooms": ["general"]})

    assert first.status_code == 200
    assert problem_of(second) == (429, "rate_limited")
    # What the first ticket is for is still to be had.
    assert (await talk(ada)).welcome["push"] == "welcome"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "198.51.100.7", "127.0.0.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "203.0.113.1, 198.51.100.7", "198.51.100.7"),
        (2, "203.0.113.1, 198.51.100.7", "203.0.113.1"),
        (2, "198.51.100.7", "127.0.0.1"),
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ],
)
def test_what_a_client_writes_is_not_believed(
    settings: Settings, proxies: int, forwarded: str, expected: str
) -> None:
    settings.HEADGATE = {"TRUSTED_PROXIES": proxies}
    scope = {
        "client": ("127.0.0.1", 5000),
        "headers": [(b"x-forwarded-for", forwarded.encode())],
    }

    assert address_of(scope) == expected
