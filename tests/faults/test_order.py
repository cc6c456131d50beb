"""A room's events are 1, 2, 3, … in commit order, whoever writes and whoever fails.

What a poller does, asking for what is after the last thing that it saw, is right
only then. The control numbers by a database sequence, and its poller loses one.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Self

import psycopg
import pytest

from headgate.client import Client
from tests.conftest import Serve
from tests.e2e.bare import Bare, welcomed
from tests.e2e.project import Project, project
from tests.faults.log import Row, log_reader
from tests.faults.traffic import until
from tests.postgres import fresh_database
from tests.servers import HeadgateServer

ROOMS = ("general", "help", "random")
PROJECTS = 3
TRANSACTIONS = 30  # of each project, on up to three rooms
CLIENTS = 3
MESSAGES = 40  # of each client in each room
ROLLED_BACK = 0.3  # of transactions and of savepoints
LIMIT_SECONDS = 60.0


class Tail:
    """Polls a room's log from its own thread, each time from the last seq it saw.

    Attributes:
        seen: By room; complete when the context is left.
    """

    def __init__(self, server: HeadgateServer) -> None:
        self.seen: dict[str, list[Row]] = {room: [] for room in ROOMS}
        self._server = server
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(LIMIT_SECONDS)

    def _run(self) -> None:
        with log_reader(self._server) as log:
            ended = False
            while not ended:
                ended = self._end.wait(0.001)
                for room, seen in self.seen.items():
                    seen.extend(log.after(room, seen[-1].seq if seen else 0))


@dataclass
class Truth:
    """What the writers know: what is in the log, and what must not be."""

    committed: dict[str, dict[int, str]] = field(
        default_factory=lambda: {room: {} for room in ROOMS},
    )
    undone: set[str] = field(default_factory=set)

    def keep(self, sent: list[tuple[str, int, str]]) -> None:
        for room, seq, text in sent:
            assert seq not in self.committed[room], f"{room} has {seq} twice"
            self.committed[room][seq] = text


async def write_as_project(shop: Project, truth: Truth, seed: int) -> None:
    """Run transactions on several rooms, some slow, some undone, some in part."""
    dice = random.Random(seed)
    for number in range(TRANSACTIONS):
        sent: list[tuple[str, int, str]] = []
        await shop.begin()
        # In one order, as project code must lock whatever it locks several of.
        for room in sorted(dice.sample(ROOMS, dice.randint(1, 3))):
            inner: list[tuple[str, int, str]] = []
            savepoint = dice.random() < 0.3
            if savepoint:
                await shop.begin()
            for part in range(dice.randint(1, 3)):
                text = f"project {seed}, transaction {number}, {room} {part}"
                inner.append((room, (await shop.send(room, text))["seq"], text))
            if savepoint and dice.random() < ROLLED_BACK:
                await shop.roll_back()
                truth.undone |= {text for *_, text in inner}
                continue
            if savepoint:
                await shop.commit()
            sent += inner
        await asyncio.sleep(dice.choice([0, 0, 0.005, 0.02]))
        if dice.random() < ROLLED_BACK:
            await shop.roll_back()
            truth.undone |= {text for *_, text in sent}
        else:
            await shop.commit()
            truth.keep(sent)


async def write_as_client(client: Client, truth: Truth, room: str, name: str) -> None:
    for number in range(MESSAGES):
        text = f"{name} in {room} {number}"
        truth.keep([(room, (await client.send(room, text)).seq, text)])


async def listen(bare: Bare, seen: dict[str, dict[int, str]]) -> None:
    """Keep what the wire brings, for ever; a double or a jump fails."""
    while True:
        push = await bare.hear(LIMIT_SECONDS)
        assert push["seq"] == len(seen[push["room"]]) + 1
        seen[push["room"]][push["seq"]] = push["text"]


@pytest.mark.timeout(720)
async def test_gapless_and_in_commit_order(
    serve: Serve,
    database_url: str | None,
) -> None:
    server = serve("--guests", "--demo", database_url=database_url)
    truth = Truth()
    heard: dict[str, dict[int, str]] = {room: {} for room in ROOMS}

    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        # Without our client, which would mend holes and leave out doubles.
        watcher = await enter(
            welcomed(server.ws_url, resume=dict.fromkeys(ROOMS, 0)),
        )
        projects = [await enter(project(server)) for _ in range(PROJECTS)]
        clients = [await enter(Client(server.url)) for _ in range(CLIENTS)]
        tail = stack.enter_context(Tail(server))
        group = await enter(asyncio.TaskGroup())
        listening = group.create_task(listen(watcher, heard))
        async with asyncio.TaskGroup() as writers:
            for seed, shop in enumerate(projects):
                writers.create_task(write_as_project(shop, truth, seed))
            for number, client in enumerate(clients):
                for room in ROOMS:
                    task = write_as_client(client, truth, room, f"client {number}")
                    writers.create_task(task)
        heads = {room: len(texts) for room, texts in truth.committed.items()}
        await until(
            lambda: all(len(heard[room]) >= heads[room] for room in ROOMS),
            "everything was heard",
        )
        listening.cancel()

    assert truth.undone
    for room in ROOMS:
        expected = dict(sorted(truth.committed[room].items()))
        assert list(expected) == list(range(1, heads[room] + 1))
        assert [row.seq for row in tail.seen[room]] == list(expected)
        assert [row.text for row in tail.seen[room]] == list(expected.values())
        assert heard[room] == expected
        assert not truth.undone & set(expected.values())


async def test_the_second_writer_waits_for_the_first(
    serve: Serve,
    database_url: str | None,
) -> None:
    server = serve("--demo", database_url=database_url)

    async with project(server) as first, project(server) as second:
        with log_reader(server) as log:
            # Undone: the second gets the number that the first had.
            await first.begin()
            assert (await first.send("general", "never"))["seq"] == 1
            waiting = asyncio.create_task(second.send("general", "one"))
            await asyncio.wait([waiting], timeout=0.5)
            assert not waiting.done()
            assert log.after("general", 0) == []
            await first.roll_back()
            assert (await waiting)["seq"] == 1
            assert log.after("general", 0) == [Row(1, "one", None)]

            # Committed: the second comes after it, and the poller misses nothing.
            await first.begin()
            assert (await first.send("general", "two"))["seq"] == 2
            waiting = asyncio.create_task(second.send("general", "three"))
            await asyncio.wait([waiting], timeout=0.5)
            assert not waiting.done()
            assert log.after("general", 1) == []
            await first.commit()
            assert (await waiting)["seq"] == 3
            assert [row.text for row in log.after("general", 1)] == ["two", "three"]


def test_control_a_database_sequence_has_holes(postgres_url: str) -> None:
    """The same two writers, numbered by `nextval`: the poller loses one."""
    insert = "INSERT INTO numbered (text) VALUES (%s) RETURNING seq"
    poll = "SELECT seq, text FROM numbered WHERE seq > %s ORDER BY seq"

    with contextlib.ExitStack() as stack:
        url = stack.enter_context(fresh_database(postgres_url))
        first, second, reader = (
            stack.enter_context(contextlib.closing(psycopg.connect(url)))
            for _ in range(3)
        )
        reader.autocommit = True
        reader.execute("CREATE TABLE numbered (seq bigserial PRIMARY KEY, text text)")

        assert first.execute(insert, ["slow"]).fetchone() == (1,)
        assert second.execute(insert, ["fast"]).fetchone() == (2,)  # does not wait
        second.commit()
        seen = reader.execute(poll, [0]).fetchall()
        assert seen == [(2, "fast")]
        first.commit()
        seen += reader.execute(poll, [seen[-1][0]]).fetchall()
        assert (1, "slow") not in seen  # committed, and skipped for ever

        second.execute(insert, ["undone"])
        second.rollback()
        second.execute(insert, ["after"])
        second.commit()
        stored = [seq for seq, _ in reader.execute(poll, [0])]
        assert stored == [1, 2, 4]  # and the one rolled back leaves a hole


def test_control_the_same_poller_loses_random_writers(postgres_url: str) -> None:
    """The tailing reader of this file, on random writers with a sequence."""
    insert = "INSERT INTO numbered (text) VALUES (%s)"
    with fresh_database(postgres_url) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE numbered (seq bigserial PRIMARY KEY, text text)",
            )

        def write(seed: int) -> None:
            dice = random.Random(seed)
            with contextlib.closing(psycopg.connect(url)) as connection:
                for number in range(40):
                    connection.execute(insert, [f"{seed} {number}"])
                    time.sleep(dice.choice([0, 0, 0.005, 0.02]))
                    undo = dice.random() < ROLLED_BACK
                    (connection.rollback if undo else connection.commit)()

        writers = [threading.Thread(target=write, args=[seed]) for seed in range(6)]
        for writer in writers:
            writer.start()
        polled: list[int] = []
        poll = "SELECT seq FROM numbered WHERE seq > %s ORDER BY seq"
        with contextlib.closing(psycopg.connect(url, autocommit=True)) as reader:
            writing = True
            while writing:
                writing = any(writer.is_alive() for writer in writers)
                last = polled[-1] if polled else 0
                polled += [seq for (seq,) in reader.execute(poll, [last])]
            stored = [seq for (seq,) in reader.execute(poll, [0])]

    assert stored != list(range(1, len(stored) + 1)), "no hole after the rollbacks"
    assert polled != stored, "the poller skipped none"
