"""The worker in one process: soon, fair, and whatever fails, nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError

from headgate.chat.models import Room
from headgate.outbound import finishing, places, telling
from headgate.outbound import worker as worker_module
from headgate.outbound.calls import Call, Outcome, Sender
from headgate.outbound.finishing import Finished
from headgate.outbound.ledger import turn as ledger_turn
from headgate.outbound.ledger_thread import LedgerThread
from headgate.outbound.models import Delivery, Destination
from headgate.outbound.worker import MAX_SHUT_SECONDS, Worker
from tests.chat.talker import in_thread
from tests.outbound.owed_calls import ScriptedSender, done, failed, make, say

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SECONDS = 60.0  # until a test gives up waiting


@asynccontextmanager
async def working(
    sender: Sender, *, kind: str = "handler", **more: Any
) -> AsyncIterator[Worker]:
    """A worker that runs, and is stopped at the end if it is not yet."""
    worker = Worker({kind: sender}, **more)
    task = asyncio.ensure_future(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, SECONDS)


async def until(check: Callable[[], Any]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(SECONDS):
        while not check():  # noqa: ASYNC110 - of threads and the database
            await asyncio.sleep(0.01)


async def states(**which: Any) -> list[str]:
    def read() -> list[str]:
        rows = Delivery.objects.filter(**which).order_by("seq", "destination")
        return [row.state for row in rows]

    return list(await in_thread(read))


async def until_all(state: str, **which: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while set(await states(**which)) != {state}:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)


async def test_what_is_owed_is_called_at_once(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit of this process wakes it: it never looks by itself here."""
    for name in ("LOOK_SECONDS", "IDLE_SECONDS"):
        monkeypatch.setattr(worker_module, name, 1000.0)
    await in_thread(make)
    sender = ScriptedSender(done())
    async with working(sender) as worker:
        await asyncio.sleep(0.2)  # it has looked, and found nothing
        await in_thread(say, room, "one")
        await until(lambda: sender.sent)
        await until_all("done")
    assert worker.meters.calls == {"delivered": 1}
    assert worker.meters.in_flight == 0


