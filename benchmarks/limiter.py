"""Decisions of the limiter per second, beside the packages `limits` and `throttled-py`.

One policy and three, in memory and on a Redis of its own, asked one after another and
by 100 at once. All ask for the same 1,000 keys, far below their limits. Short rounds
take turns, so that a busy machine is as busy for all; the best and the median count.

    python -m benchmarks.limiter [--rounds 40] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import cycle, islice
from typing import Any

import redis
import throttled
import throttled.asyncio
import uvloop
from rich.console import Console
from rich.table import Column, Table

import limits
from benchmarks.processes import command_of, free_port, machine
from headgate.limits import Charge, Limiter, Policy
from headgate.limits.redis import RedisStore

KEYS = [f"u:{number}" for number in range(1000)]
RATES = (900_000, 800_000, 700_000)  # per second: nobody is refused
BURST = 1_000_000
IN_FLIGHT = 100
ROUND_SECONDS = 0.05

Ask = Callable[[str], object]
AskSoon = Callable[[str], Awaitable[object]]

# The fastest strategy of each in memory, and what comes closest to GCRA.
FIXED, GCRA, BUCKET = "fixed window", "GCRA", "token bucket"
THROTTLED = {FIXED: "fixed_window", GCRA: "gcra", BUCKET: "token_bucket"}
SLIDING = "sliding window counter"
LIMITS = {
    FIXED: "FixedWindowRateLimiter",
    SLIDING: "SlidingWindowCounterRateLimiter",
}


@dataclass
class Figure:
    """What was measured of one system in one place."""

    place: str
    policies: int
    system: str
    best_per_second: int
    median_per_second: int


def headgate_asks(url: str | None) -> Iterator[tuple[str, Ask, AskSoon, int]]:
    """Return how to ask Headgate for a key, under one policy and under three."""
    # A busy machine may hold an answer up; that is no outage to be measured.
    limiter = Limiter(None if url is None else RedisStore(url, timeout_seconds=10))
    policies = [
        Policy(f"p{number}", f"{rate}/s", BURST) for number, rate in enumerate(RATES)
    ]
    first = policies[0]

    def charges(key: str) -> list[Charge]:
        return [Charge(policy, key) for policy in policies]

    yield (
        "headgate",
        lambda key: limiter.decide_one(first, key),
        lambda key: limiter.adecide_one(first, key),
        1,
    )
    yield (
        "headgate",
        lambda key: limiter.decide(charges(key)),
        lambda key: limiter.adecide(charges(key)),
        len(policies),
    )


def limits_asks(url: str | None) -> Iterator[tuple[str, Ask, AskSoon, int]]:
    """Return how to ask `limits` for a key; several policies one after another."""
    for name, kind in LIMITS.items():
        if url is None:
            store: Any = limits.storage.MemoryStorage()
            soon: Any = limits.aio.storage.MemoryStorage()
        else:
            store = limits.storage.RedisStorage(url)
            soon = limits.aio.storage.RedisStorage(
                f"async+{url}", implementation="redispy"
            )
        limiter = getattr(limits.strategies, kind)(store)
        alimiter = getattr(limits.aio.strategies, kind)(soon)
        items = [limits.RateLimitItemPerSecond(rate) for rate in RATES]

        def all_of(key: str, hit: Any = limiter.hit, items: Any = items) -> bool:
            return all(hit(item, key) for item in items)

        async def aall(key: str, hit: Any = alimiter.hit, items: Any = items) -> bool:
            for item in items:
                if not await hit(item, key):
                    return False
            return True

        def one(key: str, hit: Any = limiter.hit, item: Any = items[0]) -> bool:
            return bool(hit(item, key))

        def aone(key: str, hit: Any = alimiter.hit, item: Any = items[0]) -> Any:
            return hit(item, key)

        yield f"limits, {name}", one, aone, 1
        yield f"limits, {name}", all_of, aall, len(items)


def throttled_limits(module: Any, kind: str, store: Any) -> list[tuple[str, Any]]:
    """Return the function that asks, and a prefix for the key, for each rate."""
    found = []
    for number, rate in enumerate(RATES):
        quota = throttled.per_sec(rate, burst=BURST)
        limiter = module.Throttled(using=kind, quota=quota, store=store)
        found.append((f"p{number}:", limiter.limit))
    return found


def throttled_asks(url: str | None) -> Iterator[tuple[str, Ask, AskSoon, int]]:
    """Return how to ask `throttled-py` for a key; several one after another."""
    for name, kind in THROTTLED.items():
        if url is None:
            # Its own bound of 1,024 keys would evict some of three policies'.
            room = {"MAX_SIZE": 100_000}
            store: Any = throttled.MemoryStore(options=room)
            soon: Any = throttled.asyncio.MemoryStore(options=room)
        else:
            store = throttled.RedisStore(server=url)
            soon = throttled.asyncio.RedisStore(server=url)
        asks = throttled_limits(throttled, kind, store)
        soons = throttled_limits(throttled.asyncio, kind, soon)

        def all_of(key: str, asks: Any = asks) -> bool:
            return not any(limit(prefix + key).limited for prefix, limit in asks)

        async def aall(key: str, soons: Any = soons) -> bool:
            for prefix, limit in soons:
                if (await limit(prefix + key)).limited:
                    return False
            return True

        def one(key: str, limit: Any = asks[0][1]) -> object:
            return limit(key)

        def aone(key: str, limit: Any = soons[0][1]) -> Any:
            return limit(key)

        yield f"throttled-py, {name}", one, aone, 1
        yield f"throttled-py, {name}", all_of, aall, len(asks)


def asks_of(url: str | None) -> list[tuple[str, Ask, AskSoon, int]]:
    """Return all systems' ways to ask."""
    makers = (headgate_asks, limits_asks, throttled_asks)
    return [each for make in makers for each in make(url)]


