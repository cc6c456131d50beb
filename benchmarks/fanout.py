"""Deliveries per CPU-second of the server, and how long a message takes to a watcher.

A thousand watchers of one room keep 1, 16 or 64 messages of 64 bytes in flight, which
as many of them send in turn (`--publishers 1` has one of them send all). A message is
in flight from the moment in which it is sent until the last of the watchers has read
it, and then the next one is sent. A delivery is one message read by one watcher, its
sender included; the CPU time is that of all the server's processes, user and system, in
the same window. The latency is the time from a message's sending to its reading by a
sampled watcher, every fiftieth in the order of coming; it has the load's own reading in
it. Where the load used more than nine tenths of its core, the row is marked: more of
the latency is its own then, while deliveries per CPU-second hold.

Each round starts every system anew; the medians over the rounds are told. A slow
system has one round, and its windows are longer.

    python -m benchmarks.fanout [--quick] [--only headgate]… [--watchers 1000]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.table import Table

from benchmarks.campaign import Campaign, median_of, options_of, percentile
from benchmarks.crowd import Client, Crowd
from benchmarks.dialects import text
from benchmarks.processes import raise_file_limit
from benchmarks.systems import Server, System

IN_FLIGHT = (1, 16, 64)
SAMPLED = 50  # one watcher in so many has its latencies taken
TEXT_BYTES = 64
WARM_SECONDS = 0.5
SLOW_SECONDS = 30.0  # of a slow system's window, at most
STUCK_SECONDS = 15.0  # with messages in flight and nothing delivered
SATURATED = 0.9  # of the load's core


@dataclass
class Turn:
    """One window: what was delivered, how late, and at which cost."""

    deliveries: int
    deliveries_per_cpu_second: float
    deliveries_per_second: float
    p50_ms: float
    p99_ms: float
    at_least: bool  # nothing sent in this phase was delivered: the latency so far
    server_cpu: float  # of a core
    load_cpu: float


class Fanout:
    """The watchers of a room, who keep messages in flight."""

    def __init__(
        self, system: System, server: Server, watchers: int, publishers: int
    ) -> None:
        self.system = system
        self.server = server
        self.crowd = Crowd(server.port, system.dialect)
        self.watchers = self.crowd.open(watchers)
        self.publishers = self.crowd.publishers(
            self.watchers, publishers or max(IN_FLIGHT)
        )
        for client in self.watchers[::SAMPLED]:
            client.sampled = True
        self.crowd.on_marks = self._received
        self.crowd.on_numbers = self._sample
        self.crowd.rest(WARM_SECONDS)
        self.deliveries = 0
        self.delayed: list[float] = []
        self._sent_at: list[float] = []
        # How many watchers have seen so many messages; the least of these numbers is
        # how many messages all have seen.
        self._having = [watchers]
        self._complete = 0
        self._sampled_from = 0

    def measure(self, in_flight: int, seconds: float) -> Turn:
        """Keep so many in flight, warm up, and return what a window saw."""
        self._sampled_from = len(self._sent_at)
        self._run(in_flight, WARM_SECONDS)
        self.delayed.clear()
        before, cpu = self.deliveries, self.server.cpu_seconds()
        own, began = time.process_time(), time.perf_counter()
        self._run(in_flight, seconds)
        if self.system.slow:
            self._run_on(in_flight, SLOW_SECONDS - seconds)
        wall = time.perf_counter() - began
        own = time.process_time() - own
        used = self.server.cpu_seconds() - cpu
        delivered = self.deliveries - before
        at_least = not self.delayed
        if at_least:
            now = time.perf_counter()
            self.delayed = [now - at for at in self._sent_at[self._sampled_from :]]
        delayed = self.delayed or [wall]
        return Turn(
            deliveries=delivered,
            deliveries_per_cpu_second=delivered / max(used, 0.01),
            deliveries_per_second=delivered / wall,
            p50_ms=percentile(delayed, 0.5) * 1000,
            p99_ms=percentile(delayed, 0.99) * 1000,
            at_least=at_least,
            server_cpu=used / wall,
            load_cpu=own / wall,
        )

    def _run_on(self, in_flight: int, seconds: float) -> None:
        """Go on until what is in flight at first has come, at most so long."""
        until = time.perf_counter() + seconds
        enough = self._sampled_from + 2 * in_flight
        while self._complete < enough and time.perf_counter() < until:
            self._run(in_flight, 0.1)

    def _run(self, in_flight: int, seconds: float) -> None:
        until = time.perf_counter() + seconds
        stuck_at = time.perf_counter() + STUCK_SECONDS
        seen = self.deliveries
        while (now := time.perf_counter()) < until:
            while len(self._sent_at) - self._complete < in_flight:
                self._send(in_flight)
            self.crowd.read(until - now)
            while not self._having[self._complete]:
                self._complete += 1
            if self.deliveries != seen:
                seen, stuck_at = self.deliveries, now + STUCK_SECONDS
            elif now > stuck_at:
                raise RuntimeError(
                    f"{len(self._sent_at) - self._complete} messages in flight, and "
                    f"nothing delivered in {STUCK_SECONDS:g} s"
                )

    def _send(self, in_flight: int) -> None:
        number = len(self._sent_at)
        said = self.system.dialect.message(number, text(number, TEXT_BYTES))
        publisher = self.publishers[number % min(in_flight, len(self.publishers))]
        self._having.append(0)
        self._sent_at.append(time.perf_counter())
        publisher.send(said)

    def _received(self, client: Client, marks: int) -> None:
        seen = client.marks
        if seen > len(self._sent_at):
            raise RuntimeError(f"watcher {client.number} got more than was sent")
        self.deliveries += marks
        self._having[seen - marks] -= 1
        self._having[seen] += 1

    def _sample(self, _client: Client, numbers: list[int]) -> None:
        now = time.perf_counter()
        sent_at, first = self._sent_at, self._sampled_from
        self.delayed += [now - sent_at[each] for each in numbers if each >= first]


def visit(system: System, options: argparse.Namespace) -> dict[int, Turn]:
    """Start a system, measure it with each number in flight, and stop it."""
    with system.start() as server:
        fanout = Fanout(system, server, options.watchers, options.publishers)
        seconds = options.seconds
        try:
            return {number: fanout.measure(number, seconds) for number in IN_FLIGHT}
        finally:
            fanout.crowd.close()


def figure(system: System, in_flight: int, turns: Sequence[Turn]) -> dict[str, object]:
    """Return the medians of a system's rounds."""
    load = max(turn.load_cpu for turn in turns)
    return {
        "system": system.name,
        "saves": system.saves,
        "in_flight": in_flight,
        "rounds": len(turns),
        "deliveries": sum(turn.deliveries for turn in turns),
        "deliveries_per_cpu_second": round(
            median_of(turns, "deliveries_per_cpu_second")
        ),
        "deliveries_per_second": round(median_of(turns, "deliveries_per_second")),
        "p50_ms": round(median_of(turns, "p50_ms"), 2),
        "p99_ms": round(median_of(turns, "p99_ms"), 2),
        "at_least": any(turn.at_least for turn in turns),
        "server_cpu": round(median_of(turns, "server_cpu"), 3),
        "load_cpu": round(load, 3),
        "load_saturated": load > SATURATED,
    }


