"""Everything that can go wrong, at random, and then the state is compared.

What the clients sent and what the server's log holds must be the same, each
client_id once and in each sender's order; what each client read must be the log. With
an odd seed all of them draw on the same limits, too.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from headgate.client import Status
from headgate.limits.policy import Policy
from headgate.protocol import commands, pushes
from headgate.protocol.codes import Code
from tests.client.conftest import Watched
from tests.client.limited_server import LimitedServer
from tests.client.model_server import Fault, ModelServer, Peer, refusal

ROOMS = ["a", "b", "c"]
MESSAGES = 32  # per client and room
FAULTS = [Fault.DROP] * 10 + [Fault.LOSE_REPLY] * 10 + [Fault.SILENCE]
PASSING = [Code.RATE_LIMITED, Code.OVERLOADED, Code.UNAVAILABLE, Code.INTERNAL]


class Chaos:
    """The faults of one run; they stop when `calm` is set."""

    def __init__(self, server: ModelServer, seed: int) -> None:
        self.random = random.Random(seed)
        self.server = server
        self.calm = False
        server.on_command = self.on_command
        server.on_push = self.on_push

    def on_command(
        self, peer: Peer, command: commands.Command
    ) -> Fault | pushes.Error | None:
        dice = 1 if self.calm else self.random.random()
        if dice < 0.07:
            code = self.random.choice(PASSING)
            return refusal(code, retry_after_ms=self.random.randint(1, 5))
        if dice < 0.112:
            return FAULTS[int((dice - 0.07) * 500)]
        if dice < 0.115:
            self.server.cut_all()
        elif dice < 0.12:
            self.server.push_all(pushes.GoingAway(reconnect_in_ms=5))
        return None

    def on_push(self, peer: Peer, push: Any) -> list[Any]:
        dice = self.random.random()
        if self.calm or not isinstance(push, pushes.Message) or dice > 0.15:
            return [push]
        if dice < 0.05:
            return [push, push]
        if dice < 0.10:
            return []
        return [pushes.Gap(room=push.room, from_=push.seq, to=push.seq)]


async def send_all(watched: Watched, name: str, room: str) -> None:
    """Send some at a time, as a person with several devices might."""
    ids = [f"{name}-{room}-{n}" for n in range(MESSAGES)]
    for first in range(0, MESSAGES, 8):
        sent = await asyncio.gather(
            *(
                watched.client.send(room, client_id, client_id=client_id)
                for client_id in ids[first : first + 8]
            )
        )
        assert [s.seq for s in sent] == sorted({s.seq for s in sent})


async def read_all(watched: Watched, streams: dict[str, list[Any]]) -> None:
    """Read until the last message of every room has come."""
    ended: set[str] = set()
    while ended != set(ROOMS):
        push = await anext(watched.client)
        streams[push.room].append(push)
        if push.text == "end":
            ended.add(push.room)


@pytest.mark.parametrize("seed", range(8))
async def test_the_end_state_is_the_log(seed: int) -> None:
    async with asyncio.timeout(60), ModelServer() as server:
        chaos = Chaos(server, seed)
        if seed % 2:
            server.limited = LimitedServer(
                [Policy("send", "100/s:20"), Policy("command", "500/s:100")]
            )
        clients = {
            name: Watched(
                server.url,
                rooms=ROOMS,
                open_timeout_seconds=0.5,
                reply_timeout_seconds=0.3,
                max_inbox_items=chaos.random.choice([3, 50, 10_000]),
            )
            for name in ("ada", "bob", "eve")
        }
        streams: dict[str, dict[str, list[Any]]] = {
            name: {room: [] for room in ROOMS} for name in clients
        }
        for watched in clients.values():
            await watched.client.open()
        async with asyncio.TaskGroup() as readers:
            for name, watched in clients.items():
                readers.create_task(read_all(watched, streams[name]))
            async with asyncio.TaskGroup() as senders:
                for name, watched in clients.items():
                    for room in ROOMS:
                        senders.create_task(send_all(watched, name, room))
            chaos.calm = True
            for room in ROOMS:
                server.write(room, "end")
        for watched in clients.values():
            await watched.client.close()

        assert sum(w.times(Status.ONLINE) for w in clients.values()) > len(clients)
        for room in ROOMS:
            landed = server.client_ids(room)
            assert len(landed) == len(set(landed)) == MESSAGES * len(clients)
            for name in clients:
                own = [each for each in landed if each.startswith(name)]
                assert own == [f"{name}-{room}-{n}" for n in range(MESSAGES)]
                stream = list(streams[name][room])
                seqs = [push.seq for push in stream]
                log = server.log[room]
                assert seqs == list(range(seqs[0], len(log) + 1))
                assert stream == log[seqs[0] - 1 :]
                assert seqs[0] == 1, "all had joined before the first was sent"
