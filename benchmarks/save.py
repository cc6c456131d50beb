"""Messages saved, fsynced and acknowledged, per CPU-second of the server.

64 connections, each in a room of its own and watching it, keep 64 messages in
flight, then 512. Beside Headgate runs the chat that a Channels tutorial leads to, on
the same database with the same durability, and Headgate with its message path compiled
(`scripts/compile` does that first). The server's own CPU time counts, so
that a busy machine matters less. In each round every system has its turn, and the turn
with the median is told: a machine may be slower in one minute than in the next.

    python -m benchmarks.save [--seconds 8] [--rounds 3] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import uvloop

from benchmarks.processes import (
    WIDE_LIMITS,
    command_of,
    cpu_seconds,
    free_port,
    machine,
    running,
)
from benchmarks.sockets import Socket

ROOT = Path(__file__).parents[1]
HEADGATE = "Headgate"
COMPILED = "Headgate, compiled"
ROOMS = 64
TEXT = "x" * 64
WARM_SECONDS = 2.0


@dataclass
class Figure:
    """What one run measured."""

    system: str
    in_flight: int
    saved: int
    wall_seconds: float
    cpu_seconds: float
    per_cpu_second: float
    per_second: float


class Load:
    """Keeps a number of messages in flight on each connection."""

    def __init__(self, *, headgate: bool, each: int) -> None:
        self.headgate = headgate
        self.each = each
        self.saved = 0
        self.sent = 0
        self.ended = False
        self.sockets: list[Socket] = []
        self.rooms: dict[Socket, str] = {}

    async def open(self, port: int) -> None:
        """Open one connection per room and join it."""
        for number in range(ROOMS):
            room = f"room-{number}"
            if self.headgate:
                socket = await Socket.open(
                    port,
                    f"/ws/chat/{room}/",
                    b'{"reply":',
                    self.acknowledged,
                    "headgate.v1",
                )
                socket.send({"cmd": "hello", "name": f"Guest {number}"})
            else:
                mark = b"Message received and saved."
                path = f"/ws/chat/{room}/"
                socket = await Socket.open(port, path, mark, self.acknowledged)
            self.sockets.append(socket)
            self.rooms[socket] = room
        await asyncio.sleep(0.5)

    def begin(self) -> None:
        """Put the first messages in flight."""
        for socket in self.sockets:
            for _ in range(self.each):
                self.send(socket)

    def acknowledged(self, socket: Socket, count: int) -> None:
        """Count acknowledgements and send as many messages again."""
        self.saved += count
        if not self.ended:
            for _ in range(count):
                self.send(socket)

    def send(self, socket: Socket) -> None:
        """Send one message."""
        self.sent += 1
        if self.headgate:
            message: dict[str, Any] = {
                "cmd": "send",
                "id": self.sent,
                "room": self.rooms[socket],
                # As our clients make them, see `headgate.client.writing`.
                "client_id": f"{time.time_ns() // 1_000_000:x}-{token_urlsafe(16)}",
                "text": TEXT,
            }
        else:
            message = {"message": TEXT}
        socket.send(message)


async def measure(
    port: int,
    pid: int,
    *,
    system: str,
    in_flight: int,
    seconds: float,
) -> Figure:
    """Run one load and return what was saved in the time after warming up."""
    load = Load(headgate=system in {HEADGATE, COMPILED}, each=in_flight // ROOMS)
    await load.open(port)
    load.begin()
    await asyncio.sleep(WARM_SECONDS)
    saved, cpu, began = load.saved, cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    saved = load.saved - saved
    cpu = cpu_seconds(pid) - cpu
    wall = time.perf_counter() - began
    load.ended = True
    for socket in load.sockets:
        socket.transport.close()
    return Figure(
        system=system,
        in_flight=in_flight,
        saved=saved,
        wall_seconds=round(wall, 2),
        cpu_seconds=round(cpu, 2),
        per_cpu_second=round(saved / cpu),
        per_second=round(saved / wall),
    )


# What is measured, and the module and options that start it.
SYSTEMS = {
    "Channels chat with the ORM": ("benchmarks.peers.channels_chat",),
    "the same, SQLite tuned": ("benchmarks.peers.channels_chat", "--tuned"),
    HEADGATE: ("headgate", "serve", "--guests", *WIDE_LIMITS),
    COMPILED: ("headgate", "serve", "--guests", *WIDE_LIMITS),
}


def run(system: str, *, in_flight: int, seconds: float) -> Figure:
    """Start a server on an empty database, load it, stop it."""
    port = free_port()
    env = dict(os.environ)
    if system == COMPILED:
        env["PYTHONPATH"] = str(ROOT / ".compiled")
    with tempfile.TemporaryDirectory() as folder:
        where = ("--port", str(port), "--data", str(Path(folder) / "data"))
        with running(*SYSTEMS[system], *where, port=port, env=env) as pid:
            return uvloop.run(
                measure(
                    port,
                    pid,
                    system=system,
                    in_flight=in_flight,
                    seconds=seconds,
                ),
            )


def middle_of(turns: Sequence[Figure]) -> Figure:
    """Return the turn with the median per CPU-second; the lower of two."""
    ascending = sorted(turns, key=lambda turn: turn.per_cpu_second)
    return ascending[(len(ascending) - 1) // 2]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only-headgate", action="store_true")
    options = parser.parse_args()
    systems = [HEADGATE, COMPILED] if options.only_headgate else list(SYSTEMS)
    subprocess.run([ROOT / "scripts/compile"], check=True)
    figures = []
    for in_flight in (64, 512):
        rounds = [
            [
                run(system, in_flight=in_flight, seconds=options.seconds)
                for system in systems
            ]
            for _ in range(options.rounds)
        ]
        figures += map(middle_of, zip(*rounds, strict=True))
    if options.json:
        told = {
            "command": command_of("save"),
            "machine": machine(),
            "figures": [asdict(each) for each in figures],
        }
        print(json.dumps(told))
        return 0
    print(f"{'system':24}{'in flight':>10}{'saved':>9}{'per CPU-s':>11}{'per s':>9}")
    for figure in figures:
        print(
            f"{figure.system:24}{figure.in_flight:>10}{figure.saved:>9}"
            f"{figure.per_cpu_second:>11}{figure.per_second:>9}",
        )
    print(machine())
    return 0


if __name__ == "__main__":
    sys.exit(main())