def table(figures: Sequence[dict[str, object]]) -> Table:
    """Return the figures as people read them."""
    found = Table(title="Fan-out of one room, medians of the rounds")
    for name in ("system", "in flight", "deliveries/CPU-s", "/s", "p50 ms", "p99 ms"):
        found.add_column(name, justify="left" if name == "system" else "right")
    for name in ("server CPU", "load CPU", "rounds"):
        found.add_column(name, justify="right")
    for each in figures:
        least = ">" if each["at_least"] else ""
        found.add_row(
            str(each["system"]),
            str(each["in_flight"]),
            f"{each['deliveries_per_cpu_second']:,}",
            f"{each['deliveries_per_second']:,}",
            f"{least}{each['p50_ms']:,}",
            f"{least}{each['p99_ms']:,}",
            f"{each['server_cpu']:.0%}",
            f"{each['load_cpu']:.0%}{' saturated' if each['load_saturated'] else ''}",
            str(each["rounds"]),
        )
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and keep the report."""
    numbers = {
        "watchers": (1000, 100),
        "publishers": (0, 0),  # as many as are in flight
        "seconds": (4.0, 0.5),
        "rounds": (3, 1),
    }
    options = options_of(__doc__, arguments, numbers)
    raise_file_limit(options.watchers + 200)
    campaign = Campaign("fanout", options)
    systems = campaign.systems()
    turns: dict[str, list[dict[int, Turn]]] = {system.name: [] for system in systems}
    for number in range(options.rounds):
        for system in systems:
            if number and system.slow:
                continue
            turn = campaign.attempt(system, partial(visit, system, options))
            if turn is not None:
                turns[system.name].append(turn)
    campaign.figures = [
        figure(system, in_flight, [turn[in_flight] for turn in turns[system.name]])
        for in_flight in IN_FLIGHT
        for system in systems
        if turns[system.name]
    ]
    Console(width=130).print(table(campaign.figures))
    return campaign.finish()


if __name__ == "__main__":
    sys.exit(main())
