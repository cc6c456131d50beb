"""Redis stands still, is gone, or starts anew: what becomes of open places."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from headgate.chat import leased_places
from tests.chat.leasing import (
    ADA,
    Process,
    Processes,
    field_counts,
    processes_fixture,  # noqa: F401
)
from tests.redis_server import RedisServer
from tests.relay.ears import eventually

SOON_SECONDS = 3.0  # some time limits, and what a busy machine adds
BACK_SECONDS = 12.0  # the breaker's longest wait, and the same


def changes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage().split()[0]
        for record in caplog.records
        if record.name == "headgate.shared"
    ]


async def away(process: Process) -> None:
    """Ask until it is known that there is no answer, and take nothing."""
    while not process._script.next_try_seconds:
        await process.take(("other", "{k}"), 0)


@pytest.mark.parametrize("how", ["pause", "kill"])
async def test_while_it_is_away_a_process_decides_by_its_own_count(
    processes: Processes,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    caplog.set_level(logging.INFO, "headgate.shared")
    one, two = processes(), processes()
    assert await one.taken(3, cap=5) == 3
    getattr(redis_server, how)()

    began = time.monotonic()
    assert await one.taken(1000, cap=5) == 2
    assert await two.taken(1000, cap=5) == 5
    one.give(ADA)
    for _ in range(100):
        await one.taken(1, cap=5)
    assert time.monotonic() - began < SOON_SECONDS
    assert (one.counts(), two.counts()) == (5, 5)
    await away(one)
    await away(two)
    assert changes(caplog) == ["places_away"] * 2

    redis_server.ready()  # and it has forgotten all
    key = "test:open:connect.open::{u:1}"
    took = await eventually(lambda: field_counts(redis_server) == {key: [5, 5]})
    assert took < BACK_SECONDS
    await eventually(lambda: len(changes(caplog)) == 4)
    assert changes(caplog)[2:] == ["places_back"] * 2
    assert await one.taken(1, cap=10) == 0  # none was given up, and all count
    for _ in range(5):
        two.give(ADA)
    await eventually(lambda: field_counts(redis_server) == {key: [5]})
    assert await two.taken(9, cap=10) == 5


async def test_a_new_one_is_told_what_is_held_at_the_next_renewal(
    processes: Processes, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leased_places, "RENEW_SECONDS", 0.2)
    one = processes()
    places = [("connect.open", f"{{u:{number}}}") for number in range(300)]
    found = await asyncio.gather(*(one.take(each, 1) for each in places))
    assert all(found)
    redis_server.restart()

    await eventually(lambda: len(field_counts(redis_server)) == 300)


async def test_after_an_outage_all_is_told_at_once(
    processes: Processes, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leased_places, "RENEW_SECONDS", 3600.0)
    one = processes()
    places = [("connect.open", f"{{u:{number}}}") for number in range(300)]
    assert all(await asyncio.gather(*(one.take(each, 1) for each in places)))
    redis_server.kill()
    await away(one)
    redis_server.start()

    took = await eventually(lambda: len(field_counts(redis_server)) == 300)
    assert took < BACK_SECONDS


async def test_what_is_given_back_meanwhile_is_told_afterwards(
    processes: Processes, redis_server: RedisServer
) -> None:
    one, two = processes(), processes()
    assert await one.taken(4, cap=5) == 4
    redis_server.pause()
    await away(one)
    for _ in range(4):
        one.give(ADA)
    redis_server.resume()

    took = await eventually(lambda: field_counts(redis_server) == {})
    assert took < BACK_SECONDS
    assert await two.taken(9, cap=5) == 5


async def test_what_is_owed_is_bounded(
    processes: Processes, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leased_places, "MAX_OWED", 100)
    one = processes()
    redis_server.kill()
    await away(one)
    for number in range(1000):
        place = ("connect.open", f"{{u:{number}}}")
        assert await one.take(place, 1)
        one.give(place)
    assert await one.taken(2, cap=2) == 2  # which is held, and not forgotten

    assert len(one._owed) <= 100
    assert len(one._held) <= 101
    assert len(one._due) <= 101
    assert one.counts() == 2


async def test_others_on_the_loop_are_not_held_up(
    processes: Processes, redis_server: RedisServer
) -> None:
    one = processes()
    places = [("connect.open", f"{{u:{number}}}") for number in range(2000)]
    assert all(await asyncio.gather(*(one.take(each, 1) for each in places)))
    longest, ended = 0.0, asyncio.Event()

    async def heartbeat() -> None:
        nonlocal longest
        last = time.monotonic()
        while not ended.is_set():
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - last)
            last = time.monotonic()

    beating = asyncio.create_task(heartbeat())
    redis_server.pause()
    for each in places:  # they all go at once
        one.give(each)
    await away(one)
    redis_server.resume()
    await eventually(lambda: one._telling is None)
    assert field_counts(redis_server) == {}
    ended.set()
    await beating

    assert longest < 0.5


@pytest.mark.parametrize("how", ["pause", "kill"])
async def test_closed_without_an_answer_it_ends_soon(
    processes: Processes, redis_server: RedisServer, how: str
) -> None:
    before = asyncio.all_tasks()
    one = processes()
    assert await one.taken(3, cap=5) == 3
    getattr(redis_server, how)()
    began = time.monotonic()
    asking = asyncio.create_task(one.take(ADA, 5))
    await asyncio.sleep(0)
    await one.close()

    assert await asking
    assert time.monotonic() - began < SOON_SECONDS
    assert asyncio.all_tasks() - {asking} == before
    redis_server.ready()
