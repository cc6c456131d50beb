"""Several workers on one database, and workers that are killed in the middle."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from django.db.models import F

from headgate.chat.models import Room
from headgate.outbound import gates
from headgate.outbound.models import Delivery, Destination
from tests.outbound.owed_calls import make, say
from tests.outbound.worker_process import Written, started, written
from tests.processes import stop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SECONDS = 100.0
KILLS = 50 if os.environ.get("HEADGATE_SOAK") else 3

Start = Callable[[float], Popen[bytes]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Start workers; those that still run at the end are stopped."""
    running: list[Popen[bytes]] = []

    def begin(seconds: float) -> Popen[bytes]:
        running.append(started(path, seconds))
        return running[-1]

    yield begin
    for process in running:
        if process.poll() is None:
            assert stop(process, signal.SIGTERM, limit_seconds=20) == 0
        assert process.stdout is not None
        process.stdout.close()


def wait(check: Callable[[], Any], seconds: float = SECONDS) -> None:
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.05)


def _is_longer(path: Path, than: int) -> bool:
    return len(written(path)) > than


def left() -> int:
    return Delivery.objects.filter(state="due").count()


def at_once(lines: list[Written]) -> int:
    """Return how many calls were on their way at once."""
    now = most = 0
    for line in sorted(lines, key=lambda line: (line.at, line.begins)):
        now += 1 if line.begins else -1
        most = max(most, now)
    return most


def test_two_workers_keep_to_one_destinations_limits(
    room: Room, path: Path, start: Start
) -> None:
    make("wide", concurrency=6)
    make("paced", rate="40/s:5", concurrency=50)
    make("ordered", ordering="room", concurrency=50)
    say(room, *(f"m{i}" for i in range(60)))
    for _ in range(2):
        start(0.01)
    wait(lambda: not left())

    lines = written(path)
    by_name = defaultdict(list)
    for line in lines:
        by_name[line.destination].append(line)
    for name, of_one in by_name.items():
        begun = [line for line in of_one if line.begins]
        assert len(begun) == 60, f"{name}: each once"
        assert Counter(line.id for line in begun).most_common(1)[0][1] == 1
    assert at_once(by_name["wide"]) <= 6
    assert at_once(by_name["ordered"]) == 1
    seqs = [line.seqs for line in by_name["ordered"] if line.begins]
    assert seqs == [(n,) for n in range(1, 61)]
    times = sorted(line.at for line in by_name["paced"] if line.begins)
    # Leased at that rate; from the lease to the call it takes a moment.
    for first in range(0, 60, 5):
        for last in range(first, 60):
            most = 5 + 40 * (times[last] - times[first] + 0.25)
            assert last - first + 1 <= most


def test_one_probe_across_processes(room: Room, path: Path, start: Start) -> None:
    make("dead", concurrency=4)
    say(room, *(f"m{i}" for i in range(30)))
    now = time.time()
    Destination.objects.update(breaker_opened=1, breaker_until=now + 2.0)
    for _ in range(2):
        start(0.5)

    def opened_again() -> bool:
        return Destination.objects.filter(breaker_opened__gte=3).exists()

    wait(opened_again)
    lines = written(path)
    assert at_once(lines) == 1
    assert min(line.at for line in lines) >= now + 2.0
    assert sum(line.begins for line in lines) == 2
    assert lines[2].at - lines[1].at >= gates.FIRST_OPEN_SECONDS / 2


@pytest.mark.timeout(300 if KILLS == 3 else 1200)
def test_workers_that_are_killed_lose_nothing(
    room: Room, path: Path, start: Start
) -> None:
    """What they had leased is made again, under the same ids and in the same order."""
    make("plain", concurrency=20, max_attempts=100)
    make("batch", concurrency=4, batch_size=3, max_attempts=100)
    make("ordered", ordering="room", max_attempts=100)
    count = 0
    for _ in range(KILLS):
        process = start(0.02)
        say(room, *(f"m{i}" for i in range(30)))
        count += 30
        before = len(written(path))
        wait(partial(_is_longer, path, before + 10))
        time.sleep(random.uniform(0, 0.1))
        process.kill()
        process.wait()
        # Their leases end at once, which would take a while.
        Delivery.objects.filter(state="due").exclude(lease="").update(
            due_at=F("created_at")
        )
    start(0.0)
    wait(lambda: not left())
    assert set(Delivery.objects.values_list("state", flat=True)) == {"done"}
    assert Delivery.objects.count() == 3 * count

    lines = [line for line in written(path) if line.begins]
    told = defaultdict(set)
    for line in lines:
        for each in line.told:
            told[each].add(line.id)
    assert len(told) == 3 * count, "every delivery was made"
    assert all(len(ids) == 1 for ids in told.values()), "and only under one id"
    contents = defaultdict(set)
    for line in lines:
        contents[line.id].add(line.told)
    assert all(len(each) == 1 for each in contents.values()), "with one content"
    ordered = [line.seqs[0] for line in lines if line.destination == "ordered"]
    assert [n for i, n in enumerate(ordered) if n not in ordered[:i]] == list(
        range(1, count + 1)
    )
    assert all(b - a in {0, 1} for a, b in itertools.pairwise(ordered))
