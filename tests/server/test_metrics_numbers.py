"""What the numbers of `/metrics` say while real clients come and go."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from websockets.asyncio.client import connect as aconnect

from headgate.chat import measured
from headgate.chat.engine import Engine, close_engine
from headgate.chat.measured import Seen, look
from headgate.live.connection import Connection, Watch
from headgate.live.frames import Mode
from headgate.live.node import Node
from headgate.server import metrics
from headgate.server.metrics_reports import ReportFolder
from tests.conftest import Serve
from tests.live.parts import MemoryLog, SlowSink, join, until
from tests.live.parts import connect as connected
from tests.redis_server import RedisServer
from tests.server.hostile import FIN, TEXT, Hostile, client_frame
from tests.server.scraping import (
    LIMIT_SECONDS,
    ascraped,
    joined,
    port_of,
    pushes,
    scrape,
    send,
)

# --- delivery ---


async def test_connections_and_deliveries(serve: Serve) -> None:
    server = serve("--guests", "--demo", "--metrics")
    url = f"{server.ws_url}/ws/chat/general/"
    stream = f"{server.url}/api/v1/stream?rooms=general"
    async with AsyncExitStack() as stack:
        first = await joined(stack, server, "general")
        second = await joined(stack, server, "general")
        third = await joined(stack, server, "help")
        plain = await stack.enter_async_context(aconnect(url))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        await stack.enter_async_context(http.stream("GET", stream))
        found = await ascraped(server, lambda it: it.of("headgate_watches") == 5)
        modes = [("headgate.v1", 3), ("headgate.plain", 1), ("stream", 1)]
        for mode, count in modes:
            assert found.of("headgate_connections", mode=mode) == count
        assert found.of("headgate_rooms") == 2
        assert found.of("headgate_deliveries_total") == 0
        # The handshake and the first join over a WebSocket, and the stream's only door.
        assert found.of("headgate_admitted_total") == 4 * 2 + 1
        assert found.of("headgate_sent_away_total") == 0

        for number in range(3):
            await send(first, f"text {number}", number)
        for one in (first, second):
            await pushes(one, "message", 3)
        for _ in range(3):
            await plain.recv()
        found = await ascraped(
            server, lambda it: it.of("headgate_deliveries_total") == 12
        )
        assert found.of("headgate_events_total") == 3
        assert found.of("headgate_delivered_bytes_total") > 12 * len("text 0")
        ticks = found.of("headgate_tick_wait_seconds_count")
        assert 1 <= ticks <= found.of("headgate_passes_total")
        longest = found.of("headgate_tick_wait_longest_seconds")
        in_all = found.of("headgate_tick_wait_seconds_sum")
        assert longest <= in_all <= longest * ticks
        batches = found.of("headgate_journal_batch_entries_count")
        assert 1 <= batches <= 3
        assert found.of("headgate_journal_batch_entries_sum") == 3
        assert found.of("headgate_journal_batch_entries_bucket", le="4.0") == batches
        assert found.of("headgate_journal_wait_seconds_count") == batches
        assert 0 < found.of("headgate_journal_wait_seconds_sum") < LIMIT_SECONDS
        assert found.of("headgate_journal_waiting") == 0
        assert found.of("headgate_journal_waiting_bytes") == 0
        await third.close()
        found = await ascraped(server, lambda it: it.of("headgate_watches") == 4)
        assert found.of("headgate_rooms") == 1
    await ascraped(server, lambda it: it.of("headgate_connections") == 0)


async def test_no_names_and_no_texts(serve: Serve) -> None:
    server = serve("--guests", "--metrics")
    async with AsyncExitStack() as stack:
        one = await joined(stack, server, "secret-garden")
        command = {"cmd": "send", "id": 1, "room": "secret-garden", "text": "hush"}
        await one.send(json.dumps(command))
        (said,) = await pushes(one, "message", 1)
        text = (await asyncio.to_thread(scrape, server)).text
    for secret in ("secret-garden", "hush", said["author"]["id"], "127.0.0.1"):
        assert secret not in text
    assert said["author"]["name"] not in text
    assert str(server.data) not in text


async def test_who_does_not_read_is_behind_and_then_cut_off(serve: Serve) -> None:
    server = serve("--guests", "--demo", "--metrics")
    hello = client_frame(TEXT | FIN, json.dumps({"cmd": "hello"}).encode())
    room, v1 = "/ws/chat/general/", "Sec-WebSocket-Protocol: headgate.v1\r\n"
    async with AsyncExitStack() as stack:
        for _ in range(2):
            deaf = Hostile(port_of(server), room, more=v1, receive_bytes=4096)
            stack.enter_context(deaf)
            deaf.send(hello)
        writer = await joined(stack, server, "general")
        await ascraped(server, lambda it: it.of("headgate_watches") == 3)
        sent = 0
        while True:
            for _ in range(50):
                sent += 1
                await send(writer, "x" * 4000, sent)
            await pushes(writer, "message", 50)
            found = await asyncio.to_thread(scrape, server)
            if found.of("headgate_watches_behind") == 2:
                break
            assert sent < 10_000
        assert found.of("headgate_fell_behind_total") == 2
        longest = found.of("headgate_lag_longest_events")
        assert 0 < longest <= sent
        assert longest < found.of("headgate_lag_events") <= 2 * longest
        await send(writer, "one more", sent + 1)
        await pushes(writer, "message", 1)
        found = await ascraped(
            server, lambda it: it.of("headgate_lag_longest_events") == longest + 1
        )
        assert found.of("headgate_stalled_total") == 0

        found = await ascraped(server, lambda it: it.of("headgate_stalled_total") == 2)
        found = await ascraped(server, lambda it: it.of("headgate_watches") == 1)
        assert found.of("headgate_watches_behind") == 0
        assert found.of("headgate_lag_events") == 0
        assert found.of("headgate_lag_longest_events") == 0


@pytest.mark.limits
async def test_gaps(serve: Serve) -> None:
    server = serve(
        *("--guests", "--demo", "--metrics", "--limit", "push=5/s"),
        *("--limit", "send=off", "--limit", "send.all=off", "--limit", "command=off"),
        environment={"HEADGATE_THROTTLING_ENABLED": "yes"},
    )
    async with AsyncExitStack() as stack:
        reader = await joined(stack, server, "general")
        for number in range(100):
            await send(reader, "hi", number)
        gaps = await pushes(reader, "gap", 1)
        while gaps[-1]["to"] < 90:
            gaps += await pushes(reader, "gap", 1)
        missing = sum(each["to"] - each["from"] + 1 for each in gaps)
        found = await ascraped(
            server, lambda it: it.of("headgate_gap_events_total") >= missing
        )
        assert found.of("headgate_gaps_total") >= len(gaps)
        assert found.of("headgate_watches_behind") == 0
        assert found.of("headgate_lag_events") == 0


async def test_signals_that_are_left_out(serve: Serve) -> None:
    """Of somebody's typing in one turn of the loop only the last goes out."""
    server = serve("--guests", "--demo", "--metrics")
    async with AsyncExitStack() as stack:
        one = await joined(stack, server, "general")
        await joined(stack, server, "general")
        typing = {"cmd": "typing", "room": "general"}
        frames = client_frame(TEXT | FIN, json.dumps(typing).encode()) * 50
        one.transport.write(frames)
        await ascraped(
            server,
            lambda it: it.of("headgate_signals_dropped_total", cause="joined") > 0,
        )


