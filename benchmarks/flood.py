"""What somebody who floods costs the others, and the server.

Polite people write into rooms of their own, each from an address of their own, well
below their limits, and their acknowledgements are timed. Beside them one connection
sends as fast as it is let, for each rung of the ladder: refused only, not read after
too many refusals, and cut off after more. A plain Channels chat gets the same.

Each rung is measured with the flooder and without, one right after the other, five
times over; the medians are told. `refused per CPU-second` is of the CPU time that the
server used beyond that of the run without a flooder.

    python -m benchmarks.flood [--seconds 5] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.processes import (
    command_of,
    cpu_seconds,
    free_port,
    machine,
    running,
)
from benchmarks.sockets import Socket, masked

POLITE = 20  # people
PAUSE_SECONDS = 0.25  # between two messages of one of them; the limit is raised to that
WARM_SECONDS = 1.0
CHUNK_BYTES = 16 * 1024  # what the flooder writes at once

HEADGATE = ("headgate", "serve", "--guests", "--limit", "send=10/s:20")
HEADGATE += ("--limit", "send.all=10/s:20", "--limit", "command=20/s:60")
# Rung: how it is started, and what its environment says.
NEVER = "1000000000"
RUNGS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "refused only": (
        HEADGATE,
        {
            "HEADGATE_REFUSALS_BEFORE_PAUSE": "999999999",
            "HEADGATE_REFUSALS_BEFORE_CLOSE": NEVER,
        },
    ),
    "closed after 300": (
        HEADGATE,
        {
            "HEADGATE_REFUSALS_BEFORE_PAUSE": "299",
            "HEADGATE_PAUSE_SECONDS": "0.001",
        },
    ),
    "not read after 20": (HEADGATE, {}),  # as by default
    "plain Channels chat": (("benchmarks.peers.channels_chat",), {}),
}


@dataclass
class Run:
    """One run: what the polite saw, and what the server used."""

    p50_ms: float
    p99_ms: float
    cpu_seconds: float
    answered: int  # to the flooder: refusals, or what a chat without limits saves
    wall_seconds: float


@dataclass
class Figure:
    """The medians of a rung's runs, with the flooder beside without."""

    rung: str
    quiet_p50_ms: float
    quiet_p99_ms: float
    flooded_p50_ms: float
    flooded_p99_ms: float
    quiet_cpu: float
    flooded_cpu: float
    answered_per_second: float
    answered_per_cpu_second: float | None


class Polite:
    """Somebody who writes now and then and times the answers."""

    def __init__(self, number: int, *, headgate: bool) -> None:
        self.number = number
        self.headgate = headgate
        self.waits_ms: list[float] = []
        self._sent_at = 0.0
        self._answered = asyncio.Event()
        self.socket: Socket

    async def open(self, port: int) -> None:
        """Connect to a room of their own, from an address of their own."""
        mark = b'{"reply":' if self.headgate else b"Message received and saved."
        self.socket = await Socket.open(
            port,
            f"/ws/chat/room-{self.number}/",
            mark,
            self._answer,
            "headgate.v1" if self.headgate else None,
            source=f"127.0.1.{self.number + 1}",
        )
        if self.headgate:
            self.socket.send({"cmd": "hello"})

    def _answer(self, _socket: Socket, _count: int) -> None:
        self.waits_ms.append((time.perf_counter() - self._sent_at) * 1000)
        self._answered.set()

    async def talk(self, until: float) -> None:
        """Write, wait for the answer, rest."""
        await asyncio.sleep(PAUSE_SECONDS * self.number / POLITE)
        count = 0
        while time.perf_counter() < until:
            count += 1
            self._answered.clear()
            self._sent_at = time.perf_counter()
            self.socket.send(message(f"room-{self.number}", count, self.headgate))
            async with asyncio.timeout(30):
                await self._answered.wait()
            await asyncio.sleep(PAUSE_SECONDS)


