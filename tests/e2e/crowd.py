"""A crowd that talks while servers come and go, and the log that it is held to.

Each client notes what it saw and what was acknowledged to it, and how each of its
connections ended. `check` compares all of that with the log, read over HTTP.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from headgate.client import Client, State, Status
from headgate.protocol.pushes import Message
from tests.servers import HeadgateServer

__all__ = ["CROWD", "Crowd", "is_running", "log_of", "workers_of"]

# How many clients; a soak has more.
CROWD = int(os.environ.get("HEADGATE_CROWD", "100"))
ROOMS = tuple(f"hall-{number}" for number in range(5))
WRITERS = 20  # of the crowd; each sends as soon as the last message is saved
LIMIT_SECONDS = 45.0 + CROWD / 20


class Crowd:
    """Clients of one server; use it as an async context manager.

    Attributes:
        clients: All of them.
        acknowledged: By room, the text of each seq that a writer was told.
        lost: Why connections were lost, and what was wrong with new ones.
        returned: How often somebody was online again.
    """

    def __init__(self, url: str, count: int = CROWD) -> None:
        self.clients = [
            Client(
                url,
                rooms=[ROOMS[number % len(ROOMS)]],
                min_backoff_seconds=0.1,
                max_backoff_seconds=1.0,
                on_state=self._moved,
                max_inbox_items=1_000_000,
            )
            for number in range(count)
        ]
        self.acknowledged: dict[str, dict[int, str]] = defaultdict(dict)
        self.lost: list[str] = []
        self.returned = -count
        self._seen: list[list[tuple[int, str]]] = [[] for _ in self.clients]
        self._reading: list[asyncio.Task[None]] = []
        self._writing: list[asyncio.Task[None]] = []
        self._talks = True
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(LIMIT_SECONDS):
            for client in self.clients:
                await client.open()
        loop = asyncio.get_running_loop()
        numbers = range(len(self.clients))
        self._reading = [loop.create_task(self._read(each)) for each in numbers]
        self._writing = [
            loop.create_task(self._write(each)) for each in numbers[:WRITERS]
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)
        await asyncio.gather(*(each.close() for each in self.clients))
        await asyncio.gather(*self._reading, return_exceptions=True)

    @property
    def saved(self) -> int:
        """How many messages were acknowledged."""
        return sum(map(len, self.acknowledged.values()))

    async def talk(self, messages: int) -> None:
        """Wait until so many more messages were acknowledged."""
        wanted = self.saved + messages
        await self._until(lambda: self.saved >= wanted)

    async def come_back(self, times: int) -> None:
        """Wait until everybody has come back so often, all in all."""
        wanted = times * len(self.clients)
        await self._until(
            lambda: (
                self.returned >= wanted
                and all(each.state.status is Status.ONLINE for each in self.clients)
            )
        )

    async def fall_silent(self) -> None:
        """Send nothing more, and wait for what is on its way."""
        self._talks = False
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.gather(*self._writing)

    async def check(self, server: HeadgateServer) -> None:
        """Compare what everybody saw, and was told, with the log."""
        await self.fall_silent()
        for place, room in enumerate(ROOMS):
            log = await log_of(server, room)
            texts = [text for _, text in log]
            assert [seq for seq, _ in log] == list(range(1, len(log) + 1))
            assert len(set(texts)) == len(texts), "something was saved twice"
            told = self.acknowledged[room]
            assert sorted(told.items()) == log, "not each message was told as it is"
            readers = self._seen[place :: len(ROOMS)]
            await self._until(
                lambda readers=readers, log=log: all(
                    len(seen) >= len(log) for seen in readers
                )
            )
            for seen in readers:
                assert seen == log, "somebody saw another room"

    def _moved(self, state: State) -> None:
        if state.status is Status.WAITING:
            self.lost.append(state.reason or "")
        elif state.status is Status.ONLINE:
            self.returned += 1
        self._changed.set()

    async def _read(self, number: int) -> None:
        async for push in self.clients[number]:
            if isinstance(push, Message):
                self._seen[number].append((push.seq, push.text))
                self._changed.set()

    async def _write(self, number: int) -> None:
        client, room, said = self.clients[number], ROOMS[number % len(ROOMS)], 0
        while self._talks:
            said += 1
            text = f"{number}: {said}"
            sent = await client.send(room, text)
            self.acknowledged[room][sent.seq] = text
            self._changed.set()

    async def _until(self, condition: Any) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


async def log_of(server: HeadgateServer, room: str) -> list[tuple[int, str]]:
    """Return a room's messages as they stand in the log, over HTTP."""
    found: list[tuple[int, str]] = []
    async with httpx.AsyncClient(
        trust_env=False, base_url=server.url, timeout=30
    ) as http:
        while True:
            after = found[-1][0] if found else 0
            answer = await http.get(
                f"/api/v1/rooms/{room}/events", params={"after": after, "limit": 200}
            )
            answer.raise_for_status()
            page = answer.json()
            found += [(each["seq"], each["text"]) for each in page["events"]]
            if not page["more"]:
                return found


def workers_of(pid: int) -> Sequence[int]:
    """Return the processes that a process has started, and that run."""
    names = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
    return sorted(int(name) for name in names if _parent_of(int(name)) == pid)


def is_running(pid: int) -> bool:
    """Return whether a process has not ended, by whomever it is to be reaped."""
    return _parent_of(pid) is not None


def _parent_of(pid: int) -> int | None:
    """Return the parent of a process that runs; see proc_pid_stat(5)."""
    try:
        _, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
    except OSError:
        return None
    state, parent, *_ = rest.split()
    return None if state in "ZX" else int(parent)
