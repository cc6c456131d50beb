"""Whether somebody is connected: here, in another process, or nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pytest_django import Settings

from headgate.chat import leased_places
from headgate.chat.arrivals import Arrival
from headgate.chat.installation import namespace
from headgate.chat.leased_places import LeasedPlaces
from headgate.chat.open_places import LocalPlaces, close_open_places
from headgate.chat.people import Actor
from headgate.chat.whereabouts import close_whereabouts, is_connected
from tests.redis_server import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)

ADA = ("connect.open", "{u:1}")


@pytest.fixture(autouse=True)
async def _closed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr("headgate.chat.shared_redis.TIMEOUT_SECONDS", 20.0)
    yield
    await close_whereabouts()
    await close_open_places()


@pytest.fixture
async def elsewhere(
    redis_server: RedisServer, settings: Settings
) -> AsyncIterator[LeasedPlaces]:
    """The places of another process of the same installation."""
    settings.HEADGATE = {"REDIS": redis_server.url}
    places = LeasedPlaces(redis_server.url, f"{namespace()}:open", LocalPlaces())
    yield places
    await places.close()


async def test_in_this_process_it_is_known() -> None:
    arrival = Arrival("198.51.100.7")
    assert not await is_connected("u:1")
    assert await arrival.by_person(Actor("u:1", "Ada")) is None
    assert await is_connected("u:1")
    assert not await is_connected("u:2")
    arrival.over()
    assert not await is_connected("u:1")


async def test_of_another_process_it_is_known_by_redis(elsewhere: LeasedPlaces) -> None:
    assert not await is_connected("u:1")
    assert await elsewhere.take(ADA, 10)
    assert await elsewhere.take(ADA, 10)
    assert await is_connected("u:1")
    assert not await is_connected("u:12")
    elsewhere.give(ADA)
    assert await is_connected("u:1")
    elsewhere.give(ADA)
    async with asyncio.timeout(60):
        while await is_connected("u:1"):  # noqa: ASYNC110 - until Redis is told
            await asyncio.sleep(0.01)


async def test_a_process_that_died_is_forgotten(
    elsewhere: LeasedPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leased_places, "LEASE_SECONDS", 0.5)
    assert await elsewhere.take(ADA, 10)
    assert await is_connected("u:1")
    telling = elsewhere._telling
    assert telling is not None
    telling.cancel()  # as by kill -9: it tells nobody any more
    async with asyncio.timeout(60):
        while await is_connected("u:1"):  # noqa: ASYNC110 - until its lease ends
            await asyncio.sleep(0.05)


async def test_while_redis_is_away_this_process_alone_counts(
    elsewhere: LeasedPlaces, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.chat.shared_redis.TIMEOUT_SECONDS", 0.2)
    assert await elsewhere.take(ADA, 10)
    redis_server.stop()
    assert not await is_connected("u:1")
    arrival = Arrival("198.51.100.7")
    assert await arrival.by_person(Actor("u:1", "Ada")) is None
    assert await is_connected("u:1")
    arrival.over()
