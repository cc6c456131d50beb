"""What watchers who never read cost those who do, and the server.

One room, 200 messages a second of 1 KB. Some of its watchers are let in and read
nothing from then on, with a small buffer of the kernel's, so that it is the server that
must keep or drop what is meant for them. Each round is run without them and then with
them, each time on a server of its own; the medians over the rounds are told.

The latency is the time from a message's sending to its reading by every tenth of the
readers; it begins a second after the first message. Messages that have not come ten
seconds after the last was sent are missing, and their time until then is counted; a
row with some of them is marked. The memory is how much more the
server's resident memory grew from the first message to the last, with the stalled ones
than without, for each of them. The kernel's own buffers are not in it: they take some
megabytes for each before a server notices, so peers are run longer beside the stalled
ones (`--peer-seconds`). Afterwards twenty of Headgate's stalled watchers come back,
resume, and must get every message, once and in order; of a long run the last 9,000, as
past 10,000 (`RESUME_LIMIT`) they would be told to load the room afresh.

    python -m benchmarks.stalled [--quick] [--only headgate]… [--seconds 14]
"""

from __future__ import annotations

import argparse
import select
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.table import Table

from benchmarks.campaign import Campaign, median_of, options_of, percentile
from benchmarks.crowd import Client, Crowd
from benchmarks.dialects import back_to_headgate, text
from benchmarks.processes import raise_file_limit
from benchmarks.systems import HEADGATE, Server, System

SAMPLED = 10  # one reader in so many has its latencies taken
TEXT_BYTES = 1024
WARM_SECONDS = 1.0
LATE_SECONDS = 10.0  # for what is still under way at the end
STALLED_BUFFER_BYTES = 4096
RETURNING = 20  # of the stalled, afterwards
RETURN_SECONDS = 30.0
MOST_MISSED = 9_000  # messages; `RESUME_LIMIT` is 10,000


@dataclass
class Returned:
    """How the stalled came back: how many had every message, once and in order."""

    clients: int
    whole: int
    seconds: float


@dataclass
class Turn:
    """One run: what the readers saw, and what the server used."""

    p50_ms: float
    p99_ms: float
    growth_bytes: int
    missing: int  # of all that the readers should have got
    readers_lost: int  # cut off by the server
    cut_off: int  # of the stalled, by the server
    server_cpu: float
    load_cpu: float
    returned: Returned | None


