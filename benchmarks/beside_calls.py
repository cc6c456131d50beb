"""What calls of an external service cost a small room.

Ten people in one room write four times a second each, and time their acknowledgements
and when another sees the message. Beside them the server calls a webhook 200 times a
second, from a backlog that is there before; or the same is owed, and the destination is
paused. Both are the stand-alone server on SQLite, with its worker inside.

Each round has both, one right after the other; the medians of five rounds are told, and
whether the p99 with calls is within 1.05 times or 3 ms of that without.

    python -m benchmarks.beside_calls [--rate 200] [--seconds 10] [--rounds 5] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.campaign import RESULTS, percentile
from benchmarks.processes import cpu_seconds, free_port, machine, running
from benchmarks.sockets import Socket

PEOPLE = 10
PAUSE_SECONDS = 0.25  # between two messages of one of them
WARM_SECONDS = 2.0
WITHIN = 1.05
OR_MS = 3.0
SECRET = "whsec_" + "QmVuY2htYXJrcyBzaWduLCB0b28sIGFsbCB0aGUgc2FtZQ=="
LIMITS = ("--limit", "send=10/s:20", "--limit", "send.all=10/s:20")
LIMITS += ("--limit", "command=20/s:60")

_SET = """
import pathlib, sys
from headgate.server.options import ServeOptions
from headgate.server.setup import set_up
set_up(ServeOptions(data=pathlib.Path(sys.argv[1])))
from headgate.outbound.models import Destination
Destination.objects.update(rate=sys.argv[2], paused=sys.argv[3] == "paused")
"""


@dataclass
class Run:
    """One run: what people saw, and what was called beside."""

    acked_p50_ms: float
    acked_p99_ms: float
    seen_p50_ms: float
    seen_p99_ms: float
    cpu: float  # cores that the server used
    calls_per_second: float


class Person:
    """Somebody who writes, and times the answers; another sees it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.acked_ms: list[float] = []
        self.seen_ms: list[float] = []
        self.sent_at = 0.0
        self._acked = asyncio.Event()

    async def open(self, port: int, seen_by: Watcher) -> None:
        """Come in, from an address of their own."""
        self.socket = await self._join(port, b'{"reply":', self._answered)
        seen_by.people[self.number] = self

    async def _join(self, port: int, mark: bytes, counted: Any) -> Socket:
        source = f"127.0.1.{self.number + 1}"
        path = "/ws/chat/small/"
        joined = await Socket.open(port, path, mark, counted, "headgate.v1", source)
        joined.send({"cmd": "hello"})
        return joined

    def _answered(self, _socket: Socket, _count: int) -> None:
        self.acked_ms.append((time.perf_counter() - self.sent_at) * 1000)
        self._acked.set()

    async def talk(self, until: float) -> None:
        """Write, wait for the answer, rest."""
        await asyncio.sleep(PAUSE_SECONDS * self.number / PEOPLE)
        count = 0
        while time.perf_counter() < until:
            count += 1
            self._acked.clear()
            text = f"from-{self.number:02d} " + "x" * 56
            said = {"cmd": "send", "id": count, "room": "small", "text": text}
            self.sent_at = time.perf_counter()
            self.socket.send(said)
            async with asyncio.timeout(30):
                await self._acked.wait()
            await asyncio.sleep(PAUSE_SECONDS)


class Watcher:
    """Sees who wrote, by the beginning of the text."""

    def __init__(self) -> None:
        self.people: dict[int, Person] = {}
        self.sockets: list[Socket] = []

    async def open(self, port: int) -> None:
        """Watch the room by one connection for each person that may write."""
        for number in range(PEOPLE):
            mark = f'"from-{number:02d} '.encode()

            def seen(_socket: Socket, _count: int, number: int = number) -> None:
                person = self.people[number]
                person.seen_ms.append((time.perf_counter() - person.sent_at) * 1000)

            source = f"127.0.2.{number + 1}"
            path = "/ws/chat/small/"
            socket = await Socket.open(port, path, mark, seen, "headgate.v1", source)
            socket.send({"cmd": "hello"})
            self.sockets.append(socket)


async def measure(port: int, pid: int, seconds: float, receiver: str) -> Run:
    """Run once, and return what was seen after warming up."""
    watcher, people = Watcher(), [Person(number) for number in range(PEOPLE)]
    await watcher.open(port)
    for person in people:
        await person.open(port, watcher)
    until = time.perf_counter() + WARM_SECONDS + seconds
    talking = [asyncio.create_task(person.talk(until)) for person in people]
    await asyncio.sleep(WARM_SECONDS)
    for person in people:
        person.acked_ms.clear()
        person.seen_ms.clear()
    calls, cpu = await asyncio.to_thread(_counted, receiver), cpu_seconds(pid)
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    wall = time.perf_counter() - began
    used = cpu_seconds(pid) - cpu
    calls = await asyncio.to_thread(_counted, receiver) - calls
    await asyncio.gather(*talking)
    for each in (*watcher.sockets, *(person.socket for person in people)):
        each.transport.abort()
    acked = [wait for person in people for wait in person.acked_ms]
    seen = [wait for person in people for wait in person.seen_ms]
    return Run(
        acked_p50_ms=percentile(acked, 0.5),
        acked_p99_ms=percentile(acked, 0.99),
        seen_p50_ms=percentile(seen, 0.5),
        seen_p99_ms=percentile(seen, 0.99),
        cpu=used / wall,
        calls_per_second=calls / wall,
    )


