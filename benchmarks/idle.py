"""Memory and CPU time of connections that are in a room and quiet.

The memory is the resident memory of all the server's processes, with all connections
joined and three seconds later, less that with one connection, for each of them. What
the kernel holds for a socket is not in it. The CPU time is what the server then uses in
a minute: the load only answers pings.

Several systems are idle at the same time, to save time: next to nothing is done.

    python -m benchmarks.idle [--quick] [--only headgate]… [--connections 5000]
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.table import Table

from benchmarks.campaign import Campaign, options_of
from benchmarks.crowd import Crowd
from benchmarks.processes import raise_file_limit
from benchmarks.systems import Server, System

TOGETHER = 3  # systems that are idle at the same time
SETTLE_SECONDS = 3.0
TURN_SECONDS = 0.02  # of one crowd's reading


@dataclass
class Joined:
    """A system whose connections are all in."""

    system: System
    server: Server
    crowd: Crowd
    memory_bytes: int  # with one connection
    joined_bytes: int  # with all of them


def join(
    stack: contextlib.ExitStack, system: System, options: argparse.Namespace
) -> Joined:
    """Start a system and let all connections in; `stack` ends both."""
    server = stack.enter_context(system.start())
    crowd = Crowd(server.port, system.dialect)
    stack.callback(crowd.close)
    crowd.open(1)
    crowd.rest(SETTLE_SECONDS / 3)
    before = server.memory_bytes()
    crowd.open(options.connections)
    crowd.rest(min(SETTLE_SECONDS, options.seconds))
    return Joined(system, server, crowd, before, server.memory_bytes())


def rest(joined: Sequence[Joined], seconds: float) -> list[float]:
    """Let all be idle for so long; return the CPU time that each server used."""
    began = [each.server.cpu_seconds() for each in joined]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for each in joined:
            each.crowd.read(TURN_SECONDS)
    return [
        each.server.cpu_seconds() - before
        for each, before in zip(joined, began, strict=True)
    ]


def figure(
    joined: Joined, used: float, options: argparse.Namespace
) -> dict[str, object]:
    """Return what was measured of a system."""
    count = options.connections
    return {
        "system": joined.system.name,
        "connections": count,
        "bytes_per_connection": round(
            (joined.joined_bytes - joined.memory_bytes) / count
        ),
        "bytes_per_connection_after": round(
            (joined.server.memory_bytes() - joined.memory_bytes) / count
        ),
        "server_bytes": joined.memory_bytes,
        "idle_seconds": options.seconds,
        "cpu_seconds": round(used, 2),
        "cpu_ms_per_minute": round(used * 60 / options.seconds * 1000),
    }


def table(figures: Sequence[dict[str, object]]) -> Table:
    """Return the figures as people read them."""
    found = Table(title="Idle joined connections")
    for name in (
        "system",
        "connections",
        "KB each",
        "KB each after",
        "CPU ms a minute",
    ):
        found.add_column(name, justify="left" if name == "system" else "right")
    for each in figures:
        found.add_row(
            str(each["system"]),
            f"{each['connections']:,}",
            f"{int(str(each['bytes_per_connection'])) / 1024:.1f}",
            f"{int(str(each['bytes_per_connection_after'])) / 1024:.1f}",
            f"{each['cpu_ms_per_minute']:,}",
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and keep the report."""
    numbers = {"connections": (5000, 200), "seconds": (60.0, 1.0)}
    options = options_of(__doc__, arguments, numbers)
    # The load's, and those of a server that has another for each (to Redis).
    raise_file_limit(options.connections * TOGETHER + 1000)
    campaign = Campaign("idle", options)
    systems = campaign.systems()
    for first in range(0, len(systems), TOGETHER):
        with contextlib.ExitStack() as stack:
            found = [
                campaign.attempt(system, partial(join, stack, system, options))
                for system in systems[first : first + TOGETHER]
            ]
            joined = [each for each in found if each is not None]
            used = rest(joined, options.seconds)
            campaign.figures += [
                figure(each, cpu, options)
                for each, cpu in zip(joined, used, strict=True)
            ]
    Console(width=110).print(table(campaign.figures))
    return campaign.finish()


if __name__ == "__main__":
    sys.exit(main())
