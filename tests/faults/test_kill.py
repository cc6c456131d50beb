"""`kill -9` of the server and of PostgreSQL while people write.

What was acknowledged is there exactly once with the seq that was told, and whoever
watches sees 1, 2, 3, … all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import sys
import time
from collections import Counter

import psycopg
import pytest

from tests.conftest import Serve
from tests.e2e.bare import Bare, welcomed
from tests.faults.traffic import Traffic, logs_of, until
from tests.steady import BUSY_SECONDS, SteadyClock

KILLS = 5
BACK_SECONDS = 5.0 + BUSY_SECONDS  # from the database's return until sending goes on
OTHERS = (
    "FROM pg_stat_activity WHERE backend_type = 'client backend' "
    "AND pid <> pg_backend_pid() AND datname LIKE 'headgate_%'"
)


@pytest.mark.timeout(720)
async def test_kill_the_server(serve: Serve, database_url: str | None) -> None:
    server = serve("--guests", "--demo", database_url=database_url)
    dice = random.Random(4)

    traffic = Traffic(server.url, senders=4, watchers=2)
    async with traffic:
        for _ in range(KILLS):
            await traffic.until(more=dice.randint(50, 150))
            server.kill()
            await asyncio.to_thread(server.restart)
        await traffic.until(more=100)

    assert len(traffic.acknowledged) > 50 * KILLS
    traffic.judge(await logs_of(server.url))


async def ask_on(bare: Bare, traffic: Traffic, enough: asyncio.Event) -> Counter[str]:
    """Send without our client, and again what is refused; return the refusals.

    The socket has to stay open whatever happens behind the server.
    """
    refusals: Counter[str] = Counter()
    numbers = itertools.count(1)
    while not enough.is_set():
        client_id = f"bare-{next(numbers)}"
        said = {"room": "random", "client_id": client_id, "text": f"I am {client_id}"}
        while True:
            reply = await bare.ask(cmd="send", id=next(numbers), **said)
            if "error" not in reply:
                break
            refusals[reply["error"]["code"]] += 1
            assert 0 < reply["error"]["retry_after_ms"] <= 5000
            await asyncio.sleep(reply["error"]["retry_after_ms"] / 1000)
        traffic.acknowledged["random", client_id] = (reply["seq"], said["text"])
    return refusals


def terminate(url: str) -> None:
    """End all connections of the server to its database."""
    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(f"SELECT pg_terminate_backend(pid) {OTHERS}")
        assert ended.fetchall()


def crash(url: str) -> None:
    """`kill -9` one process of PostgreSQL: it ends all others and recovers its log."""
    with psycopg.connect(url, autocommit=True) as connection:
        pids = [pid for (pid,) in connection.execute(f"SELECT pid {OTHERS}")]
        os.kill(pids[0], signal.SIGKILL)
        with contextlib.suppress(psycopg.OperationalError):
            while True:  # until it has noticed
                connection.execute("SELECT 1")


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.timeout(720)
async def test_kill_postgresql(
    own_postgres_url: str, serve: Serve, steady: SteadyClock
) -> None:
    server = serve("--guests", "--demo", database_url=own_postgres_url)
    dice = random.Random(5)
    enough = asyncio.Event()

    async with welcomed(server.ws_url) as bare:
        traffic = Traffic(server.url, senders=3, watchers=2)
        async with traffic:
            asking = asyncio.create_task(ask_on(bare, traffic, enough))
            for fault in (terminate, crash, terminate, crash):
                await traffic.until(more=dice.randint(100, 200))
                await asyncio.to_thread(fault, own_postgres_url)
                await until(lambda: answers(own_postgres_url), "PostgreSQL is back")
                began = time.monotonic()
                await traffic.until(more=30)
                back = steady.since(began)
                assert back < BACK_SECONDS
                sys.stderr.write(f"{fault.__name__}: back in {back:.2f} s\n")
            enough.set()
            refusals = await asking

    assert set(refusals) == {"unavailable"}
    traffic.judge(await logs_of(server.url))