def _counted(receiver: str) -> int:
    with urllib.request.urlopen(f"{receiver}count", timeout=10) as answer:
        return int(json.load(answer)["calls"])


@contextlib.contextmanager
def _receiver() -> Iterator[str]:
    """Run a receiver, on the load's core, and yield its URL."""
    port = free_port()
    module = [sys.executable, "-m", "benchmarks.peers.receiver", str(port)]
    process = subprocess.Popen(module)
    try:
        url = f"http://127.0.0.1:{port}/"
        for _ in range(200):
            with contextlib.suppress(OSError):
                _counted(url)
                break
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def run(rate: int, seconds: float, *, calls: bool) -> Run:
    """Owe the calls, start a server, run once, stop it."""
    port = free_port()
    owed = round(rate * (seconds + WARM_SECONDS + 20))
    with tempfile.TemporaryDirectory() as folder, _receiver() as receiver:
        data = str(Path(folder) / "data")
        environment = os.environ | {
            "BENCHMARK_RECEIVER": receiver,
            "BENCHMARK_SECRET": SECRET,
            "BENCHMARK_CONCURRENCY": "64",
            "HEADGATE_OUTBOUND_NETWORKS": "127.0.0.0/8",
        }
        put = ["-m", "benchmarks.peers.queues.put_headgate", data, "", str(owed)]
        how = ["-c", _SET, data, f"{rate}/s:20", "on" if calls else "paused"]
        for each in (put, how):
            subprocess.run([sys.executable, *each], env=environment, check=True)
        serve = ("headgate", "serve", "--guests", *LIMITS, "--data", data)
        with running(*serve, "--port", str(port), port=port, env=environment) as pid:
            return uvloop.run(measure(port, pid, seconds, receiver))


def table(without: Run, beside: Run, rounds: int) -> Table:
    """Return the medians as people read them."""
    found = Table(title=f"A small room beside calls, medians of {rounds} rounds")
    for name in (
        "",
        "acked p50",
        "acked p99",
        "seen p50",
        "seen p99",
        "CPU",
        "calls/s",
    ):
        found.add_column(name, justify="right" if name else "left")
    for name, each in (("paused", without), ("calling", beside)):
        found.add_row(
            name,
            f"{each.acked_p50_ms:.2f} ms",
            f"{each.acked_p99_ms:.2f} ms",
            f"{each.seen_p50_ms:.2f} ms",
            f"{each.seen_p99_ms:.2f} ms",
            f"{each.cpu:.1%}",
            f"{each.calls_per_second:.0f}",
        )
    return found


def _median(runs: list[Run]) -> Run:
    names = asdict(runs[0])
    return Run(
        **{
            name: round(statistics.median(getattr(each, name) for each in runs), 3)
            for name in names
        }
    )


def main() -> int:
    """Measure, print, and keep the figures; 1 where it costs more than it may."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=int, default=200, help="calls a second")
    parser.add_argument("--seconds", type=float, help="10, or 3 if quick")
    parser.add_argument("--rounds", type=int, help="5, or 1 if quick")
    parser.add_argument("--quick", action="store_true", help="see that it runs")
    parser.add_argument("--json", type=Path, help="where to write the report")
    options = parser.parse_args()
    seconds = options.seconds or (3.0 if options.quick else 10.0)
    rounds = options.rounds or (1 if options.quick else 5)
    without, beside = [], []
    for number in range(rounds):
        print(f"beside_calls: round {number + 1}", file=sys.stderr)
        without.append(run(options.rate, seconds, calls=False))
        beside.append(run(options.rate, seconds, calls=True))
    quiet, calling = _median(without), _median(beside)
    Console(width=120).print(table(quiet, calling, rounds))
    most = max(WITHIN * quiet.acked_p99_ms, quiet.acked_p99_ms + OR_MS)
    held = calling.acked_p99_ms <= most
    print(f"p99 within {WITHIN} times or {OR_MS:g} ms: {'yes' if held else 'no'}")
    print(machine())
    where = options.json or (None if options.quick else RESULTS / "beside_calls.json")
    if where is not None:
        report = {
            "command": "python -m benchmarks.beside_calls " + " ".join(sys.argv[1:]),
            "machine": machine(),
            "rounds": rounds,
            "held": held,
            "figures": {"paused": asdict(quiet), "calling": asdict(calling)},
        }
        where.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