class Room:
    """A room with readers, watchers who are stalled, and messages at a steady rate."""

    def __init__(
        self, system: System, server: Server, readers: int, stalled: int
    ) -> None:
        self.system = system
        self.server = server
        self.crowd = Crowd(server.port, system.dialect)
        self.crowd.on_numbers = self._sample
        self.crowd.on_lost = self._lost
        self.readers = self.crowd.open(readers)
        for client in self.readers[::SAMPLED]:
            client.sampled = True
        self.stalled = self.crowd.open(stalled, receive_bytes=STALLED_BUFFER_BYTES)
        for client in self.stalled:
            self.crowd.stall(client)
        self.publisher = self.crowd.publishers(self.readers, 1)[0]
        self.crowd.rest(0.5)
        self.sent_at: list[float] = []
        self.delayed: list[float] = []
        self._from = 0
        self._readers_lost = 0

    def run(self, rate: float, seconds: float) -> Turn:
        """Send at a rate for so long, after a second to warm up."""
        memory, cpu = self.server.memory_bytes(), self.server.cpu_seconds()
        own, began = time.process_time(), time.perf_counter()
        warm = min(WARM_SECONDS, seconds)
        self._from = round(rate * warm)
        self._send(rate, seconds + warm)
        growth = self.server.memory_bytes() - memory
        wall = time.perf_counter() - began
        used = self.server.cpu_seconds() - cpu
        own = time.process_time() - own
        missing = self._wait_for_all()
        if any(each.marks for each in self.stalled):
            raise RuntimeError("one who was to be stalled has read")
        returned = None
        if self.system is HEADGATE and self.stalled:
            returned = self._return()
        return Turn(
            p50_ms=percentile(self.delayed or [wall], 0.5) * 1000,
            p99_ms=percentile(self.delayed or [wall], 0.99) * 1000,
            growth_bytes=growth,
            missing=missing,
            readers_lost=self._readers_lost,
            cut_off=sum(map(_was_cut_off, self.stalled)),
            server_cpu=used / wall,
            load_cpu=own / wall,
            returned=returned,
        )

    def _send(self, rate: float, seconds: float) -> None:
        began = time.perf_counter()
        publisher = self.publisher.socket
        while (now := time.perf_counter()) < began + seconds:
            # Nobody can go on who was cut off: where one stalled watcher holds up all.
            while began + len(self.sent_at) / rate <= now and publisher.fileno() >= 0:
                number = len(self.sent_at)
                said = text(number, TEXT_BYTES)
                self.sent_at.append(time.perf_counter())
                self.publisher.send(self.system.dialect.message(number, said))
            self.crowd.read(max(0.001, began + len(self.sent_at) / rate - now))

    def _wait_for_all(self) -> int:
        """Read on until all readers have all, at most so long; return what misses."""
        until = time.perf_counter() + LATE_SECONDS
        while time.perf_counter() < until:
            self.crowd.read(0.05)
            missing = sum(len(self.sent_at) - each.marks for each in self.readers)
            if not missing:
                return 0
        now = time.perf_counter()
        for reader in self.readers[::SAMPLED]:
            self.delayed += [now - at for at in self.sent_at[reader.marks :]]
        return missing

    def _return(self) -> Returned:
        """Let some of the stalled come back and resume."""
        leaving = self.stalled[:RETURNING]
        seen: dict[Client, list[int]] = {}
        self.crowd.on_numbers = lambda client, numbers: seen[client].extend(numbers)
        read = max(0, len(self.sent_at) - MOST_MISSED)
        began = time.perf_counter()
        for client in leaving:
            greeting = back_to_headgate(client.opening, read=read)
            back = self.crowd.begin(greeting=greeting)
            back.sampled = True
            seen[back] = []
        all_of_it = list(range(read, len(self.sent_at)))
        until = began + RETURN_SECONDS
        while time.perf_counter() < until:
            self.crowd.read(0.05)
            if all(len(numbers) >= len(all_of_it) for numbers in seen.values()):
                break
        return Returned(
            clients=len(seen),
            whole=sum(numbers == all_of_it for numbers in seen.values()),
            seconds=time.perf_counter() - began,
        )

    def _lost(self, client: Client) -> None:
        if self.system is HEADGATE:
            raise ConnectionError(f"reader {client.number} was cut off")
        self._readers_lost += 1

    def _sample(self, _client: Client, numbers: list[int]) -> None:
        now = time.perf_counter()
        self.delayed += [now - self.sent_at[n] for n in numbers if n >= self._from]


def _was_cut_off(client: Client) -> bool:
    """Return whether the server has ended a connection that nobody reads."""
    poll = select.poll()
    poll.register(client.socket, select.POLLRDHUP)  # errors are told unasked
    return bool(poll.poll(0))


@dataclass(frozen=True)
class Row:
    """A system beside so many stalled watchers."""

    system: System
    readers: int
    stalled: int


def visit(row: Row, options: argparse.Namespace, *, stalled: bool) -> Turn:
    """Start a system, run once, and stop it."""
    with row.system.start() as server:
        long = stalled and row.system is not HEADGATE
        seconds = options.peer_seconds if long else options.seconds
        room = Room(row.system, server, row.readers, row.stalled if stalled else 0)
        try:
            return room.run(options.rate, seconds)
        finally:
            room.crowd.close()


