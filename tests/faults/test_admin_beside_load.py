"""Project code, such as the admin, is not kept out while clients write at full load.

SQLite has one writer and no queue of them, and on PostgreSQL the journal locks the
rooms: either could starve whoever asks beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys

import pytest

from tests.conftest import Serve
from tests.e2e.bare import Bare, welcomed
from tests.e2e.project import project
from tests.faults.traffic import until
from tests.steady import BUSY_SECONDS, SteadyClock

CONNECTIONS = 16
IN_FLIGHT = 16
WRITES = 20
BETWEEN = 500  # messages of the load between two writes
MEDIAN_SECONDS = 1.0
MAX_SECONDS = 2.0 + BUSY_SECONDS  # 1 s on a machine with nothing else to do


class Load:
    """Connections that always have some messages unanswered.

    Attributes:
        acknowledged: How many messages were saved.
    """

    def __init__(self) -> None:
        self.acknowledged = 0

    async def more(self, count: int) -> None:
        """Wait until so many more messages are saved."""
        goal = self.acknowledged + count
        await until(lambda: self.acknowledged >= goal, f"{count} more messages")

    async def keep_up(self, bare: Bare, room: str) -> None:
        """Send another message for each that is answered, for ever."""
        text = "x" * 60
        for number in range(IN_FLIGHT):
            await bare.say(cmd="send", id=number, room=room, text=text)
        while True:
            said = await bare.hear()
            bare.heard.clear()
            if "push" in said:
                continue
            assert "error" not in said, said
            self.acknowledged += 1
            await bare.say(cmd="send", id=said["reply"], room=room, text=text)


@pytest.mark.timeout(720)
async def test_project_code_writes_beside_full_load(
    serve: Serve,
    steady: SteadyClock,
    database_url: str | None,
) -> None:
    server = serve("--guests", "--demo", database_url=database_url)
    load = Load()
    loop = asyncio.get_running_loop()

    async with contextlib.AsyncExitStack() as stack:
        shop = await stack.enter_async_context(project(server))
        bares: list[Bare] = []
        loading: list[asyncio.Task[None]] = []
        # A room for each, so that pushes cost little beside what is to be written.
        for number in range(CONNECTIONS):
            room = f"load-{number}"
            bares.append(
                await stack.enter_async_context(welcomed(server.ws_url, f"{room}/")),
            )
            loading.append(asyncio.create_task(load.keep_up(bares[-1], room)))
        try:
            began, seconds = loop.time(), []
            for number in range(WRITES):
                await load.more(BETWEEN)
                sent = await shop.send("load-0", f"Order {number} is paid.")
                began_at = sent["at"] - sent["seconds"]
                seconds.append(steady.between(began_at, sent["at"]))
            rate = load.acknowledged / (loop.time() - began)
            assert not any(task.done() for task in loading)
        finally:
            for task in loading:
                task.cancel()
            await asyncio.gather(*loading, return_exceptions=True)
            for bare in bares:
                bare.socket.transport.abort()  # or each waits for what nobody reads

    milliseconds = sorted(round(each * 1000) for each in seconds)
    sys.stderr.write(f"took {milliseconds} ms beside {rate:.0f} messages a second\n")
    assert statistics.median(seconds) < MEDIAN_SECONDS
    assert max(seconds) < MAX_SECONDS
