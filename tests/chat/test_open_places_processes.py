"""Open connections of several processes: exactly the cap, and free when one dies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Protocol

import pytest

from tests.processes import spawn
from tests.redis_server import RedisServer

CAP = 37

# Opens so many connections at once for each number that it reads, and tells how many
# were let in; "close" closes all.
PROCESS = f"""
import asyncio, sys
from django.conf import settings
settings.configure(
    SECRET_KEY="only for tests",
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "headgate.chat",
    ],
    HEADGATE={{
        "REDIS": sys.argv[1],
        "LIMITS": {{"connect.address": "off", "connect.address.open": "{CAP}"}},
    }},
)
import django
django.setup()
from headgate.chat import leased_places, shared_redis
from headgate.chat.arrivals import Arrival, open_connections
from headgate.chat.open_places import close_open_places
shared_redis.TIMEOUT_SECONDS = 20.0
leased_places.LEASE_SECONDS, leased_places.RENEW_SECONDS = 1.5, 0.2

async def main():
    opened = []
    first = Arrival("203.0.113.1")
    assert await first.by_address() is None
    first.over()
    print("ready", flush=True)
    while True:
        asked = await asyncio.to_thread(sys.stdin.readline)
        if asked == "close\\n":
            for each in opened:
                each.over()
            assert open_connections() == {{}}
            await close_open_places()
            print("closed", flush=True)
            return
        arrivals = [Arrival("198.51.100.7") for _ in range(int(asked))]
        errors = await asyncio.gather(*(each.by_address() for each in arrivals))
        let_in = [a for a, error in zip(arrivals, errors) if error is None]
        assert {{e.policy for e in errors if e}} <= {{"connect.address.open"}}
        opened += let_in
        print(len(let_in), flush=True)

asyncio.run(main())
"""

Child = subprocess.Popen[bytes]


class Children(Protocol):
    def __call__(self, count: int) -> list[Child]:
        """Return so many processes that are ready."""


@pytest.fixture
def children(redis_server: RedisServer) -> Iterator[Children]:
    """Start processes; all are ended with the test."""
    made: list[Child] = []

    def start(count: int) -> list[Child]:
        command = [sys.executable, "-c", PROCESS, redis_server.url]
        pipe = subprocess.PIPE
        started = [spawn(command, stdin=pipe, stdout=pipe) for _ in range(count)]
        made.extend(started)
        for each in started:
            assert heard(each) == "ready"
        return started

    yield start
    for each in made:
        each.kill()
        each.communicate()


def say(child: Child, what: object) -> None:
    assert child.stdin is not None
    child.stdin.write(f"{what}\n".encode())
    child.stdin.flush()


def heard(child: Child) -> str:
    assert child.stdout is not None
    return child.stdout.readline().decode().strip()


def opened(child: Child, count: int) -> int:
    """Have a process open so many at once; return how many were let in."""
    say(child, count)
    return int(heard(child))


def test_of_1600_that_4_processes_open_at_once_exactly_the_cap_is_let_in(
    children: Children,
) -> None:
    processes = children(4)
    for each in processes:  # all wait: now they begin together
        say(each, 400)

    assert sum(int(heard(each)) for each in processes) == CAP
    assert [opened(each, 10) for each in processes] == [0] * 4


def test_a_process_that_is_killed_frees_its_places_and_no_others(
    children: Children,
) -> None:
    one, two, three = children(3)
    assert [opened(one, 30), opened(two, 30)] == [30, 7]
    assert opened(three, 30) == 0
    one.kill()

    let_in = 0
    for _ in range(2000):
        let_in += opened(three, 50)
        if let_in:
            break
    assert let_in == 30
    assert opened(three, 50) == 0


def test_a_process_that_ends_in_order_frees_its_places_at_once(
    children: Children,
) -> None:
    one, two = children(2)
    assert [opened(one, 30), opened(two, 30)] == [30, 7]
    say(one, "close")
    assert heard(one) == "closed"

    assert opened(two, 50) == 30