async def test_what_was_owed_elsewhere_is_found_in_half_a_second(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_thread(make)
    sender = ScriptedSender(done())
    async with working(sender):
        await asyncio.sleep(0.6)
        monkeypatch.setattr("headgate.outbound.wakes._listeners", set())
        began = time.time()
        await in_thread(say, room, "one")
        await until(lambda: sender.sent)
    assert sender.sent[0][0] - began < 1.5


async def test_many_calls_keep_to_the_concurrency(room: Room) -> None:
    await in_thread(make, concurrency=5)
    await in_thread(make, "wide", concurrency=100)
    await in_thread(say, room, *(f"m{i}" for i in range(60)))
    sender = ScriptedSender(done(), seconds=0.02)
    async with working(sender) as worker:
        await until_all("done")
    assert sender.most["crm"] == 5
    assert 20 <= sender.most["wide"] <= 100
    assert len({call.id for _, call in sender.sent}) == len(sender.sent) == 120
    assert worker.meters.finishes.total == worker.meters.leases.total == 120
    assert sum(worker.meters.finishes.counts) < 100, "results are noted together"


async def test_a_rate_paces_calls(room: Room) -> None:
    await in_thread(make, rate="20/s:1")
    await in_thread(say, room, *(f"m{i}" for i in range(11)))
    sender = ScriptedSender(done())
    began = time.time()
    async with working(sender):
        await until_all("done")
    times = [at for at, _ in sender.sent]
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.005
    assert times[-1] - times[0] >= 0.45
    assert times[-1] - began < 5, "it looks again when more may go"


async def test_nine_dead_services_delay_no_other(room: Room) -> None:
    for i in range(9):
        await in_thread(make, f"dead-{i}", concurrency=64, timeout_seconds=60)
    await in_thread(make, "healthy", rooms=["fine"])
    fine = await in_thread(Room.objects.create, slug="fine")
    hang = asyncio.Event()

    class Sometimes(ScriptedSender):
        async def send(self, call: Call) -> Outcome:
            if call.target.name == "healthy":
                return await super().send(call)
            await hang.wait()
            return failed()

    sender = Sometimes(done())
    await in_thread(say, room, *(f"m{i}" for i in range(70)))
    delays = []
    async with working(sender) as worker:
        await until(lambda: worker.meters.in_flight > 9 * 10)
        for i in range(5):
            began = time.time()
            await in_thread(say, fine, str(i))
            await until(partial(sender.has_sent, i + 1))
            delays.append(sender.sent[-1][0] - began)
        assert worker.meters.in_flight > 9 * 10
        hang.set()
    assert max(delays) < 1.0


async def test_however_many_hang_there_is_room_for_one_more(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    for most in ("MAX_QUICK", "MAX_SLOW"):
        monkeypatch.setattr(places, most, 20)
    for i in range(15):
        await in_thread(make, f"dead-{i}", concurrency=64, timeout_seconds=60)
    await in_thread(say, room, *(f"m{i}" for i in range(20)))
    hang = asyncio.Event()
    names: list[str] = []

    class Hanging(ScriptedSender):
        async def send(self, call: Call) -> Outcome:
            names.append(call.target.name)
            await hang.wait()
            return done()

    async with working(Hanging(done())) as worker:
        await until(lambda: len(set(names)) == 15)
        await in_thread(make, "new")
        await in_thread(say, room, "last")
        await until(lambda: "new" in names)
        assert worker.meters.in_flight <= 20
        hang.set()


async def test_others_kinds_are_left_to_others(room: Room) -> None:
    await in_thread(make, "web", kind="webhook")
    await in_thread(make, "function")
    await in_thread(say, room, "one")
    sender = ScriptedSender(done())
    async with working(sender):
        await until_all("done", destination__name="function")
    assert await states(destination__name="web") == ["due"]
    assert [call.target.name for _, call in sender.sent] == ["function"]


# --- its end ------------------------------------------------------------------------


async def test_it_finishes_what_is_on_its_way_and_begins_nothing(room: Room) -> None:
    await in_thread(make, concurrency=1)
    await in_thread(say, room, "one", "two")
    sender = ScriptedSender(done(), seconds=0.3)
    async with working(sender):
        await until(lambda: sender.sent)
    assert await states() == ["done", "due"]
    row = await in_thread(Delivery.objects.get, seq=2)
    assert (row.lease, row.attempts) == ("", 0)


@pytest.mark.parametrize("how", ["stop", "cancel"])
async def test_what_takes_too_long_is_given_back(room: Room, how: str) -> None:
    await in_thread(make)
    await in_thread(say, room, "one")
    sender = ScriptedSender(done(), seconds=30)
    worker = Worker({"handler": sender}, stop_seconds=0.1)
    task = asyncio.ensure_future(worker.run())
    await until(lambda: sender.sent)
    if how == "stop":
        worker.stop()
    else:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(task, SECONDS)
    row = await in_thread(Delivery.objects.get)
    assert (row.state, row.lease, row.attempts) == ("due", "", 0)
    assert row.due_at <= time.time()


# --- what fails ---------------------------------------------------------------------


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
async def test_a_database_that_is_away_loses_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr(worker_module, "FIRST_BACKOFF_SECONDS", 0.02)
    await in_thread(make)
    await in_thread(say, room, *"abcdef")
    real, away = ledger_turn, 4
    lost: list[int] = []

    def turn(connection: Any, ended: list[Finished], *args: Any, **more: Any) -> Any:
        nonlocal away
        if ended and away:
            away -= 1
            lost.append(len(ended))
            raise error("gone")
        return real(connection, ended, *args, **more)

    monkeypatch.setattr(worker_module, "turn", turn)
    sender = ScriptedSender(done())
    async with working(sender) as worker:
        await until_all("done")
    assert len(sender.sent) == 6, "what was made is noted, not made again"
    assert worker.meters.failed_turns == len(lost) == 4


async def test_one_result_that_cannot_be_noted_stops_no_other(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "FIRST_BACKOFF_SECONDS", 0.02)
    await in_thread(make)
    await in_thread(say, room, *"abcdef")
    real = finishing._fate

    def fate(one: Finished, now: float) -> Any:
        if one.leased.call.told[0].push.seq == 3:  # type: ignore[union-attr]
            raise ZeroDivisionError
        return real(one, now)

    monkeypatch.setattr(finishing, "_fate", fate)
    async with working(ScriptedSender(done())):
        await until_all("done", seq__in=[1, 2, 4, 5, 6])
    assert await states(seq=3) == ["due"]
    row = await in_thread(Delivery.objects.get, seq=3)
    assert row.lease, "its lease runs out, and it is made again"


def _raise(error: BaseException) -> Callable[[Call], Outcome]:
    def script(_: Call) -> Outcome:
        raise error

    return script


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("secret"), "It failed here"),
        (SystemExit(1), "It failed here"),
        (asyncio.CancelledError(), "cancelled"),
        (TimeoutError(), "did not end"),
    ],
)
async def test_a_sender_that_raises_has_failed(
    room: Room, error: BaseException, said: str
) -> None:
    await in_thread(make, max_attempts=1)
    await in_thread(say, room, "one")
    async with working(ScriptedSender(_raise(error))):
        await until_all("dead")
    row = await in_thread(Delivery.objects.get)
    assert said in row.last_error
    assert "secret" not in row.last_error