def one_after_another(ask: Ask, keys: Iterator[str], count: int) -> float:
    """Ask so often; return the seconds."""
    asked = list(islice(keys, count))
    began = time.perf_counter()
    for key in asked:
        ask(key)
    return time.perf_counter() - began


async def many_at_once(ask: AskSoon, keys: Iterator[str], count: int) -> float:
    """Ask so often, by 100 who wait for their answers; return the seconds."""
    asked = iter(list(islice(keys, count)))

    async def work() -> None:
        for key in asked:
            await ask(key)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return time.perf_counter() - began


def measure(
    place: str,
    policies: int,
    rounds: dict[str, Callable[[int], float]],
    times: int,
) -> list[Figure]:
    """Let systems take turns in short rounds of about the same length."""
    counts: dict[str, int] = {}
    for system, ask in rounds.items():
        ask(IN_FLIGHT)  # connections, scripts, first keys
        trial = 500
        per_second = trial / ask(trial)
        counts[system] = max(IN_FLIGHT, round(per_second * ROUND_SECONDS))
    found: dict[str, list[float]] = {system: [] for system in rounds}
    for _ in range(times):
        for system, ask in rounds.items():
            found[system].append(counts[system] / ask(counts[system]))
    return [
        Figure(
            place,
            policies,
            system,
            best_per_second=round(max(each)),
            median_per_second=round(statistics.median(each)),
        )
        for system, each in found.items()
    ]


def run(url: str | None, times: int) -> Iterator[Figure]:
    """Measure what is asked one after another, and on Redis also at once."""
    place = "memory" if url is None else "Redis"
    asks = asks_of(url)
    for number in (1, len(RATES)):
        keys = cycle(KEYS)
        rounds = {
            system: lambda count, ask=ask: one_after_another(ask, keys, count)  # noqa: B023 - used in this turn
            for system, ask, _, policies in asks
            if policies == number
        }
        yield from measure(place, number, rounds, times)
    if url is None:
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for number in (1, len(RATES)):
            keys = cycle(KEYS)
            rounds = {
                system: lambda count, ask=ask: runner.run(
                    many_at_once(ask, keys, count)  # noqa: B023 - used in this turn
                )
                for system, _, ask, policies in asks
                if policies == number
            }
            yield from measure(f"{place}, {IN_FLIGHT} at once", number, rounds, times)


@contextmanager
def own_redis() -> Iterator[str | None]:
    """Run a Redis until the block ends; yields its URL, or None without one."""
    if shutil.which("redis-server") is None:
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            client = redis.Redis(port=port)
            while True:
                try:
                    client.ping()
                    break
                except redis.RedisError:
                    time.sleep(0.05)
                    if server.poll() is not None:
                        raise
            client.close()
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


def where() -> str:
    """Return the machine and the versions."""
    names = ("limits", "throttled-py", "redis", "hiredis")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    found = f"{machine()}, {versions}"
    if shutil.which("redis-server"):
        command = ["redis-server", "--version"]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        found += f", Redis {told.stdout.partition('v=')[2].split()[0]}"
    return found


def table(figures: list[Figure]) -> Table:
    """Return what people read: each place with its best peer."""
    shown = Table(
        "place",
        "policies",
        Column("system", no_wrap=True),
        *(
            Column(name, justify="right")
            for name in ("best/s", "median/s", "headgate is")
        ),
    )
    last = None
    for figure in figures:
        group = (figure.place, figure.policies)
        if last not in {None, group}:
            shown.add_section()
        last = group
        ours = next(
            each
            for each in figures
            if (each.place, each.policies) == group and each.system == "headgate"
        )
        times = ours.median_per_second / figure.median_per_second
        shown.add_row(
            figure.place,
            str(figure.policies),
            figure.system,
            f"{figure.best_per_second:,}",
            f"{figure.median_per_second:,}",
            "" if figure is ours else f"{times:.1f} times",
        )
    return shown


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = list(run(None, options.rounds))
    with own_redis() as url:
        if url is not None:
            figures += run(url, options.rounds)
    if options.json:
        told = {
            "command": command_of("limiter"),
            "machine": where(),
            "figures": [asdict(each) for each in figures],
        }
        print(json.dumps(told))
        return 0
    console = Console()
    console.print(table(figures))
    console.print(where(), style="dim")
    if url is None:
        console.print("There is no redis-server here, so that was left out.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
