"""Connections let in per CPU-second of the server.

A client is in when it has shaken hands, said who it is and where it wants to be, and
knows that whatever is said from now on reaches it: for Headgate the welcome, for
Socket.IO the namespace's answer, for NATS the answer to a ping behind its subscription,
for the others the handshake, which they answer once they are ready. 64 clients at a
time are on their way in, until all are in and stay; each round has a server of its own.

    python -m benchmarks.connect [--quick] [--only headgate]… [--connections 5000]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.table import Table

from benchmarks.campaign import Campaign, median_of, options_of, percentile
from benchmarks.crowd import Client, Crowd
from benchmarks.processes import raise_file_limit
from benchmarks.systems import System

AT_ONCE = 64
FIRST = 50  # that come before what is measured, so that code is loaded


@dataclass
class Turn:
    """One round: how fast all were let in, and at which cost."""

    per_cpu_second: float
    per_second: float
    p50_ms: float
    p99_ms: float
    load_cpu: float


def visit(system: System, connections: int) -> Turn:
    """Start a system, let all in, and stop it."""
    waits: list[float] = []

    def joined(client: Client) -> None:
        waits.append(time.perf_counter() - client.began)

    with system.start() as server:
        crowd = Crowd(server.port, system.dialect)
        try:
            crowd.open(FIRST)
            crowd.on_joined = joined
            cpu, own = server.cpu_seconds(), time.process_time()
            began = time.perf_counter()
            crowd.open(connections, at_once=AT_ONCE)
            wall = time.perf_counter() - began
            own = time.process_time() - own
            used = server.cpu_seconds() - cpu
        finally:
            crowd.close()
    return Turn(
        per_cpu_second=connections / max(used, 0.01),
        per_second=connections / wall,
        p50_ms=percentile(waits, 0.5) * 1000,
        p99_ms=percentile(waits, 0.99) * 1000,
        load_cpu=own / wall,
    )


def figure(system: System, turns: Sequence[Turn]) -> dict[str, object]:
    """Return the medians of a system's rounds."""
    return {
        "system": system.name,
        "rounds": len(turns),
        "connects_per_cpu_second": round(median_of(turns, "per_cpu_second")),
        "connects_per_second": round(median_of(turns, "per_second")),
        "p50_ms": round(median_of(turns, "p50_ms"), 2),
        "p99_ms": round(median_of(turns, "p99_ms"), 2),
        "load_cpu": round(max(turn.load_cpu for turn in turns), 3),
    }


def table(figures: Sequence[dict[str, object]]) -> Table:
    """Return the figures as people read them."""
    found = Table(title=f"Connecting, {AT_ONCE} at a time, medians of the rounds")
    for name in ("system", "connects/CPU-s", "/s", "p50 ms", "p99 ms", "load CPU"):
        found.add_column(name, justify="left" if name == "system" else "right")
    for each in figures:
        found.add_row(
            str(each["system"]),
            f"{each['connects_per_cpu_second']:,}",
            f"{each['connects_per_second']:,}",
            str(each["p50_ms"]),
            str(each["p99_ms"]),
            f"{each['load_cpu']:.0%}",
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and keep the report."""
    numbers = {"connections": (5000, 200), "rounds": (3, 1)}
    options = options_of(__doc__, arguments, numbers)
    raise_file_limit(2 * options.connections + 1000)
    campaign = Campaign("connect", options)
    systems = campaign.systems()
    turns: dict[str, list[Turn]] = {system.name: [] for system in systems}
    for _ in range(options.rounds):
        for system in systems:
            turn = campaign.attempt(system, partial(visit, system, options.connections))
            if turn is not None:
                turns[system.name].append(turn)
    campaign.figures = [
        figure(system, turns[system.name]) for system in systems if turns[system.name]
    ]
    Console(width=110).print(table(campaign.figures))
    return campaign.finish()


if __name__ == "__main__":
    sys.exit(main())