async def test_a_sender_that_does_not_end_is_ended(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "SENDER_GRACE_SECONDS", 0.1)
    await in_thread(make, max_attempts=1, timeout_seconds=0.1)
    await in_thread(say, room, "one")
    async with working(ScriptedSender(done(), seconds=600)):
        await until_all("dead")
    made = await in_thread(Destination.objects.get)
    assert (made.calls, made.failures) == (1, 1)


async def test_an_event_that_is_gone_is_not_told(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_thread(make)
    await in_thread(say, room, "one")
    monkeypatch.setattr("headgate.outbound.telling._pushes", lambda *_: {})
    sender = ScriptedSender(done())
    async with working(sender):
        await until_all("dead")
    assert sender.sent == []


async def test_a_database_that_is_gone_after_the_lease_costs_no_try(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is committed by then: left to run out, it would count as a try."""
    monkeypatch.setattr(worker_module, "FIRST_BACKOFF_SECONDS", 0.02)
    await in_thread(make, max_attempts=2)
    await in_thread(say, room, *"abc")
    away = 3

    def gone(real: Callable[..., Any], *args: Any) -> Any:
        nonlocal away
        if away:
            away -= 1
            raise OperationalError("gone")
        return real(*args)

    monkeypatch.setattr(telling, "_pushes", partial(gone, telling._pushes))
    sender = ScriptedSender(done())
    async with working(sender) as worker:
        await until_all("done")
    assert away == 0
    assert [call.attempt for _, call in sender.sent] == [1, 1, 1]
    assert worker.meters.failed_turns == 3
    rows = await in_thread(lambda: list(Delivery.objects.all()))
    assert [(row.attempts, row.last_error) for row in rows] == [(1, "")] * 3
    made = await in_thread(Destination.objects.get)
    assert (made.calls, made.failures) == (3, 0)


async def test_an_event_that_cannot_be_read_stops_no_other(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_thread(make, max_attempts=1, concurrency=30)
    await in_thread(say, room, *(f"m{i}" for i in range(20)))
    real = telling.as_push

    def as_push(row: Any, slug: str) -> Any:
        if row.seq == 3:
            raise ZeroDivisionError
        return real(row, slug)

    monkeypatch.setattr(telling, "as_push", as_push)
    sender = ScriptedSender(done())
    async with working(sender):
        await until_all("done", seq__in=[1, 2, *range(4, 21)])
        await until_all("dead", seq=3)
    assert len(sender.sent) == 19
    row = await in_thread(Delivery.objects.get, seq=3)
    assert row.last_error == telling.NOT_READ
    made = await in_thread(Destination.objects.get)
    assert (made.window_calls, made.window_failures) == (19, 0), "it was not called"


async def test_a_connection_lost_while_purging_ends_no_worker(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(connection: Any) -> bool:
        raise InterfaceError("connection already closed")

    monkeypatch.setattr(worker_module, "purge", lost)
    await in_thread(make)
    sender = ScriptedSender(done())
    async with working(sender):
        await asyncio.sleep(0.1)
        await in_thread(say, room, "one")
        await until(lambda: sender.has_sent(1))


async def test_a_clock_that_is_set_back_keeps_nothing_shut() -> None:
    worker, thread = Worker({}), LedgerThread("default")
    now = time.time()
    worker._shut_until = {1: now + 3600, 2: now + MAX_SHUT_SECONDS / 2, 3: now - 1}
    await worker._turn(thread)
    await thread.close()

    assert worker._shut_until.keys() == {2}