class Flooder:
    """Sends as fast as the server takes it, and comes back when it is cut off."""

    def __init__(self, port: int, *, headgate: bool) -> None:
        self.port = port
        self.headgate = headgate
        self.answered = 0
        self._mark = b'{"reply":' if headgate else b"Message received and saved."
        frame = masked(json.dumps(message("flood", 1, headgate)).encode())
        self._chunk = frame * max(1, CHUNK_BYTES // len(frame))

    async def flood(self, until: float) -> None:
        """Flood until then, on one connection after the other."""
        while time.perf_counter() < until:
            try:
                socket = await self._open()
            except (OSError, ConnectionError):
                await asyncio.sleep(0.05)
                continue
            while time.perf_counter() < until and not socket.transport.is_closing():
                if socket.transport.get_write_buffer_size() < 4 * CHUNK_BYTES:
                    socket.transport.write(self._chunk)
                await asyncio.sleep(0.0005)
            socket.transport.abort()

    async def _open(self) -> Socket:
        def count(_socket: Socket, number: int) -> None:
            self.answered += number

        socket = await Socket.open(
            self.port,
            "/ws/chat/flood/",
            self._mark,
            count,
            "headgate.v1" if self.headgate else None,
            source="127.0.2.1",
        )
        if self.headgate:
            socket.send({"cmd": "hello"})
        return socket


def message(room: str, number: int, headgate: bool) -> dict[str, Any]:  # noqa: FBT001
    """Return a message as the system takes it."""
    if not headgate:
        return {"message": "x" * 64}
    return {"cmd": "send", "id": number, "room": room, "text": "x" * 64}


async def measure(
    port: int, pid: int, seconds: float, *, headgate: bool, flood: bool
) -> Run:
    """Run once, and return what was seen after warming up."""
    people = [Polite(number, headgate=headgate) for number in range(POLITE)]
    for person in people:
        await person.open(port)
    until = time.perf_counter() + WARM_SECONDS + seconds
    flooder = Flooder(port, headgate=headgate)
    tasks = [asyncio.create_task(person.talk(until)) for person in people]
    if flood:
        tasks.append(asyncio.create_task(flooder.flood(until)))
    await asyncio.sleep(WARM_SECONDS)
    for person in people:
        person.waits_ms.clear()
    answered, cpu, began = flooder.answered, cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    used = cpu_seconds(pid) - cpu
    wall = time.perf_counter() - began
    answered = flooder.answered - answered
    await asyncio.gather(*tasks)
    waits = sorted(wait for person in people for wait in person.waits_ms)
    for person in people:
        person.socket.transport.abort()
    return Run(
        p50_ms=statistics.median(waits),
        p99_ms=waits[int(len(waits) * 0.99) - 1],
        cpu_seconds=used,
        answered=answered,
        wall_seconds=wall,
    )


def run(rung: str, seconds: float, *, flood: bool) -> Run:
    """Start a server on an empty database, run once, stop it."""
    command, ladder = RUNGS[rung]
    port = free_port()
    environment = {**os.environ, **ladder}
    with tempfile.TemporaryDirectory() as folder:
        where = ("--port", str(port), "--data", str(Path(folder) / "data"))
        with running(*command, *where, port=port, env=environment) as pid:
            return uvloop.run(
                measure(
                    port,
                    pid,
                    seconds,
                    headgate=command[0] == "headgate",
                    flood=flood,
                ),
            )


def figure(rung: str, seconds: float, rounds: int) -> Figure:
    """Measure a rung with the flooder and without, and return the medians."""
    quiet, flooded = [], []
    for _ in range(rounds):
        quiet.append(run(rung, seconds, flood=False))
        flooded.append(run(rung, seconds, flood=True))

    def median(runs: list[Run], name: str) -> float:
        return round(statistics.median(getattr(each, name) for each in runs), 2)

    extra = median(flooded, "cpu_seconds") - median(quiet, "cpu_seconds")
    answered = median(flooded, "answered")
    return Figure(
        rung=rung,
        quiet_p50_ms=median(quiet, "p50_ms"),
        quiet_p99_ms=median(quiet, "p99_ms"),
        flooded_p50_ms=median(flooded, "p50_ms"),
        flooded_p99_ms=median(flooded, "p99_ms"),
        quiet_cpu=round(median(quiet, "cpu_seconds") / seconds, 3),
        flooded_cpu=round(median(flooded, "cpu_seconds") / seconds, 3),
        answered_per_second=round(answered / seconds),
        answered_per_cpu_second=round(answered / extra) if extra > 0.2 else None,
    )


def table(figures: list[Figure], rounds: int) -> Table:
    """Return the figures as people read them."""
    found = Table(title=f"Polite people beside a flooder, medians of {rounds} rounds")
    for name in ("rung", "p50", "p99", "p50 flooded", "p99 flooded"):
        found.add_column(name, justify="left" if name == "rung" else "right")
    for name in ("CPU", "CPU flooded", "answered/s", "answered/CPU-s"):
        found.add_column(name, justify="right")
    for each in figures:
        per_cpu = each.answered_per_cpu_second
        found.add_row(
            each.rung,
            f"{each.quiet_p50_ms:.2f} ms",
            f"{each.quiet_p99_ms:.2f} ms",
            f"{each.flooded_p50_ms:.2f} ms",
            f"{each.flooded_p99_ms:.2f} ms",
            f"{each.quiet_cpu:.1%}",
            f"{each.flooded_cpu:.1%}",
            f"{each.answered_per_second:,.0f}",
            "-" if per_cpu is None else f"{per_cpu:,.0f}",
        )
    return found


def main() -> int:
    """Measure, print, and keep the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rung", choices=RUNGS, action="append")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    rungs = options.rung or list(RUNGS)
    figures = [figure(rung, options.seconds, options.rounds) for rung in rungs]
    Console(width=120).print(table(figures, options.rounds))
    print(machine())
    if options.json is not None:
        found = {
            "command": command_of("flood"),
            "machine": machine(),
            "figures": [asdict(each) for each in figures],
        }
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
