"""People who send and people who watch, while things break; and the judgement after.

    traffic = Traffic(server.url, senders=4, watchers=2)
    async with traffic:
        await traffic.until(acknowledged=500)
        ...  # break something
    traffic.judge(await logs_of(server.url))

The senders are `headgate.client.Client`s: they come back by themselves and send what
was not acknowledged again, with the same client_id.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterable
from typing import Self

from headgate.client import Client
from headgate.protocol.pushes import LogEvent, Message, Reset
from tests.faults.log import events_of

__all__ = ["ROOMS", "Traffic", "logs_of", "until"]

ROOMS = ("general", "help", "random")
LIMIT_SECONDS = 60.0
Logs = dict[str, list[LogEvent]]


async def until(
    condition: Callable[[], bool],
    what: str,
    limit_seconds: float = LIMIT_SECONDS,
) -> None:
    """Poll a condition; raises `TimeoutError` naming what did not come true."""
    try:
        async with asyncio.timeout(limit_seconds):
            while not condition():  # noqa: ASYNC110 - of things that know no event
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise TimeoutError(f"not within {limit_seconds} s: {what}") from None


async def logs_of(url: str) -> Logs:
    """Read every room's log back."""
    async with Client(url) as client:
        return {room: await events_of(client, room) for room in ROOMS}


def _client(url: str, rooms: Iterable[str] = ()) -> Client:
    return Client(
        url,
        rooms=rooms,
        min_backoff_seconds=0.05,
        max_backoff_seconds=0.3,
    )


class Traffic:
    """Sustained sending to all rooms, and what everybody was told.

    Attributes:
        acknowledged: (seq, text) by room and client_id.
        seen: For each watcher, the events of each room in the order they came.
    """

    def __init__(self, url: str, *, senders: int, watchers: int) -> None:
        self.acknowledged: dict[tuple[str, str], tuple[int, str]] = {}
        self.seen: list[dict[str, list[LogEvent]]] = [
            {room: [] for room in ROOMS} for _ in range(watchers)
        ]
        self.resets: list[Reset] = []
        self._senders = [_client(url) for _ in range(senders)]
        self._watchers = [_client(url, ROOMS) for _ in range(watchers)]
        self._enough = False
        self._sending: list[asyncio.Task[None]] = []
        self._watching: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        for client in (*self._watchers, *self._senders):
            await self._stack.enter_async_context(client)
        create = asyncio.get_running_loop().create_task
        self._watching = [
            create(self._watch(client, seen))
            for client, seen in zip(self._watchers, self.seen, strict=True)
        ]
        self._sending = [
            create(self._send(client, room, f"{number}"))
            for number, client in enumerate(self._senders)
            for room in ROOMS
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let the senders finish what they began, and the watchers read it."""
        self._enough = True
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await asyncio.gather(*self._sending)
            heads = {room: self.head(room) for room in ROOMS}
            await until(lambda: self._all_seen(heads), f"all was seen up to {heads}")
        finally:
            for task in (*self._sending, *self._watching):
                task.cancel()
            await self._stack.aclose()

    def head(self, room: str) -> int:
        """Return the highest seq that was acknowledged in a room."""
        return max(seq for (at, _), (seq, _) in self.acknowledged.items() if at == room)

    async def until(self, *, more: int, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Wait until so many more messages are acknowledged; fail if sending ended."""
        goal = len(self.acknowledged) + more

        def reached() -> bool:
            for task in (*self._sending, *self._watching):
                if task.done():
                    task.result()
                    raise RuntimeError("somebody stopped too early")
            return len(self.acknowledged) >= goal

        await until(reached, f"{more} more acknowledgements", limit_seconds)

    def judge(self, logs: Logs) -> None:
        """Assert that nothing was lost, doubled, swapped or falsely acknowledged."""
        assert not self.resets
        for room in ROOMS:
            log = [event for event in logs[room] if isinstance(event, Message)]
            assert [event.seq for event in log] == list(range(1, len(log) + 1))
            stored = {event.client_id: (event.seq, event.text) for event in log}
            assert len(stored) == len(log), "a client_id is in the log twice"
            promised = {
                client_id: told
                for (at, client_id), told in self.acknowledged.items()
                if at == room
            }
            # Everybody sent again until there was an answer: so it is all of it.
            assert stored == promised
            for seen in self.seen:
                assert seen[room] == log

    def _all_seen(self, heads: dict[str, int]) -> bool:
        return all(
            seen[room] and seen[room][-1].seq >= heads[room]
            for seen in self.seen
            for room in ROOMS
        )

    async def _send(self, client: Client, room: str, name: str) -> None:
        for number in itertools.count():
            if self._enough:
                return
            client_id, text = f"{name}-{number}", f"{name} says {number} in {room}"
            sent = await client.send(room, text, client_id=client_id)
            self.acknowledged[room, client_id] = (sent.seq, text)

    async def _watch(self, client: Client, seen: dict[str, list[LogEvent]]) -> None:
        async for push in client:
            if isinstance(push, LogEvent):
                seen[push.room].append(push)
            elif isinstance(push, Reset):
                self.resets.append(push)