async def test_many_connections_are_looked_at_in_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who goes meanwhile is not counted, and a watch with a pace is never behind."""
    monkeypatch.setattr(measured, "AT_ONCE", 10)
    log = MemoryLog()
    log.write(1, 20)
    node = Node(log, resume_limit=100, told=lambda _room, _events: None)
    lags: list[int] = []
    hearing: list[Watch] = []
    for number in range(60):
        deaf, paced = bool(number % 3), number % 5 == 0
        mode = Mode.PLAIN if number % 4 == 0 else Mode.V1
        one, _ = connected(SlowSink(0 if deaf else None), mode=mode)
        pace = "1/day" if paced else None
        watch = await join(node, one, 1, after=number % 20, pace=pace)
        if deaf and not paced:
            lags.append(20 - number % 20)
        elif not paced:
            hearing.append(watch)
    await until(lambda: all(each.live for each in hearing))
    for watch in hearing[:3]:
        watch.begun = watch.live = False  # as before its reply is out
        watch.position = 0

    engine = cast("Engine", SimpleNamespace(node=node))

    async def looked() -> tuple[Seen, int]:
        looking = asyncio.ensure_future(look(engine))
        turns = 0
        while not looking.done():
            await asyncio.sleep(0)
            turns += 1
            if turns == 1 and leaves:
                node.remove(leaves.pop())
        return looking.result(), turns

    leaves: list[Connection] = []
    seen, turns = await looked()
    assert turns >= 60 * 2 / 10 - 1  # a connection counts, and so does its watch
    assert seen.connections == {Mode.V1: 45, Mode.PLAIN: 15}
    assert seen.watches == 57
    assert seen.behind == len(lags)
    assert seen.lag_events == sum(lags)
    assert seen.lag_longest_events == max(lags)
    begun = [each for each in node.connections if each.watches[1].begun]
    leaves = [begun[-1]]
    seen, _ = await looked()
    assert (seen.watches, seen.connections.total()) == (56, 59)
    node.close()


def test_who_is_cut_off_and_who_is_sent_away() -> None:
    meters = SimpleNamespace(stalled=1, silent=2)
    door = SimpleNamespace(admitted=3, sent_away=4, waiting=5)
    engine = SimpleNamespace(node=SimpleNamespace(meters=meters), admission=door)
    seen = Seen(cast("Engine", engine))
    read = {each.name: each.read for each in measured.MEASURES}
    names = ("stalled_total", "silent_total", "admitted_total", "sent_away_total")
    for expected, name in enumerate((*names, "admission_waiting"), 1):
        assert read[f"headgate_{name}"](seen) == {(): expected}


# --- the limiter and the journal ---


@pytest.mark.limits
async def test_refusals_of_the_limiter(serve: Serve) -> None:
    server = serve(
        *("--guests", "--demo", "--metrics", "--limit", "send=1/h"),
        environment={
            "HEADGATE_THROTTLING_ENABLED": "yes",
            "HEADGATE_DRY_RUN": "send.all",
            "HEADGATE_LIMITS": "send.all=1/h",
        },
    )
    async with AsyncExitStack() as stack:
        one = await joined(stack, server, "general")
        for number in range(4):
            await send(one, "hi", number)
        refused = 0
        while refused < 3:
            said = json.loads(await one.recv())
            refused += said.get("error", {}).get("code") == "rate_limited"
        found = await asyncio.to_thread(scrape, server)
    name = "headgate_limit_decisions_total"
    assert found.of(name, policy="send", outcome="refused") == 3
    assert found.of(name, policy="send.all", outcome="would_refuse") >= 1
    assert found.of(name, policy="send.all", outcome="refused") == 0
    assert found.of("headgate_limit_degraded_total") == 0


@pytest.mark.limits
async def test_a_redis_that_is_away(serve: Serve, redis_server: RedisServer) -> None:
    server = serve(
        *("--guests", "--demo", "--metrics", "--redis", redis_server.url),
        environment={"HEADGATE_THROTTLING_ENABLED": "yes"},
    )
    async with AsyncExitStack() as stack:
        one = await joined(stack, server, "general")
        await send(one, "hi")
        await pushes(one, "message", 1)
        found = await asyncio.to_thread(scrape, server)
        assert found.of("headgate_relay_away") == 0
        assert found.of("headgate_relay_published_total") >= 1
        # On a busy machine Redis may have taken too long already.
        degraded = found.of("headgate_limit_degraded_total", policy="send")
        redis_server.kill()
        await send(one, "hi")
        await pushes(one, "message", 1)
        await ascraped(
            server,
            lambda it: (
                it.of("headgate_relay_away") == 1
                and it.of("headgate_limit_degraded_total", policy="send") > degraded
            ),
        )
        redis_server.restart()
        await ascraped(
            server,
            lambda it: (
                it.of("headgate_relay_away") == 0
                and it.of("headgate_relay_reconnects_total") >= 1
            ),
        )


async def test_what_the_relay_brings(serve: Serve, redis_server: RedisServer) -> None:
    options = ("--guests", "--demo", "--metrics", "--redis", redis_server.url)
    here = serve(*options)
    there = serve(*options, share=here)
    async with AsyncExitStack() as stack:
        reader = await joined(stack, here, "general")
        writer = await joined(stack, there, "general")
        before = await asyncio.to_thread(scrape, here)
        await send(writer, "hi")
        await pushes(reader, "message", 1)
        await ascraped(
            here,
            lambda it: (
                it.of("headgate_relay_received_total")
                > before.of("headgate_relay_received_total")
            ),
        )


async def test_overloaded(serve: Serve) -> None:
    server = serve(
        *("--guests", "--demo", "--metrics"),
        environment={"HEADGATE_JOURNAL_MAX_WAITING": "2"},
    )
    async with AsyncExitStack() as stack:
        one = await joined(stack, server, "general")
        command = {"cmd": "send", "id": 1, "room": "general", "text": "hi"}
        frame = client_frame(TEXT | FIN, json.dumps(command).encode())
        one.transport.write(frame * 20)
        refused = answered = 0
        while answered < 20:
            said = json.loads(await one.recv())
            answered += "reply" in said
            refused += said.get("error", {}).get("code") == "overloaded"
        found = await asyncio.to_thread(scrape, server)
    assert refused > 0
    assert found.of("headgate_overloaded_total") == refused
    assert found.of("headgate_journal_batch_entries_sum") == 20 - refused


async def test_what_waits_for_the_database(serve: Serve) -> None:
    """Somebody writes for long, and the journal waits for the one file."""
    server = serve("--guests", "--demo", "--metrics")
    async with AsyncExitStack() as stack:
        one = await joined(stack, server, "general")
        held = stack.enter_context(closing(sqlite3.connect(server.sqlite_file)))
        held.execute("BEGIN IMMEDIATE")
        for number in range(3):
            await send(one, "hello", number)
        found = await ascraped(
            server, lambda it: it.of("headgate_journal_waiting") == 3
        )
        assert found.of("headgate_journal_waiting_bytes") == 3 * (500 + len("hello"))
        began = time.monotonic()
        await asyncio.to_thread(time.sleep, 0.3)  # which is what is measured
        waited = time.monotonic() - began
        held.rollback()
        await pushes(one, "message", 3)
        found = await asyncio.to_thread(scrape, server)
        assert found.of("headgate_journal_waiting") == 0
        assert found.of("headgate_journal_waiting_bytes") == 0
        assert found.of("headgate_journal_wait_seconds_sum") >= waited
        assert found.of("headgate_journal_failed_commits_total") == 0


async def test_commits_that_fail(serve: Serve) -> None:
    server = serve("--guests", "--demo", "--metrics")
    async with AsyncExitStack() as stack:
        one = await joined(stack, server, "general")
        with closing(sqlite3.connect(server.sqlite_file)) as database:
            database.execute("ALTER TABLE headgate_chat_event RENAME TO away")
        await send(one, "hi")
        while "error" not in (said := json.loads(await one.recv())):
            pass
        assert said["error"]["code"] == "unavailable"
        found = await asyncio.to_thread(scrape, server)
        assert found.of("headgate_journal_failed_commits_total") == 1


# --- reports ---


@pytest.mark.django_db(transaction=True)
async def test_a_report_that_failed_is_followed_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks, written = 0, asyncio.Event()

    async def fails_twice(running: Engine) -> Seen:
        nonlocal looks
        looks += 1
        if looks <= 2:
            raise ValueError("no such measure")
        if looks == 4:
            written.set()  # the third was written
        return await look(running)

    monkeypatch.setattr(metrics, "WRITE_SECONDS", 0.01)
    monkeypatch.setattr(metrics, "look", fails_twice)
    metrics.Metrics(1, tmp_path).start()
    async with asyncio.timeout(LIMIT_SECONDS):
        await written.wait()

    assert [each.number for each in ReportFolder(tmp_path).others(0)] == [1]
    assert caplog.text.count("metrics_not_written error=ValueError") == 1
    await close_engine()
