"""Several servers on one log: at once with Redis between them, else within a second."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import pytest

from tests.conftest import Serve
from tests.e2e.bare import Bare, welcomed
from tests.redis_server import RedisServer
from tests.servers import HeadgateServer
from tests.steady import BUSY_SECONDS, SteadyClock

# At most, whatever becomes of the relay: the promise is two.
LATE_SECONDS = 2.0 + BUSY_SECONDS
LAST = "the last"
PROMPT_SECONDS = 0.4  # well below the second between two comparisons of heads


def is_message(seq: int) -> Any:
    return lambda said: said.get("push") == "message" and said["seq"] == seq


def two(
    serve: Serve, *options: str, database_url: str | None = None
) -> tuple[HeadgateServer, HeadgateServer]:
    first = serve("--guests", *options, database_url=database_url)
    return first, serve("--guests", *options, share=first)


async def test_events_and_signals_cross_at_once(
    serve: Serve,
    redis_server: RedisServer,
    steady: SteadyClock,
    database_url: str | None,
) -> None:
    first, second = two(serve, "--redis", redis_server.url, database_url=database_url)

    async with (
        welcomed(first.ws_url, "general/", name="Ada") as ada,
        welcomed(second.ws_url, "general/", name="Bob") as bob,
    ):
        took = []
        for number in range(1, 21):
            began = time.monotonic()
            await ada.ask(cmd="send", id=number, room="general", text="hi")
            await bob.hear_until(is_message(number))
            took.append(steady.since(began))
        # Each would take a second if only heads told of it.
        assert statistics.median(took) < PROMPT_SECONDS

        await bob.say(cmd="typing", room="general")
        typing = await ada.hear_until(lambda said: said.get("push") == "typing")
        assert typing["author"]["name"] == "Bob"
        page = await bob.ask(cmd="history", id=1, room="general", limit=1)
        seq = page["messages"][-1]["seq"]
        edited = await ada.ask(cmd="edit", id=50, room="general", target=seq, text="ho")
        told = await bob.hear_until(lambda said: said.get("push") == "edited")
        assert (told["seq"], told["text"]) == (edited["seq"], "ho")


async def test_who_is_there_is_told_across(
    serve: Serve, redis_server: RedisServer
) -> None:
    first, second = two(serve, "--redis", redis_server.url)

    async with welcomed(first.ws_url, "general/", name="Ada") as ada:
        ada.sees_people = True
        async with welcomed(second.ws_url, "general/", name="Bob"):
            names: set[str] = set()
            while "Bob" not in names:
                told = await ada.hear_until(lambda said: said.get("push") == "presence")
                people = [*told.get("here", []), *told.get("joined", [])]
                names |= {each["name"] for each in people}
        gone = await ada.hear_until(lambda said: bool(said.get("left")))
        assert len(gone["left"]) == 1


async def test_without_redis_heads_are_compared(serve: Serve) -> None:
    first, second = two(serve)

    async with (
        welcomed(first.ws_url, "general/") as ada,
        welcomed(second.ws_url, "general/") as bob,
    ):
        for number in range(1, 4):
            await ada.ask(cmd="send", id=number, room="general", text="hi")
            await bob.hear_until(is_message(number), LATE_SECONDS)


@pytest.mark.parametrize("fault", ["killed", "cut", "stopped"])
async def test_redis_fails_and_is_back_under_load(
    serve: Serve, redis_server: RedisServer, steady: SteadyClock, fault: str
) -> None:
    """Nothing is lost, doubled or out of order, and nothing comes later than 2 s."""
    first, second = two(serve, "--redis", redis_server.url)
    said_at: dict[int, float] = {}
    heard_at: dict[int, float] = {}
    stop = asyncio.Event()

    async def write(ada: Bare) -> None:
        number, text = 0, ""
        while text != LAST:
            number, text = number + 1, LAST if stop.is_set() else "hi"
            reply = await ada.ask(cmd="send", id=number, room="general", text=text)
            said_at[reply["seq"]] = time.monotonic()
            await asyncio.sleep(0.005)

    async def read(bob: Bare) -> None:
        text = ""
        while text != LAST:
            said = await bob.hear_until(lambda each: each.get("push") == "message")
            assert said["seq"] == len(heard_at) + 1
            heard_at[said["seq"]], text = time.monotonic(), said["text"]

    async def break_it() -> None:
        for _ in range(2):
            await asyncio.sleep(1)
            if fault == "killed":
                redis_server.kill()
                await asyncio.sleep(1.5)
                redis_server.restart()
            elif fault == "stopped":
                redis_server.pause()
                await asyncio.sleep(3)
                redis_server.resume()
            else:
                with redis_server.client() as client:
                    client.client_kill_filter(_type="pubsub")
        await asyncio.sleep(1)
        stop.set()

    async with (
        welcomed(first.ws_url, "general/") as ada,
        welcomed(second.ws_url, "general/") as bob,
        asyncio.timeout(60),
        asyncio.TaskGroup() as group,
    ):
        group.create_task(write(ada))
        group.create_task(read(bob))
        group.create_task(break_it())

    assert sorted(heard_at) == sorted(said_at)
    late = max(steady.between(at, heard_at[seq]) for seq, at in said_at.items())
    assert late < LATE_SECONDS