def figure(
    row: Row, without: Sequence[Turn], beside: Sequence[Turn]
) -> dict[str, object]:
    """Return the medians of a row's rounds."""
    growth = median_of(beside, "growth_bytes") - median_of(without, "growth_bytes")
    came_back = [turn.returned for turn in beside if turn.returned is not None]
    found: dict[str, object] = {
        "system": row.system.name,
        "readers": row.readers,
        "stalled": row.stalled,
        "rounds": len(beside),
        "bytes_per_stalled": round(growth / row.stalled),
        "cut_off": round(median_of(beside, "cut_off")),
        "returned": sum(each.clients for each in came_back),
        "returned_whole": sum(each.whole for each in came_back),
        "return_seconds": max(
            (round(each.seconds, 2) for each in came_back), default=0
        ),
    }
    for name, turns in (("without", without), ("beside", beside)):
        found |= {
            f"p50_ms_{name}": round(median_of(turns, "p50_ms"), 2),
            f"p99_ms_{name}": round(median_of(turns, "p99_ms"), 2),
            f"server_cpu_{name}": round(median_of(turns, "server_cpu"), 3),
            f"load_cpu_{name}": round(max(turn.load_cpu for turn in turns), 3),
            f"readers_lost_{name}": sum(turn.readers_lost for turn in turns),
            f"missing_{name}": sum(turn.missing for turn in turns),
        }
    return found


def table(figures: Sequence[dict[str, object]]) -> Table:
    """Return the figures as people read them."""
    found = Table(title="Readers beside watchers who never read, medians of the rounds")
    for name in ("system", "readers", "stalled", "p99 without", "p99 beside"):
        found.add_column(name, justify="left" if name == "system" else "right")
    for name in ("KB each", "cut off", "missing", "CPU", "load", "came back whole"):
        found.add_column(name, justify="right")
    for each in figures:
        back = f"{each['returned_whole']} of {each['returned']}"
        found.add_row(
            str(each["system"]),
            str(each["readers"]),
            str(each["stalled"]),
            _at_least(each, "without"),
            _at_least(each, "beside"),
            f"{int(str(each['bytes_per_stalled'])) / 1024:,.0f}",
            str(each["cut_off"]),
            f"{each['missing_without']}, {each['missing_beside']}",
            f"{each['server_cpu_beside']:.0%}",
            f"{each['load_cpu_beside']:.0%}",
            back if each["returned"] else "",
        )
    return found


def _at_least(each: dict[str, object], name: str) -> str:
    """Return a p99, marked where messages were missing to the end."""
    return f"{'>' if each[f'missing_{name}'] else ''}{each[f'p99_ms_{name}']:,} ms"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and keep the report."""
    numbers = {
        "readers": (1000, 20),  # of Headgate's two rows; its peers' have a tenth
        "rate": (200.0, 100.0),
        "seconds": (14.0, 1.0),
        "peer-seconds": (40.0, 1.0),
        "rounds": (3, 1),  # of Headgate; its peers have one
    }
    options = options_of(__doc__, arguments, numbers)
    raise_file_limit(2 * options.readers + 1000)
    campaign = Campaign("stalled", options)
    rows = rows_of(campaign, options.readers)
    turns: dict[Row, list[tuple[Turn, Turn]]] = {row: [] for row in rows}
    for number in range(options.rounds):
        for row in rows:
            if number and row.system is not HEADGATE:
                continue
            pair = [
                campaign.attempt(row.system, partial(visit, row, options, stalled=each))
                for each in (False, True)
            ]
            if pair[0] is not None and pair[1] is not None:
                turns[row].append((pair[0], pair[1]))
    campaign.figures = [
        figure(row, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
        for row, pairs in turns.items()
        if pairs
    ]
    Console(width=140).print(table(campaign.figures))
    return campaign.finish()


def rows_of(campaign: Campaign, readers: int) -> list[Row]:
    """Return what is measured: a tenth of few stalled, a tenth of many, and as many.

    Peers have the first row only, since most cannot carry 200 messages a second to a
    thousand, stalled or not; what cannot carry it to a hundred is left out.
    """
    rows = []
    for system in campaign.systems():
        if system.slow:
            campaign.left_out[system.name] = "cannot carry that many messages"
            continue
        few = max(2, readers // 10)
        rows.append(Row(system, few - few // 10, max(1, few // 10)))
        if system is HEADGATE:
            rows.append(Row(system, readers - readers // 10, readers // 10))
            rows.append(Row(system, readers, readers))
    return rows


if __name__ == "__main__":
    sys.exit(main())
