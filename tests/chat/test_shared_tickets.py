"""Used tickets in a Redis that all processes share."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest
import redis
from pytest_django import Settings

from headgate.chat import used_tickets
from headgate.chat.installation import namespace
from headgate.chat.people import new_guest
from headgate.chat.tickets import TICKET_SECONDS, issue_ticket
from headgate.chat.used_tickets import UsedTickets, close_used_tickets, is_first_use
from headgate.limits.joined_questions import JoinedQuestions
from tests.redis_server import RedisServer
from tests.relay.ears import eventually

SOON_SECONDS = 3.0  # some time limits, and what a busy machine adds


@pytest.fixture(autouse=True)
async def _on_redis(
    settings: Settings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    settings.HEADGATE = {"REDIS": redis_server.url, "GUESTS": True}
    monkeypatch.setattr(used_tickets, "_used", UsedTickets())
    yield
    await close_used_tickets()


@pytest.fixture
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for Redis for as long as a busy machine takes."""
    monkeypatch.setattr("headgate.chat.shared_redis.TIMEOUT_SECONDS", 20.0)


def in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be another process from now on, as one that was forked: without its memory."""
    monkeypatch.setattr(used_tickets, "_used", UsedTickets())


async def used(nonce: int, lives_seconds: float = 30.0) -> bool:
    return await is_first_use(nonce, time.time() + lives_seconds)


def changes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage().split()[0]
        for record in caplog.records
        if record.name == "headgate.shared"
    ]


async def test_each_is_good_once_for_all(
    no_hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await used(1)
    in_another_process(monkeypatch)

    assert [await used(1), await used(2), await used(2)] == [False, True, False]


async def test_its_own_memory_spares_a_process_the_question(
    no_hurry: None, redis_server: RedisServer
) -> None:
    found = await asyncio.gather(*(used(1) for _ in range(1000)))

    assert sum(found) == 1
    assert redis_server.calls("set") == 1


async def test_many_at_once_go_together(
    no_hurry: None, redis_server: RedisServer
) -> None:
    found = await asyncio.gather(*(used(nonce) for nonce in range(2000)))

    assert all(found)
    with redis_server.client() as client:
        assert len(client.client_list()) == 2  # this one, and the only other


async def test_it_is_kept_until_it_is_too_old_by_any_clock(
    no_hurry: None, redis_server: RedisServer
) -> None:
    await used(7, lives_seconds=600)
    with redis_server.client() as client:
        left_ms = client.pttl(f"{namespace()}:ticket:7")

    assert 650_000 < left_ms <= 660_000


async def test_installations_are_apart(
    no_hurry: None, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await used(1)
    in_another_process(monkeypatch)
    settings.SECRET_KEY = "that of another installation"

    assert await used(1)


async def test_an_answer_that_is_lost_costs_nobody_their_ticket(
    no_hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question is sent again, and Redis knows the ticket by then."""
    assert await used(0)  # gives it the script
    trip, found = JoinedQuestions._trip, []

    async def lossy(
        self: JoinedQuestions, questions: list[list[str | int]]
    ) -> list[object]:
        found.append(await trip(self, questions))
        if len(found) == 1:
            raise redis.ConnectionError("lost")
        return found[-1]

    monkeypatch.setattr(JoinedQuestions, "_trip", lossy)

    assert await used(1)
    assert found == [[[1]], [[1]]]
    in_another_process(monkeypatch)
    assert not await used(1)


@pytest.mark.parametrize("how", ["pause", "kill"])
async def test_while_redis_is_away_a_process_remembers_by_itself(
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    caplog.set_level(logging.INFO, "headgate.shared")
    assert await used(1)
    getattr(redis_server, how)()

    began = time.monotonic()
    found = [await used(nonce) for nonce in [1, *range(10, 200), *range(10, 200)]]
    assert time.monotonic() - began < SOON_SECONDS
    assert found == [False] + [True] * 190 + [False] * 190
    assert changes(caplog) == ["tickets_away"]

    redis_server.ready()
    numbers = iter(range(1000, 100_000))

    async def back() -> None:
        while len(changes(caplog)) < 2:
            assert await used(next(numbers))
            await asyncio.sleep(0.02)

    await asyncio.wait_for(back(), 20)
    assert changes(caplog) == ["tickets_away", "tickets_back"]
    assert await used(2)
    in_another_process(monkeypatch)
    assert not await used(2)


async def test_closed_while_somebody_waits_their_own_memory_decides(
    no_hurry: None, redis_server: RedisServer
) -> None:
    await used(1)
    redis_server.pause()
    waiting = asyncio.create_task(used(2))
    for _ in range(20):  # until the question is on its way
        await asyncio.sleep(0)
    await close_used_tickets()

    assert await asyncio.wait_for(waiting, 5)
    redis_server.ready()
    with redis_server.client() as client:
        await eventually(lambda: len(client.client_list()) == 1)


ANOTHER_PROCESS = """
import asyncio, json, sys
from django.conf import settings
settings.configure(
    SECRET_KEY="only for tests",
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "headgate.chat",
    ],
    HEADGATE={"REDIS": sys.argv[1], "GUESTS": True},
)
import django
django.setup()
from headgate.chat import shared_redis
from headgate.chat.tickets import TicketRefused, redeem_ticket
from headgate.chat.used_tickets import close_used_tickets
shared_redis.TIMEOUT_SECONDS = 20.0

async def redeem(ticket):
    try:
        await redeem_ticket(ticket)
    except TicketRefused:
        return False
    return True

async def main():
    tickets = json.loads(sys.stdin.readline())
    await redeem(tickets.pop())  # connects
    print("ready", flush=True)
    sys.stdin.readline()
    print(sum(await asyncio.gather(*map(redeem, tickets))))
    await close_used_tickets()

asyncio.run(main())
"""


def test_processes_that_share_a_redis_take_each_once(redis_server: RedisServer) -> None:
    tickets = [
        issue_ticket(new_guest(None), lives_seconds=TICKET_SECONDS) for _ in range(200)
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ANOTHER_PROCESS, redis_server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    try:
        for each in processes:
            assert each.stdin is not None
            own = issue_ticket(new_guest(None), lives_seconds=TICKET_SECONDS)
            each.stdin.write(json.dumps([*tickets, own]) + "\n")
            each.stdin.flush()
        for each in processes:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in processes:  # all wait: now they begin together
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        found = [int(each.communicate(timeout=40)[0]) for each in processes]
    finally:
        for each in processes:
            each.kill()
            each.communicate()

    assert sum(found) == 200
