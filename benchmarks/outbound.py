"""Calls of an external service, per second and per CPU-second, beside task queues.

So many signed calls are owed before a worker is started; it makes them to a receiver
that answers at once. Counted is from when a tenth has come until all have: what the
worker and the processes that it has started use is its CPU time, without that of the
database or the broker. Every call is kept before it is made, and is made at least once.
The worker has one core to itself, where there are two; the receiver has the other.

    python -m benchmarks.outbound [--calls 10000] [--rounds 3] [--quick]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.postgres import fresh_database, postgres
from tests.redis_server import redis_server

from benchmarks.processes import cpu_seconds, family, free_port, machine

RESULTS = Path(__file__).parent / "results" / "outbound.json"
SECRET = "whsec_" + "QmVuY2htYXJrcyBzaWduLCB0b28sIGFsbCB0aGUgc2FtZQ=="
CONCURRENCY = 64
FROM = 0.1  # of the calls have come when counting begins
LIMIT_SECONDS = 300.0
TICK_SECONDS = 0.01  # by which the kernel counts CPU time

Environment = Mapping[str, str]


@dataclass(frozen=True)
class Backlog:
    """What a system is given: where the calls go, and where they are kept.

    Attributes:
        calls: How many are owed.
        url: Of the receiver.
        postgres: A fresh database, for those that need one.
        redis: An empty Redis, for those that need one.
        folder: For files.
    """

    calls: int
    url: str
    postgres: str
    redis: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What all processes are told."""
        return os.environ | {
            "BENCHMARK_RECEIVER": self.url,
            "BENCHMARK_SECRET": SECRET,
            "BENCHMARK_CONCURRENCY": str(CONCURRENCY),
            "BENCHMARK_DATABASE": self.postgres,
            "BENCHMARK_REDIS": self.redis,
            "HEADGATE_OUTBOUND_NETWORKS": "127.0.0.0/8",
        }


@dataclass(frozen=True)
class System:
    """A worker to be measured: how calls are put in, and how it is started."""

    name: str
    of: str

    def put(self, backlog: Backlog) -> list[str]:
        """Return the module and arguments that put the calls in."""
        if self.name.startswith("Headgate"):
            where = backlog.postgres if "PostgreSQL" in self.name else ""
            arguments = [str(backlog.folder / "data"), where, str(backlog.calls)]
            return ["benchmarks.peers.queues.put_headgate", *arguments]
        queue = self.name.partition(",")[0].lower()
        return ["benchmarks.peers.queues.put", queue, str(backlog.calls)]

    def work(self, backlog: Backlog) -> list[str]:
        """Return the module and arguments of the worker."""
        if self.name.startswith("Headgate"):
            found = ["headgate", "worker", "--data", str(backlog.folder / "data")]
            if "PostgreSQL" in self.name:
                found += ["--database", backlog.postgres]
            return found
        if self.name == "procrastinate":
            app = "--app=benchmarks.peers.queues.on_procrastinate.app"
            quiet = "--log-level=error"  # it would log each call
            work = ["worker", f"--concurrency={CONCURRENCY}"]
            return ["procrastinate", app, quiet, *work]
        pool = ["--pool=threads", f"--concurrency={CONCURRENCY}"]
        if "processes" in self.name:
            pool = ["--pool=prefork", "--concurrency=8"]
        app = "--app=benchmarks.peers.queues.on_celery"
        return ["celery", app, "worker", "--loglevel=ERROR", *pool]


SYSTEMS = (
    System("Headgate, SQLite", "headgate"),
    System("Headgate, PostgreSQL", "headgate"),
    System("procrastinate", "procrastinate"),
    System("Celery, processes", "celery"),
    System("Celery, threads", "celery"),
)


@dataclass(frozen=True)
class Figure:
    """What one turn measured."""

    system: str
    calls: int
    again: int
    per_second: float
    per_cpu_second: float


