"""Places for open connections: counted in one process, and by many in Redis."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pytest_django import Settings

from headgate.chat import leased_places
from headgate.chat.leased_places import LeasedPlaces
from headgate.chat.open_places import (
    LocalPlaces,
    close_open_places,
    local_places,
    open_places,
)
from tests.chat.leasing import (
    ADA,
    PREFIX,
    Processes,
    field_counts,
    processes_fixture,  # noqa: F401
    taken_at_last,
)
from tests.limits.worlds import eventually as eventually_sync
from tests.redis_server import RedisServer
from tests.redis_server import redis_server as running_redis
from tests.relay.ears import eventually

KEY = f"{PREFIX}:connect.open::{{u:1}}"


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for Redis for as long as a busy machine takes."""
    monkeypatch.setattr("headgate.chat.shared_redis.TIMEOUT_SECONDS", 20.0)


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased_places, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(leased_places, "RENEW_SECONDS", 0.1)


# --- in one process ------------------------------------------------------------


@pytest.fixture
def hurried() -> Iterator[None]:
    """Switch threads as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


async def test_a_place_is_taken_and_given_back() -> None:
    places = LocalPlaces()

    assert [await places.take(ADA, 2) for _ in range(3)] == [True, True, False]
    places.give(ADA)
    assert [await places.take(ADA, 2) for _ in range(2)] == [True, False]
    assert places.counts() == {ADA: 2}
    places.give(ADA)
    places.give(ADA)
    assert places.counts() == {}


def test_threads_take_exactly_the_cap(hurried: None) -> None:
    places, barrier = LocalPlaces(), threading.Barrier(8)
    keys = [("connect.open", f"{{u:{number}}}") for number in range(5000)]

    def take() -> int:
        barrier.wait()
        return sum(places.take_now(key, 1) for key in keys)

    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(take) for _ in range(8)]
        assert sum(each.result() for each in found) == 5000


async def test_the_settings_say_where(
    settings: Settings, redis_server: RedisServer
) -> None:
    settings.HEADGATE = {}
    assert open_places() is local_places
    settings.HEADGATE = {"REDIS": redis_server.url}
    first = open_places()
    assert isinstance(first, LeasedPlaces)
    assert open_places() is first
    settings.SECRET_KEY = "that of another installation"
    assert open_places() is not first

    await close_open_places()


# --- together ------------------------------------------------------------------


async def test_all_take_exactly_the_cap(processes: Processes) -> None:
    made = [processes() for _ in range(4)]
    found = await asyncio.gather(*(each.taken(300, cap=37) for each in made))

    assert sum(found) == 37
    assert [each.counts() for each in made] == found


async def test_at_the_cap_the_new_one_is_refused_and_no_old_one_is_given_up(
    processes: Processes, redis_server: RedisServer
) -> None:
    one, two = processes(), processes()
    assert await one.taken(3, cap=3) == 3

    assert await two.taken(5, cap=3) == 0
    assert await two.taken(1, cap=4) == 1
    assert await one.taken(5, cap=2) == 0  # a lower cap
    assert field_counts(redis_server) == {KEY: [1, 3]}


async def test_what_is_given_back_is_to_be_had_by_all(
    processes: Processes, redis_server: RedisServer
) -> None:
    one, two = processes(), processes()
    assert await one.taken(5, cap=5) == 5
    one.give(ADA)
    one.give(ADA)
    await eventually(lambda: field_counts(redis_server) == {KEY: [3]})

    assert await two.taken(5, cap=5) == 2


async def test_many_that_are_given_back_at_once_are_told_together(
    processes: Processes, redis_server: RedisServer
) -> None:
    one = processes()
    assert await one.taken(1000, cap=1000) == 1000
    before = redis_server.calls()
    for _ in range(1000):
        one.give(ADA)
    await eventually(lambda: field_counts(redis_server) == {})

    assert redis_server.calls() == before + 1


async def test_each_key_is_counted_by_itself(
    processes: Processes, redis_server: RedisServer
) -> None:
    one = processes()
    places = [(cap, key) for cap in ("a", "a.b") for key in ("{u:1}", "{u:2}", "{::1}")]
    for _ in range(2):
        assert all([await one.take(each, cap=2) for each in places])

    assert not any([await one.take(each, cap=2) for each in places])
    assert len(field_counts(redis_server)) == len(places)


async def test_nothing_is_left_when_all_is_given_back(
    processes: Processes, redis_server: RedisServer
) -> None:
    one = processes()
    places = [("connect.open", f"{{u:{number}}}") for number in range(500)]
    assert all(await asyncio.gather(*(one.take(each, 1) for each in places)))
    assert len(field_counts(redis_server)) == 500
    for each in places:
        one.give(each)

    await eventually(lambda: one._telling is None)
    assert field_counts(redis_server) == {}
    assert [one._held, one._due, one._owed, one._wanted] == [{}] * 4


async def test_who_goes_away_while_waiting_takes_no_place(
    processes: Processes, redis_server: RedisServer
) -> None:
    """At whatever point: also in the turn in which it was decided."""
    one = processes()
    await one.taken(1, cap=100)
    for turns in range(60):
        asking = [asyncio.create_task(one.take(ADA, 100)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for each in asking[:2]:
            each.cancel()
        stays = await asyncio.gather(*asking, return_exceptions=True)
        held = sum(each is True for each in stays)
        assert held >= 1
        await eventually(lambda: not one._due and not one._wanted)
        assert one.counts() == 1 + held
        for _ in range(held):
            one.give(ADA)
        await eventually(lambda: field_counts(redis_server) == {KEY: [1]})


# --- by lease ------------------------------------------------------------------


async def test_the_places_of_a_process_that_dies_are_free_soon(
    processes: Processes, short_leases: None
) -> None:
    one, two = processes(), processes()
    assert await one.taken(3, cap=3) == 3
    assert await two.taken(1, cap=3) == 0
    await one.die()

    assert await taken_at_last(two, ADA, 3) > 0
    assert await two.taken(5, cap=3) == 2


async def test_whoever_lives_keeps_theirs(
    processes: Processes, redis_server: RedisServer, short_leases: None
) -> None:
    one, two = processes(), processes()
    assert await one.taken(3, cap=3) == 3
    calls = redis_server.calls()
    # Each renewal is one call; together they take longer than a lease.
    await eventually(lambda: redis_server.calls() > calls + 10)

    assert await two.taken(1, cap=3) == 0
    assert field_counts(redis_server) == {KEY: [3]}


async def test_thousands_are_renewed_in_slices_and_nobody_waits_for_all_of_them(
    processes: Processes, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = processes()
    places = [("connect.open", f"{{u:{number}}}") for number in range(3000)]
    assert all(await asyncio.gather(*(one.take(each, 1) for each in places)))
    trips: list[int] = []
    ask = one._script.ask

    async def counted(questions: list[list[str | int]]) -> object:
        trips.append(len(questions))
        return await ask(questions)

    monkeypatch.setattr(one._script, "ask", counted)
    monkeypatch.setattr(leased_places, "RENEW_SECONDS", 0.0)
    before = redis_server.calls()
    one._due |= dict.fromkeys(one._held)
    one._tell()
    await eventually(lambda: len(trips) > 3)
    began = len(trips)
    assert await one.take(("connect.address.open", "{::1}"), 1)
    assert len(trips) - began <= 3
    await eventually(lambda: redis_server.calls() >= before + 3001)
    assert max(trips) <= leased_places.MOST_AT_ONCE


async def test_every_key_has_an_end(
    processes: Processes, redis_server: RedisServer
) -> None:
    one, two = processes(), processes()
    await one.taken(2, cap=5)
    await two.taken(2, cap=5)
    two.give(ADA)
    await eventually(lambda: field_counts(redis_server) == {KEY: [1, 2]})
    with redis_server.client() as client:
        left_ms = client.pttl(KEY)

    assert 0 < left_ms <= 30_000


async def test_an_end_that_the_servers_clock_left_far_ahead_is_none(
    processes: Processes, redis_server: RedisServer
) -> None:
    """As when the clock goes back by a day: nobody is kept out for so long."""
    with redis_server.client() as client:
        seconds, _ = client.time()
        client.hset(KEY, "before", f"5 {(seconds + 86_400) * 1000}")
        client.hset(KEY, "over", f"5 {seconds * 1000 - 1}")
        client.hset(KEY, "strange", "5")
        client.hset(KEY, "good", f"1 {(seconds + 20) * 1000}")

    assert await processes().taken(9, cap=5) == 4
    assert field_counts(redis_server) == {KEY: [1, 4]}


# --- the end -------------------------------------------------------------------


async def test_closed_all_is_given_back_at_once(
    processes: Processes, redis_server: RedisServer
) -> None:
    before = asyncio.all_tasks()
    one, two = processes(), processes()
    places = [("connect.open", f"{{u:{number}}}") for number in range(1000)]
    assert all(await asyncio.gather(*(one.take(each, 1) for each in places)))
    one.give(places[0])
    await one.close()

    assert field_counts(redis_server) == {}
    assert len(one.local.counts()) == 999  # still open, as far as they know here
    for each in places[1:]:
        one.give(each)
    assert one.local.counts() == {}
    assert asyncio.all_tasks() == before
    assert await two.take(places[5], 1)


async def test_closed_amid_questions_nothing_is_left(
    processes: Processes, redis_server: RedisServer
) -> None:
    for turns in range(1, 40):
        one = processes()
        asking = [asyncio.create_task(one.take(ADA, 5)) for _ in range(9)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await one.close()
        found = await asyncio.gather(*asking)
        assert sum(found) == one.counts() == 5
        assert field_counts(redis_server) == {}


# --- on a cluster --------------------------------------------------------------


async def test_keys_have_a_tag_so_that_a_cluster_can_place_them() -> None:
    with running_redis("--cluster-enabled", "yes") as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            eventually_sync(lambda: client.cluster("info")["cluster_state"] == "ok")
            assert client.cluster("keyslot", KEY) == client.cluster("keyslot", "{u:1}")
        made = Processes(server)
        one, two = made(), made()
        assert await one.taken(2, cap=3) == 2
        assert await two.taken(2, cap=3) == 1
        assert server.calls("hset") > 0
        await made.close()
