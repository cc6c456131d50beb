"""The relay in memory: several loops, bounds, loops that end."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from headgate.relay import MemoryExchange, MemoryRelay, memory, open_relay
from tests.relay.ears import Ears, linked


def in_thread(main: Callable[[], Coroutine[Any, Any, None]]) -> threading.Thread:
    """Run something on a loop of its own, in a thread of its own."""
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    return thread


async def test_between_the_loops_of_two_threads() -> None:
    ears = Ears()
    relay = open_relay(None, "threads", ears)
    await linked(relay, ears, "a")
    loop = asyncio.get_running_loop()
    answered = asyncio.Event()

    async def other() -> None:
        other_ears = Ears()
        other_relay = open_relay(None, "threads", other_ears)
        await linked(other_relay, other_ears, "b")
        for number in range(1_000):
            other_relay.publish("a", b"%d" % number)
        await other_ears.hears(("b", b"1"))
        await other_relay.close()
        loop.call_soon_threadsafe(answered.set)

    thread = in_thread(other)
    await ears.hears(*(("a", b"%d" % number) for number in range(1_000)))
    relay.publish("b", b"1")
    async with asyncio.timeout(60):
        await answered.wait()
    await asyncio.to_thread(thread.join)
    await relay.close()


async def test_an_idle_loop_is_woken() -> None:
    """By what another thread publishes, though nothing else happens on it."""
    exchange = MemoryExchange()
    ears = Ears()
    relay = MemoryRelay(exchange, ears)
    await linked(relay, ears, "a")

    async def other() -> None:
        MemoryRelay(exchange, Ears()).publish("a", b"1")

    thread = threading.Timer(0.05, lambda: asyncio.run(other()))
    thread.start()
    await ears.hears(("a", b"1"))
    thread.join()
    await relay.close()


async def test_past_its_bound_hints_are_dropped_and_doubtful_in_their_place() -> None:
    exchange = MemoryExchange()
    ears = Ears()
    relay, publisher = MemoryRelay(exchange, ears), MemoryRelay(exchange, Ears())
    await linked(relay, ears, "a", "b", "c")
    for number in range(memory.MOST_HINTS + 100):  # in one turn: nothing is told
        publisher.publish("ab"[number >= memory.MOST_HINTS + 50], b"%d" % number)
    assert publisher.dropped_out == 100
    told_before = len(ears.told)
    await ears.doubts_all(["a", "b"], times=2)

    hints = [int(payload) for _, payload in ears.heard]
    assert hints == list(range(memory.MOST_HINTS))
    assert ears.told[told_before + memory.MOST_HINTS] == {"a", "b"}
    publisher.publish("a", b"more")
    await ears.until(lambda: ears.heard[-1] == ("a", b"more"))
    assert ears.doubts == {"a": 2, "b": 2, "c": 1}


async def test_an_inbox_is_bounded_in_bytes() -> None:
    exchange = MemoryExchange()
    ears = Ears()
    relay, publisher = MemoryRelay(exchange, ears), MemoryRelay(exchange, Ears())
    await linked(relay, ears, "a")
    for turn in range(1, 4):
        for _ in range(10):
            publisher.publish("a", bytes(1024 * 1024))
        assert publisher.dropped_out == 2 * turn
        await ears.doubts_all(["a"], times=1 + turn)
    publisher.publish("a", bytes(memory.MOST_BYTES + 1))  # never fits
    await ears.doubts_all(["a"], times=5)

    assert len(ears.heard) == 24


async def test_a_loop_that_ended_without_close_stops_nobody() -> None:
    exchange = MemoryExchange()

    async def other() -> None:
        ears = Ears()
        await linked(MemoryRelay(exchange, ears), ears, "a")

    await asyncio.to_thread(in_thread(other).join)
    ears = Ears()
    relay, publisher = MemoryRelay(exchange, ears), MemoryRelay(exchange, Ears())
    await linked(relay, ears, "a")
    publisher.publish("a", b"1")

    await ears.hears(("a", b"1"))


async def test_nothing_is_kept_of_relays_that_are_closed() -> None:
    exchange = MemoryExchange()
    ears = Ears()
    relay = MemoryRelay(exchange, ears)
    await linked(relay, ears, "a", "b")
    relay.unwatch("a")
    assert set(exchange._watchers) == {"b"}
    await relay.close()
    assert not exchange._watchers

    shared = open_relay(None, "kept", Ears())
    await shared.close()
    del shared
    gc.collect()
    from headgate.relay.open_relay import _exchanges

    assert "kept" not in _exchanges


async def test_nobody_is_reached_where_nobody_else_watches() -> None:
    exchange, ears = MemoryExchange(), Ears()
    relay = MemoryRelay(exchange, ears)
    await linked(relay, ears, "a")

    assert not relay.reaches("a")
    assert not relay.reaches("b")
