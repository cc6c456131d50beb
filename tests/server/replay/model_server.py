"""Small honest chats, to be lied about by a proxy.

`ModelServer` speaks as much of `headgate.v1` as replay uses: hello and welcome, join,
send with one message per author and client_id, history, resume. `PlainChat` is
somebody else's chat: what is said is sent to everybody, and that is all.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from threading import Thread
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from tests.fault_proxy import FaultProxy, Faults

AT = "2026-01-01T00:00:00.000Z"


def encoded(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@dataclass
class Log:
    events: list[dict[str, Any]] = field(default_factory=list)
    landed: dict[tuple[str, str], int] = field(default_factory=dict)
    watchers: set[ServerConnection] = field(default_factory=set)
    epoch: str = "e1"


class ModelServer:
    """A chat that keeps its promises, with the troubles that one may have.

    Attributes:
        refuse: One send in so many is refused for 20 ms.
        forget: One send in so many is saved, but the connection ends before the reply.
        refuse_for_good: Client ids that end so are refused for good.
        gap: One push in so many is left out, and said to be.
    """

    def __init__(
        self,
        *,
        refuse: int = 0,
        forget: int = 0,
        refuse_for_good: str | None = None,
        gap: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.refuse = refuse
        self.forget = forget
        self.refuse_for_good = refuse_for_good
        self.gap = gap
        self.tls = tls
        self.rooms: dict[str, Log] = {}
        self.port = 0
        self.refusals = 0
        self._chance = Random(5)
        self._server: Server | None = None

    def room(self, name: str) -> Log:
        return self.rooms.setdefault(name, Log())

    async def start(self) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            subprotocols=["headgate.v1"],  # type: ignore[list-item]
            compression=None,
            ssl=self.tls,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self, *, roughly: bool = False) -> None:
        assert self._server is not None
        if roughly:
            for connection in set(self._server.connections):
                connection.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    async def restart(self) -> None:
        """Fall and come back with the same log."""
        await self.stop(roughly=True)
        await asyncio.sleep(0.2)
        await self.start()

    def _strikes(self, one_in: int) -> bool:
        return one_in > 0 and self._chance.randrange(one_in) == 0

    async def _serve(self, connection: ServerConnection) -> None:
        guest = ""
        try:
            async for payload in connection:
                command = json.loads(payload)
                match command["cmd"]:
                    case "hello":
                        guest = command.get("guest") or uuid.uuid4().hex
                        self._welcome(connection, command, guest)
                    case "join":
                        log = self.room(command["room"])
                        log.watchers.add(connection)
                        await connection.send(encoded(self._state(command, log)))
                    case "send":
                        await self._send(connection, command, guest)
                    case "history":
                        await connection.send(encoded(self._page(command)))
        except ConnectionClosed:
            pass
        finally:
            for log in self.rooms.values():
                log.watchers.discard(connection)

    def _state(self, command: dict[str, Any], log: Log) -> dict[str, Any]:
        return {
            "reply": command["id"],
            "room": command["room"],
            "head": len(log.events),
            "epoch": log.epoch,
        }

    def _welcome(
        self, connection: ServerConnection, command: dict[str, Any], guest: str
    ) -> None:
        rooms: dict[str, Any] = {}
        missed: list[dict[str, Any]] = []
        for name, position in command.get("resume", {}).items():
            log = self.room(name)
            rooms[name] = {"head": len(log.events), "epoch": log.epoch}
            missed += log.events[position["seq"] :]
            log.watchers.add(connection)
        welcome = {
            "push": "welcome",
            "user": {"id": f"g-{guest[:8]}", "kind": "guest", "name": "x"},
            "guest": guest,
            "rooms": rooms,
            "limits": [],
            "heartbeat_ms": 25000,
            "max_message_bytes": 16384,
        }
        for push in (welcome, *missed):
            broadcast({connection}, encoded(push))

    async def _send(
        self, connection: ServerConnection, command: dict[str, Any], guest: str
    ) -> None:
        log, client_id = self.room(command["room"]), command["client_id"]
        if self.refuse_for_good and client_id.endswith(self.refuse_for_good):
            no = {"code": "forbidden", "text": "No."}
            await connection.send(encoded({"reply": command["id"], "error": no}))
            return
        if self._strikes(self.refuse):
            self.refusals += 1
            failure: dict[str, Any] = {"code": "rate_limited", "retry_after_ms": 20}
            await connection.send(encoded({"reply": command["id"], "error": failure}))
            return
        seq = log.landed.get((guest, client_id))
        if seq is None:
            seq = len(log.events) + 1
            log.landed[guest, client_id] = seq
            push = {
                "push": "message",
                "room": command["room"],
                "seq": seq,
                "client_id": client_id,
                "author": {"id": f"g-{guest[:8]}", "kind": "guest", "name": "x"},
                "text": command["text"],
                "at": AT,
            }
            log.events.append(push)
            if self._strikes(self.gap):
                push = {"push": "gap", "room": command["room"], "from": seq, "to": seq}
            broadcast(log.watchers, encoded(push))
        if self._strikes(self.forget):
            connection.transport.abort()
            return
        await connection.send(encoded({"reply": command["id"], "seq": seq, "at": AT}))

    def _page(self, command: dict[str, Any]) -> dict[str, Any]:
        log, after, limit = (
            self.room(command["room"]),
            command["after"],
            command["limit"],
        )
        page = log.events[after : after + limit]
        more = after + limit < len(log.events)
        return {
            **self._state(command, log),
            "messages": page,
            "more": more,
        }


class PlainChat:
    """Somebody else's chat: no numbers, no replies, everything to everybody."""

    def __init__(self) -> None:
        self.port = 0
        self.paths: set[str] = set()
        self.received: list[dict[str, Any]] = []
        self._watchers: set[ServerConnection] = set()
        self._server: Server | None = None

    async def start(self) -> None:
        self._server = await serve(self._serve, "127.0.0.1", self.port)
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self, *, roughly: bool = False) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.add(connection.request.path)
        self._watchers.add(connection)
        try:
            async for payload in connection:
                said = json.loads(payload)
                self.received.append(said)
                text = said["message"]
                broadcast(
                    self._watchers, json.dumps({"body": {"html": f"Ada: {text}"}})
                )
        finally:
            self._watchers.discard(connection)


@dataclass
class Served:
    """A chat in a thread of its own, and the port to connect to."""

    port: int
    server: Any
    proxy: FaultProxy | None
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, coroutine: Any) -> Any:
        """Run a coroutine in the chat's thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)


@contextmanager
def served(server: Any, faults: Faults | None = None) -> Iterator[Served]:
    """Run a chat, behind a proxy if there are faults to commit."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(10)

    proxy = None
    try:
        call(server.start())
        port = server.port
        if faults is not None:
            proxy = FaultProxy("127.0.0.1", server.port, faults)
            call(proxy.__aenter__())
            port = proxy.port
        yield Served(port, server, proxy, loop)
    finally:
        if proxy is not None:
            call(proxy.__aexit__())
        call(server.stop(roughly=True))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
