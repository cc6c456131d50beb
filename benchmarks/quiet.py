"""How long a quiet room waits beside a saturated one.

Ten people watch a room in which somebody says something ten times in a second; in
another room of the same process a thousand watchers keep 64 messages in flight. The
latency is the time from a message's sending to its reading by each of the ten. It is
measured without the other room, and beside it.

    python -m benchmarks.quiet [--quick] [--watchers 1000] [--seconds 10]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from rich.console import Console
from rich.table import Table

from benchmarks.campaign import Campaign, median_of, options_of, percentile
from benchmarks.crowd import Client, Crowd
from benchmarks.dialects import HEADGATE as DIALECT
from benchmarks.dialects import ROOM, text
from benchmarks.fanout import Fanout
from benchmarks.processes import raise_file_limit
from benchmarks.systems import HEADGATE, Server

PEOPLE = 10
EVERY_SECONDS = 0.1
IN_FLIGHT = 64  # in the saturated room
TEXT_BYTES = 64
QUIET = "hush"  # as long as the other room's name: the frame stays as it is
_IN_ROOM, _IN_QUIET = b': "%b"' % ROOM.encode(), b': "%b"' % QUIET.encode()


@dataclass
class Turn:
    """One run."""

    p50_ms: float
    p99_ms: float
    longest_ms: float
    deliveries_per_second: float  # in the saturated room
    load_cpu: float


class QuietRoom:
    """Ten people in a room of their own, and their waits."""

    def __init__(self, server: Server) -> None:
        quiet = DIALECT.watch.replace(ROOM, QUIET)
        self.crowd = Crowd(server.port, replace(DIALECT, watch=quiet))
        people = self.crowd.open(PEOPLE)
        for each in people:
            each.sampled = True
        self.publisher = people[0]
        self.crowd.on_numbers = self._came
        self.waits: list[float] = []
        self._sent_at: list[float] = []
        self._next_at = time.perf_counter()

    def turn(self) -> None:
        """Say something if it is time to, and read."""
        now = time.perf_counter()
        if now >= self._next_at:
            self._next_at = now + EVERY_SECONDS
            number = len(self._sent_at)
            said = DIALECT.message(number, text(number, TEXT_BYTES))
            self._sent_at.append(time.perf_counter())
            self.publisher.send(said.replace(_IN_ROOM, _IN_QUIET))
        self.crowd.read(0)

    def _came(self, _client: Client, numbers: list[int]) -> None:
        now = time.perf_counter()
        self.waits += [now - self._sent_at[each] for each in numbers]


def visit(options: argparse.Namespace, *, beside: bool) -> Turn:
    """Start the server, run once, and stop it."""
    with HEADGATE.start() as server:
        quiet = QuietRoom(server)
        own, began = time.process_time(), time.perf_counter()
        deliveries = 0.0
        if beside:
            fanout = Fanout(HEADGATE, server, options.watchers, 0)
            fanout.crowd.on_turn = quiet.turn
            own, began = time.process_time(), time.perf_counter()
            deliveries = fanout.measure(
                IN_FLIGHT, options.seconds
            ).deliveries_per_second
            fanout.crowd.close()
        else:
            while time.perf_counter() < began + options.seconds:
                quiet.turn()
                time.sleep(0.0005)
        wall = time.perf_counter() - began
        own = time.process_time() - own
        quiet.crowd.close()
    return Turn(
        p50_ms=percentile(quiet.waits, 0.5) * 1000,
        p99_ms=percentile(quiet.waits, 0.99) * 1000,
        longest_ms=max(quiet.waits) * 1000,
        deliveries_per_second=deliveries,
        load_cpu=own / wall,
    )


def figure(name: str, turns: Sequence[Turn]) -> dict[str, object]:
    """Return the medians of the rounds."""
    return {
        "system": HEADGATE.name,
        "other_room": name,
        "rounds": len(turns),
        "p50_ms": round(median_of(turns, "p50_ms"), 2),
        "p99_ms": round(median_of(turns, "p99_ms"), 2),
        "longest_ms": round(max(turn.longest_ms for turn in turns), 2),
        "deliveries_per_second": round(median_of(turns, "deliveries_per_second")),
        "load_cpu": round(max(turn.load_cpu for turn in turns), 3),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and keep the report."""
    numbers = {"watchers": (1000, 50), "seconds": (10.0, 1.0), "rounds": (5, 1)}
    options = options_of(__doc__, arguments, numbers)
    raise_file_limit(options.watchers + 200)
    campaign = Campaign("quiet", options)
    turns: dict[bool, list[Turn]] = {False: [], True: []}
    (system,) = campaign.systems([HEADGATE])
    for _ in range(options.rounds):
        for beside, found in turns.items():
            turn = campaign.attempt(system, partial(visit, options, beside=beside))
            if turn is not None:
                found.append(turn)
    names = {
        False: "none",
        True: f"{options.watchers:,} watchers, {IN_FLIGHT} in flight",
    }
    campaign.figures = [
        figure(names[beside], found) for beside, found in turns.items() if found
    ]
    table = Table(title="A quiet room of ten")
    for name in ("beside it", "p50 ms", "p99 ms", "longest ms", "deliveries/s there"):
        table.add_column(name, justify="left" if name == "beside it" else "right")
    for each in campaign.figures:
        table.add_row(
            str(each["other_room"]),
            f"{each['p50_ms']:,}",
            f"{each['p99_ms']:,}",
            f"{each['longest_ms']:,}",
            f"{each['deliveries_per_second']:,}",
        )
    Console(width=110).print(table)
    return campaign.finish()


if __name__ == "__main__":
    sys.exit(main())
