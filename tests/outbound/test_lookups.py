"""Looking names up: once for all who ask, and bounded in time and number."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from headgate.outbound import lookups
from headgate.outbound.lookups import (
    Lookups,
    NotFound,
    NotLookedUp,
    system_addresses,
)
from tests.outbound.name_server import NameServer


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Set when names may be answered; at the end at the latest."""
    found = threading.Event()
    yield found
    found.set()


async def test_who_asks_at_once_is_answered_together(gate: threading.Event) -> None:
    names = NameServer({"a.test": [["192.0.2.1"]]})

    def resolve(host: str) -> list[str]:
        gate.wait(30)
        return names.resolve(host)

    found = Lookups(resolve)
    asked = [asyncio.create_task(found.addresses("a.test")) for _ in range(50)]
    await asyncio.sleep(0)
    asked[0].cancel()  # which ends nothing for the others
    gate.set()
    results = await asyncio.gather(*asked[1:])

    assert results == [["192.0.2.1"]] * 49
    assert names.asked["a.test"] == 1
    await found.addresses("a.test")
    assert names.asked["a.test"] == 2  # nothing is kept


async def test_a_name_server_that_hangs_holds_up_no_other_name(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_SECONDS", 0.5)
    names = NameServer({"good.test": [["192.0.2.1"]]})

    def resolve(host: str) -> list[str]:
        if host.startswith("dead"):
            gate.wait(30)
        return names.resolve(host)

    found = Lookups(resolve)
    dead = [
        asyncio.create_task(found.addresses(f"dead{number}.test"))
        for number in range(lookups.MAX_LOOKUPS - 1)
    ]
    await asyncio.sleep(0)
    assert await found.addresses("good.test") == ["192.0.2.1"]
    dead.append(asyncio.create_task(found.addresses("dead.test")))
    await asyncio.sleep(0)
    with pytest.raises(NotLookedUp, match="was not looked up yet"):
        await found.addresses("good.test")  # now all places are taken
    results = await asyncio.gather(*dead, return_exceptions=True)
    assert {str(each).partition(" ")[2] for each in results} == {
        "was not found within 0.5 s."
    }


async def test_names_that_took_long_leave_threads_for_others(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_SECONDS", 0.01)
    monkeypatch.setattr(lookups, "SLOW_SECONDS", 0.0)
    hanging = threading.Event()

    def resolve(host: str) -> list[str]:
        hanging.wait(30)
        return ["192.0.2.1"]

    found = Lookups(resolve)
    dead = [f"dead{number}.test" for number in range(lookups.MAX_SLOW + 1)]

    async def ask(host: str) -> object:
        return (await asyncio.gather(found.addresses(host), return_exceptions=True))[0]

    assert {type(await ask(host)) for host in dead} == {NotFound}, (
        "nothing is known yet"
    )
    hanging.set()
    async with asyncio.timeout(30):
        while found._running:  # noqa: ASYNC110 - of threads
            await asyncio.sleep(0.01)
    hanging.clear()

    try:
        again = [type(await ask(host)) for host in dead]
        assert again == [NotFound] * lookups.MAX_SLOW + [NotLookedUp]
        assert type(await ask("new.test")) is NotFound, "it is looked up"
        monkeypatch.setattr(lookups, "SLOW_SECONDS", 60.0)
    finally:
        hanging.set()
    async with asyncio.timeout(30):
        while found._running:  # noqa: ASYNC110 - of threads
            await asyncio.sleep(0.01)
    monkeypatch.setattr(lookups, "LOOKUP_SECONDS", 30.0)
    assert await ask(dead[-1]) == ["192.0.2.1"]
    assert not found._slow.keys() & set(dead), "who answers in time is quick again"


async def test_failures_are_not_found() -> None:
    names = NameServer({"empty.test": [[]]})
    found = Lookups(names.resolve)
    for host in ("missing.test", "empty.test"):
        with pytest.raises(NotFound, match="no address"):
            await found.addresses(host)


def test_the_system_knows_localhost() -> None:
    found = system_addresses("localhost")
    assert set(found) <= {"127.0.0.1", "::1"}
    assert len(found) == len(set(found)) > 0
