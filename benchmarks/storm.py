"""Everybody back at once after a restart of the server, each with much to catch up.

5,000 guests are let into a room of Headgate, and then the server ends and is started
anew on the same data. 100 messages are written while nobody is there. Then all come
back as fast as connections are taken, resume, and read what they missed. Whoever is
refused, or told to come later, comes when told. Each must get the 100 messages, once
and in order; every hundredth's numbers are looked at, the others' are counted.

No peer is beside it: what they do not keep nobody can catch up with.

    python -m benchmarks.storm [--quick] [--connections 5000] [--behind 100]
"""

from __future__ import annotations

import argparse
import heapq
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.campaign import Campaign, median_of, options_of, percentile
from benchmarks.crowd import Client, Crowd
from benchmarks.dialects import HEADGATE as DIALECT
from benchmarks.dialects import back_to_headgate, text
from benchmarks.metrics import log_reads
from benchmarks.processes import free_port, raise_file_limit
from benchmarks.systems import HEADGATE, Server, headgate_server

SAMPLED = 100  # the numbers of one in so many are looked at
TEXT_BYTES = 64
AT_ONCE = 1000  # on their way in, below the backlog of a listening socket
STORM_SECONDS = 120.0  # then it is given up
LOST_SECONDS = 0.5  # until whoever was cut off without a word comes again
# The reads of the log are counted there; they need an extra of the package.
METRICS = ("--metrics",) if find_spec("prometheus_client") else ()
_RETRY = re.compile(rb'"retry_after_ms":(\d+)')


@dataclass
class Turn:
    """One storm: how long it took, and what the server used for it."""

    seconds: float  # from the first connection to the last who has all
    p50_seconds: float  # of one of them, from the beginning of the storm
    p99_seconds: float
    caught_up: int
    doubled: int
    out_of_order: int
    told_to_wait: int  # who were told retry_after_ms, each counted once
    cut_off: int  # connections that ended without that
    cpu_seconds: float
    load_cpu: float
    memory_bytes: int
    log_reads: float | None  # where the server tells its metrics


class Storm:
    """Those who come back, each with what they say, until all have all."""

    def __init__(self, port: int, greetings: Sequence[bytes], behind: int) -> None:
        self.greetings = greetings
        self.behind = behind
        self.crowd = Crowd(port, DIALECT)
        self.crowd.on_joined = self._joined
        self.crowd.on_lost = self._lost
        self.crowd.on_marks = self._seen
        self.crowd.on_numbers = self._numbers
        self.doubled = 0
        self.out_of_order = 0
        self.cut_off = 0
        self.waited: set[int] = set()  # the places of those who were told to
        self.done: list[float] = []
        self._places: dict[Client, int] = {}
        self._expected: dict[Client, int] = {}
        # When each place is to come, and which; all of them at once, to begin with.
        self._coming = [(0.0, place) for place in range(len(greetings))]
        self._on_their_way = 0
        self._began = time.perf_counter()

    def run(self) -> None:
        """Let all come back, until all have all or it takes too long."""
        until = self._began + STORM_SECONDS
        while len(self.done) < len(self.greetings) and time.perf_counter() < until:
            now = time.perf_counter()
            while (
                self._coming and self._coming[0][0] <= now
            ) and self._on_their_way < AT_ONCE:
                self._come(heapq.heappop(self._coming)[1])
            self.crowd.read(0.01)

    def _come(self, place: int) -> None:
        client = self.crowd.begin(greeting=self.greetings[place])
        client.sampled = place % SAMPLED == 0
        self._places[client] = place
        self._expected[client] = 0
        self._on_their_way += 1

    def _joined(self, client: Client) -> None:
        self._on_their_way -= 1
        told = _RETRY.search(client.opening)
        if told is not None:  # of the room: it can be come back to later
            self.crowd.drop(client)
            self._come_later(client, int(told[1]) / 1000, told_to=True)

    def _lost(self, client: Client) -> None:
        if not client.joined:
            self._on_their_way -= 1
        if client.marks >= self.behind:
            raise ConnectionError("one who had caught up was cut off")
        told = _RETRY.search(client.opening)
        if told is None:
            self.cut_off += 1
            self._come_later(client, LOST_SECONDS, told_to=False)
        else:
            self._come_later(client, int(told[1]) / 1000, told_to=True)

    def _come_later(self, client: Client, seconds: float, *, told_to: bool) -> None:
        place = self._places.pop(client)
        if told_to:
            self.waited.add(place)
        heapq.heappush(self._coming, (time.perf_counter() + seconds, place))

    def _seen(self, client: Client, marks: int) -> None:
        if client.marks > self.behind:
            self.doubled += min(marks, client.marks - self.behind)
        if client.marks - marks < self.behind <= client.marks:
            self.done.append(time.perf_counter() - self._began)

    def _numbers(self, client: Client, numbers: list[int]) -> None:
        first = self._expected[client]
        self._expected[client] += len(numbers)
        self.out_of_order += numbers != list(range(first, first + len(numbers)))


