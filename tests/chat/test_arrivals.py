"""How often one may connect, and how many connections may be open."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat.arrivals import Arrival, address_of, open_connections
from headgate.chat.installation import namespace
from headgate.chat.leased_places import LeasedPlaces
from headgate.chat.models import Room
from headgate.chat.open_places import LocalPlaces, close_open_places
from headgate.testing.limits_clock import LimitsClock
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.leasing import taken_at_last
from tests.chat.talker import Talkers, talk_fixture  # noqa: F401
from tests.redis_server import RedisServer

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


@pytest.fixture
async def other_process(
    settings: Settings, redis_server: RedisServer
) -> AsyncIterator[LeasedPlaces]:
    """Another process that counts in the same Redis."""
    other = LeasedPlaces(redis_server.url, f"{namespace()}:open", LocalPlaces())
    settings.HEADGATE = {
        "GUESTS": True,
        "REDIS": redis_server.url,
        "LIMITS": {"connect.open": "3", "connect.address.open": "5"},
    }
    yield other
    await other.close()
    await close_open_places()


async def test_with_redis_all_processes_count_together(
    talk: Talkers, room: Room, ada: User, grace: User, other_process: LeasedPlaces
) -> None:
    person = ("connect.open", f"{{u:{ada.pk}}}")
    assert await other_process.take(person, 3)
    first, second = await talk(ada), await talk(ada)
    third = await talk.raw(ada)
    await third.say({"cmd": "hello", "id": 1})
    said = await third.reply(1)

    assert said["error"]["policy"] == "connect.open"
    assert (await third.closed()).code == 4013
    assert not await other_process.take(person, 3)
    assert open_connections()[person] == 2
    assert (await talk(grace)).welcome["push"] == "welcome"
    for old in (first, second):
        assert "error" not in await old.ask("ping")


async def test_with_redis_the_cap_of_an_address_is_that_of_all(
    talk: Talkers, room: Room, ada: User, other_process: LeasedPlaces
) -> None:
    address = ("connect.address.open", "{127.0.0.1}")
    for _ in range(4):
        assert await other_process.take(address, 5)
    mine = await talk()
    refused = await talk.raw(ada)
    await refused.closed()
    assert refused.pushes[0]["error"]["policy"] == "connect.address.open"
    await talk.end(mine)

    await taken_at_last(other_process, address, 5)  # nobody waited for the giving
    assert open_connections() == {}


async def test_where_the_cap_is_off_redis_is_not_asked(
    settings: Settings, redis_server: RedisServer, other_process: LeasedPlaces
) -> None:
    settings.HEADGATE |= {"LIMITS": {"connect.address.open": "off"}}
    arrivals = [Arrival("203.0.113.9") for _ in range(20)]

    assert [await each.by_address() for each in arrivals] == [None] * 20
    assert list(open_connections().values()) == [20]
    assert redis_server.calls() == redis_server.calls("eval") == 0
    for each in arrivals:
        each.over()
    assert open_connections() == {}


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
