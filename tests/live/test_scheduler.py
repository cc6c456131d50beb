from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from headgate.live import scheduler
from headgate.live.scheduler import SLICE_SECONDS, SLICE_WRITES, Scheduler, Slice
from tests.live.parts import turns


class Clock:
    """The time that slices are measured by, moved by the work that is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Work:
    """A job of so many pieces, each of which takes some time and one write."""

    def __init__(
        self, name: str, pieces: int, done: list[str], clock: Clock, seconds: float = 0
    ) -> None:
        self.queued = False
        self.name = name
        self.pieces = pieces
        self.turns: list[int] = []  # how many pieces each turn had
        self._done = done
        self._clock = clock
        self._seconds = seconds

    def work(self, part: Slice) -> bool:
        count = 0
        while self.pieces and not part.over:
            part.writes -= 1
            self.pieces -= 1
            count += 1
            self._clock.now += self._seconds
            self._done.append(self.name)
        self.turns.append(count)
        return self.pieces > 0


Make = Callable[..., Work]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(scheduler, "_clock", clock)
    return clock


@pytest.fixture
def done() -> list[str]:
    """The names of the jobs, one for each piece of their work."""
    return []


@pytest.fixture
def job(done: list[str], clock: Clock) -> Make:
    def make(name: str, pieces: int, seconds: float = 0.0) -> Work:
        return Work(name, pieces, done, clock, seconds)

    return make


@pytest.fixture
async def jobs() -> Scheduler:
    return Scheduler(asyncio.get_running_loop())


async def test_no_slice_has_more_writes_than_its_share(
    jobs: Scheduler, job: Make, done: list[str]
) -> None:
    jobs.ready(job("a", 10 * SLICE_WRITES))
    before = 0
    while not jobs.idle:
        await turns(1)
        assert len(done) - before <= SLICE_WRITES
        before = len(done)

    assert len(done) == 10 * SLICE_WRITES


async def test_no_slice_is_longer_than_its_time(
    jobs: Scheduler, job: Make, clock: Clock
) -> None:
    piece = SLICE_SECONDS / 7
    for name in "abc":
        jobs.ready(job(name, 20, piece))
    slices = 0
    while not jobs.idle:
        before = clock.now
        await turns(1)
        slices += 1
        assert clock.now - before < SLICE_SECONDS + 2 * piece  # one piece over, twice

    assert slices > 5


async def test_what_is_ready_at_once_is_done_in_one_turn(
    jobs: Scheduler, job: Make, done: list[str]
) -> None:
    for name in "abc":
        jobs.ready(job(name, 2))
    assert not done
    await turns(1)

    assert done == list("aabbcc")
    assert jobs.idle


async def test_who_comes_is_served_before_those_who_go_on(
    jobs: Scheduler, job: Make, done: list[str]
) -> None:
    jobs.ready(job("a", 1000))
    await turns(2)
    done.clear()
    jobs.ready(job("b", 3))
    await turns(1)

    assert done[:3] == ["b"] * 3
    assert done[3] == "a"


async def test_newcomers_leave_half_to_those_who_go_on(
    jobs: Scheduler, job: Make, done: list[str]
) -> None:
    jobs.ready(job("a", 10_000))
    await turns(2)
    done.clear()
    for _ in range(5):
        jobs.ready(job("b", SLICE_WRITES // 2))
        await turns(1)

    assert done.count("a") == done.count("b") == 5 * SLICE_WRITES // 2


async def test_a_flusher_that_never_ends_leaves_a_share_to_all_others(
    jobs: Scheduler, job: Make, done: list[str]
) -> None:
    """Whoever floods with commands has replies to flush for ever."""
    jobs.ready(job("b", 10_000))
    await turns(2)
    done.clear()
    jobs.flush(job("a", 10_000))
    for _ in range(4):
        jobs.ready(job("c", SLICE_WRITES // 4))
        await turns(1)

    assert done[: SLICE_WRITES // 4] == ["c"] * (SLICE_WRITES // 4)
    for name in "abc":
        assert done.count(name) >= 4 * (SLICE_WRITES // 4)


async def test_the_time_is_shared_as_the_writes_are(
    jobs: Scheduler, job: Make, done: list[str]
) -> None:
    piece = SLICE_SECONDS / 20
    jobs.ready(job("b", 1000, piece))
    await turns(2)
    done.clear()
    jobs.flush(job("a", 1000, piece))
    jobs.ready(job("c", 1000, piece))
    await turns(1)

    assert {name: done.count(name) for name in "abc"} == {"c": 10, "a": 5, "b": 5}


async def test_those_who_go_on_take_turns(
    jobs: Scheduler, job: Make, done: list[str]
) -> None:
    works = [job(name, 5 * SLICE_WRITES) for name in "abcd"]
    for work in works:
        jobs.ready(work)
    await turns(12)

    assert all(done.count(name) >= SLICE_WRITES for name in "abcd")


async def test_the_flusher_comes_between_newcomers_and_those_who_go_on(
    jobs: Scheduler, job: Make, done: list[str]
) -> None:
    jobs.ready(job("a", 1000))
    await turns(2)
    done.clear()
    jobs.flush(job("b", 2))
    jobs.ready(job("c", 2))
    await turns(1)

    assert done[:5] == list("ccbba")


async def test_a_job_that_waits_keeps_its_place(
    jobs: Scheduler, job: Make, done: list[str]
) -> None:
    first, second = job("a", 1), job("b", 1)
    for _ in range(3):
        jobs.ready(first)
        jobs.ready(second)
        jobs.flush(first)
    await turns(1)

    assert done == ["a", "b"]
    assert first.turns == [1]


async def test_a_job_may_be_ready_again_while_it_works(
    jobs: Scheduler, done: list[str]
) -> None:
    class Again:
        queued = False
        left = 3

        def work(self, part: Slice) -> bool:
            done.append("again")
            self.left -= 1
            if self.left:
                jobs.ready(self)
            return self.left > 0

    jobs.ready(Again())
    await turns()

    assert done == ["again"] * 3


async def test_a_job_that_fails_is_logged_and_stops_nobody(
    jobs: Scheduler,
    job: Make,
    done: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken:
        queued = False

        def work(self, part: Slice) -> bool:
            raise KeyError("a bug")

    broken = Broken()
    jobs.ready(broken)
    jobs.ready(job("a", 1))
    await turns(3)

    assert done == ["a"]
    assert "job_failed" in caplog.text
    assert jobs.idle
    caplog.clear()
    jobs.ready(broken)  # it has another turn when there is work for it
    await turns(3)
    assert "job_failed" in caplog.text


def test_a_slice_is_over_by_its_writes_or_by_its_time(clock: Clock) -> None:
    assert not Slice(0.002, 1).over
    assert Slice(0.002, 0).over
    part = Slice(0.002, 10)
    clock.now += 0.002
    assert part.over


def test_half_of_a_slice_is_half_of_what_is_left(clock: Clock) -> None:
    part = Slice(0.004, 11)
    clock.now += 0.002
    half = part.half()

    assert (part.writes, half.writes) == (6, 5)
    clock.now += 0.0009
    assert not half.over
    clock.now += 0.0002
    assert half.over
    assert not part.over