def visit(options: argparse.Namespace) -> Turn:
    """Fill a room, restart its server, let all miss messages, and let them back."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        with headgate_server(where, port=port):
            crowd = Crowd(port, DIALECT)
            clients = crowd.open(options.connections)
            greetings = [back_to_headgate(client.opening) for client in clients]
            crowd.close()
        with headgate_server(where, port=port, options=METRICS) as server:
            _write(server, options.behind)
            storm = Storm(port, greetings, options.behind)
            try:
                return _measure(storm, server)
            finally:
                storm.crowd.close()


def _measure(storm: Storm, server: Server) -> Turn:
    before = log_reads(server.port)
    cpu, own, began = server.cpu_seconds(), time.process_time(), time.perf_counter()
    storm.run()
    wall = time.perf_counter() - began
    own = time.process_time() - own
    used = server.cpu_seconds() - cpu
    storm.crowd.rest(1.0)  # what is doubled would come late
    after = log_reads(server.port)
    done = storm.done or [STORM_SECONDS]
    return Turn(
        seconds=max(done),
        p50_seconds=percentile(done, 0.5),
        p99_seconds=percentile(done, 0.99),
        caught_up=len(storm.done),
        doubled=storm.doubled,
        out_of_order=storm.out_of_order,
        told_to_wait=len(storm.waited),
        cut_off=storm.cut_off,
        cpu_seconds=used,
        load_cpu=own / wall,
        memory_bytes=server.memory_bytes(),
        log_reads=None if after is None else after - (before or 0),
    )


def _write(server: Server, messages: int) -> None:
    """Write so many messages into the room, and wait until all are written."""
    crowd = Crowd(server.port, DIALECT)
    try:
        writer = crowd.open(1)[0]
        for number in range(messages):
            writer.send(DIALECT.message(number, text(number, TEXT_BYTES)))
        until = time.monotonic() + 30
        while writer.marks < messages:
            crowd.read(0.05)
            if time.monotonic() > until:
                raise TimeoutError(f"{writer.marks} of {messages} messages written")
    finally:
        crowd.close()


def figure(options: argparse.Namespace, turns: Sequence[Turn]) -> dict[str, object]:
    """Return the medians of the rounds; what must not be is added up."""
    reads = [turn.log_reads for turn in turns if turn.log_reads is not None]
    return {
        "system": HEADGATE.name,
        "connections": options.connections,
        "behind": options.behind,
        "rounds": len(turns),
        "seconds": round(median_of(turns, "seconds"), 2),
        "p50_seconds": round(median_of(turns, "p50_seconds"), 2),
        "p99_seconds": round(median_of(turns, "p99_seconds"), 2),
        "caught_up": min(turn.caught_up for turn in turns),
        "doubled": sum(turn.doubled for turn in turns),
        "out_of_order": sum(turn.out_of_order for turn in turns),
        "told_to_wait": round(median_of(turns, "told_to_wait")),
        "cut_off": round(median_of(turns, "cut_off")),
        "cpu_seconds": round(median_of(turns, "cpu_seconds"), 2),
        "load_cpu": round(max(turn.load_cpu for turn in turns), 3),
        "memory_bytes": round(median_of(turns, "memory_bytes")),
        "log_reads": max(reads) if reads else None,
    }


def table(figures: Sequence[dict[str, object]]) -> Table:
    """Return the figures as people read them."""
    found = Table(title="All back at once, medians of the rounds")
    found.add_column("what")
    for _ in figures:
        found.add_column("figure", justify="right")
    for name in figures[0] if figures else ():
        found.add_row(name.replace("_", " "), *(str(each[name]) for each in figures))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep the report, and fail where somebody did not get all."""
    numbers = {"connections": (5000, 100), "behind": (100, 20), "rounds": (3, 1)}
    options = options_of(__doc__, arguments, numbers)
    raise_file_limit(options.connections + 1000)
    campaign = Campaign("storm", options)
    turns: list[Turn] = []
    for system in campaign.systems([HEADGATE]):
        for _ in range(options.rounds):
            turn = campaign.attempt(system, partial(visit, options))
            if turn is not None:
                turns.append(turn)
    if turns:
        campaign.figures = [figure(options, turns)]
    Console(width=100).print(table(campaign.figures))
    right = all(
        turn.caught_up == options.connections
        and not turn.doubled
        and not turn.out_of_order
        for turn in turns
    )
    return campaign.finish() if right else campaign.finish() or 1


if __name__ == "__main__":
    sys.exit(main())