def turn(system: System, backlog: Backlog) -> Figure:
    """Put calls in, start the worker, and count until all have come."""
    environment = backlog.environment
    put = [sys.executable, "-m", *system.put(backlog)]
    subprocess.run(put, env=environment, check=True)
    with _pinned(system.work(backlog), environment) as pid:
        begun, began, cpu_began = _wait(backlog, pid, round(backlog.calls * FROM))
        ended, end, cpu_end = _wait(backlog, pid, backlog.calls)
        again = _counted(backlog.url)["again"]
    calls = ended - begun
    return Figure(
        system=system.name,
        calls=backlog.calls,
        again=again,
        per_second=round(calls / (end - began), 1),
        per_cpu_second=round(calls / max(cpu_end - cpu_began, TICK_SECONDS), 1),
    )


def _counted(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}count", timeout=10) as answer:
        found: dict[str, int] = json.load(answer)
    return found


def _wait(backlog: Backlog, pid: int, calls: int) -> tuple[int, float, float]:
    """Wait until so many have come; return how many, when, and the CPU time."""
    until = time.perf_counter() + LIMIT_SECONDS
    while time.perf_counter() < until:
        come = _counted(backlog.url)["calls"]
        if come >= calls:
            used = sum(cpu_seconds(each) for each in family(pid))
            return come, time.perf_counter(), used
        time.sleep(0.01)
    raise RuntimeError(f"{come} of {calls} calls came in {LIMIT_SECONDS:g} s")


@contextlib.contextmanager
def _pinned(
    module: list[str], environment: Environment, *, core: int = 0
) -> Iterator[int]:
    """Run a Python module on one core until the block ends; yields its pid."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(ours)[core % len(ours)]})
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
    finally:
        os.sched_setaffinity(0, ours)
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _receiver() -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with _pinned(["benchmarks.peers.receiver", str(port)], os.environ, core=1):
        for _ in range(200):
            with contextlib.suppress(OSError):
                _counted(url)
                break
            time.sleep(0.05)
        yield url


def main() -> int:
    """Measure every system in every round, and print and keep the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, help="10,000, or 200 if quick")
    parser.add_argument("--rounds", type=int, help="3, or 1 if quick")
    parser.add_argument("--quick", action="store_true", help="see that it runs")
    parser.add_argument("--only", action="append", help="the beginning of a name")
    parser.add_argument("--json", type=Path, help="where to write the report")
    options = parser.parse_args()
    calls = options.calls or (200 if options.quick else 10_000)
    rounds = options.rounds or (1 if options.quick else 3)
    wanted = tuple(options.only or [""])
    systems = [each for each in SYSTEMS if each.name.startswith(wanted)]
    figures: list[Figure] = []
    with postgres(durable=True) as database, redis_server() as redis:
        for _ in range(rounds):
            for system in systems:
                print(f"outbound: {system.name}", file=sys.stderr)
                redis.ready()
                with (
                    tempfile.TemporaryDirectory() as folder,
                    fresh_database(database) as fresh,
                    _receiver() as url,
                ):
                    backlog = Backlog(calls, url, fresh, redis.url, Path(folder))
                    figures.append(turn(system, backlog))
    rows = [_median(system.name, figures) for system in systems]
    _print(rows)
    where = options.json or (None if options.quick else RESULTS)
    if where is not None:
        report = {
            "command": "python -m benchmarks.outbound " + " ".join(sys.argv[1:]),
            "machine": machine(),
            "versions": {each.of: version(each.of) for each in systems},
            "rounds": rounds,
            "figures": [asdict(each) for each in rows],
        }
        where.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _median(name: str, figures: list[Figure]) -> Figure:
    own = [each for each in figures if each.system == name]
    return Figure(
        system=name,
        calls=own[0].calls,
        again=sum(each.again for each in own),
        per_second=statistics.median(each.per_second for each in own),
        per_cpu_second=statistics.median(each.per_cpu_second for each in own),
    )


def _print(rows: list[Figure]) -> None:
    table = Table(title="Calls of a service that answers at once, medians")
    table.add_column("system")
    for name in ("calls", "made again", "per second", "per CPU-second"):
        table.add_column(name, justify="right")
    for row in rows:
        figures = (row.calls, row.again, row.per_second, row.per_cpu_second)
        table.add_row(row.system, *(f"{each:,.0f}" for each in figures))
    Console().print(table)
    print(machine())


if __name__ == "__main__":
    sys.exit(main())
