"""A small but faithful server: it keeps a log, and breaks in every way that is asked.

It obeys the wire where no fault is set, so that a client's end state can be compared
with `log`: each client_id once, in order. Faults are two hooks: `on_command` says
what becomes of a command, `on_push` what becomes of a push to one peer.

Whoever presents a ticket of `tickets` is whom it names, and the ticket is used. Others
are guests, or with `takes_guests` off nobody. With `limited` commands are counted by
the real limiter, and everybody draws on the same limits.
"""

from __future__ import annotations

import asyncio
import http
import itertools
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from headgate.protocol import codec, commands, pushes
from headgate.protocol.codes import Close, Code
from tests.client.limited_server import LimitedServer

TICKET = "headgate.ticket."
NOBODY = pushes.Author(id="?", kind="guest", name="?")
LIMIT_SECONDS = 60.0  # until a test gives up waiting


class Fault(Enum):
    """What may become of a command."""

    DROP = auto()  # the connection is cut, the command was not seen
    LOSE_REPLY = auto()  # it is carried out, then the connection is cut
    SILENCE = auto()  # it is never answered


def refusal(code: Code, **more: Any) -> pushes.Error:
    return codec.error(code, **more)


@dataclass(eq=False)
class Peer:
    """One connection as the server sees it."""

    socket: ServerConnection
    author: pushes.Author = NOBODY
    rooms: set[str] = field(default_factory=set)
    outgoing: asyncio.Queue[bytes | Close] = field(default_factory=asyncio.Queue)
    ticket: str | None = None

    def put(self, what: Any) -> None:
        self.outgoing.put_nowait(codec.encode(what))

    def refuse(self, error: pushes.Error, close: Close, reply: int | None) -> None:
        self.put(pushes.Failure(reply=reply, error=error))
        self.outgoing.put_nowait(close)

    def cut(self) -> None:
        self.socket.transport.abort()


Hook = Callable[[Peer, commands.Command], Fault | pushes.Error | None]


def _no_fault(peer: Peer, command: commands.Command) -> Fault | pushes.Error | None:
    return None


def _as_it_is(peer: Peer, push: Any) -> list[Any]:
    return [push]


class ModelServer:
    """Use as an async context manager; `url` is what a client takes."""

    def __init__(self) -> None:
        self.log: dict[str, list[Any]] = defaultdict(list)
        self.epochs: dict[str, str] = defaultdict(lambda: "e1")
        self.oldest: dict[str, int] = defaultdict(lambda: 1)
        self.refused: dict[str, pushes.Error] = {}
        self.refused_handshakes: list[tuple[int, dict[str, str]]] = []
        self.limited: LimitedServer | None = None
        self.slow_mode_ms: dict[str, int] = {}
        self.moderators_of: set[str] = set()
        self.subprotocol = True
        self.guest_ids = map(str, itertools.count(1))
        self.takes_guests = True
        self.gives_tickets = False
        self.tickets: dict[str, pushes.Author] = {}
        self._ticket_ids = itertools.count(1)
        self.heartbeat_ms = 25_000
        self.peers: list[Peer] = []
        self.hellos: list[commands.Hello] = []
        self.seen: list[commands.Command] = []
        self.requests: list[Request] = []
        self.on_command: Hook = _no_fault
        self.on_push: Callable[[Peer, Any], list[Any]] = _as_it_is
        self._ids: dict[tuple[str, str, str], pushes.Saved] = {}
        self._changed = asyncio.Event()
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        await self.start(0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self, port: int) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            port,
            process_request=self._request,
            select_subprotocol=lambda _, offered: (
                offered[0] if self.subprotocol else None
            ),
            ping_interval=None,
            close_timeout=0.5,
            compression=None,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        assert self._server is not None
        self.cut_all()
        self._server.close()
        await self._server.wait_closed()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds; looked at after each step of the server."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def cut_all(self) -> None:
        for peer in self.peers:
            peer.cut()

    def push_all(self, push: Any) -> None:
        """Push to everybody who watches the room, or to all where there is none."""
        room = getattr(push, "room", None)
        for peer in self.peers:
            if room is None or room in peer.rooms:
                self._push(peer, push)

    def write(self, room: str, text: str, author: pushes.Author | None = None) -> int:
        """Save a message that nobody here sent, and push it."""
        message = pushes.Message(
            room=room,
            seq=len(self.log[room]) + 1,
            author=author or pushes.Author(id="s", kind="system", name="System"),
            text=text,
            at="2026-01-01T00:00:00Z",
        )
        return self._save(message)

    def ticket_for(self, author: pushes.Author) -> str:
        """Give out a ticket."""
        ticket = f"secret-{next(self._ticket_ids)}"
        self.tickets[ticket] = author
        return ticket

    def presented(self) -> list[str | None]:
        """Return the ticket of each handshake, in their order."""
        return [_ticket_in(request) for request in self.requests]

    def client_ids(self, room: str) -> list[str]:
        return [e.client_id for e in self.log[room] if getattr(e, "client_id", None)]

    def texts(self, room: str) -> list[str]:
        return [e.text for e in self.log[room] if isinstance(e, pushes.Message)]

    # --- one connection -----------------------------------------------------------

    def _request(self, socket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        self._changed.set()
        if not self.refused_handshakes:
            return None
        status, headers = self.refused_handshakes.pop(0)
        response = socket.respond(http.HTTPStatus(status), "no")
        response.headers.update(headers)
        return response

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        peer = Peer(socket, ticket=_ticket_in(socket.request))
        self.peers.append(peer)
        if peer.ticket is not None and peer.ticket not in self.tickets:
            refused = refusal(Code.TICKET_REFUSED)
            peer.refuse(refused, Close.TICKET_REFUSED, None)
        writer = asyncio.create_task(self._write(peer))
        with suppress(ConnectionClosed):
            async for text in socket:
                assert isinstance(text, str)
                self._command(peer, codec.decode_command(text))
                self._changed.set()
        self.peers.remove(peer)
        writer.cancel()
        await asyncio.wait([writer])
        self._changed.set()

    async def _write(self, peer: Peer) -> None:
        with suppress(ConnectionClosed):
            while True:
                what = await peer.outgoing.get()
                if isinstance(what, Close):
                    await peer.socket.close(what)
                else:
                    await peer.socket.send(what, text=True)

    def _command(self, peer: Peer, command: commands.Command) -> None:
        self.seen.append(command)
        fault = self._refusal(command) or self.on_command(peer, command)
        if isinstance(fault, pushes.Error):
            peer.put(pushes.Failure(reply=command.id, error=fault))
        elif fault is Fault.DROP:
            peer.cut()
        elif fault is not Fault.SILENCE:
            if fault is Fault.LOSE_REPLY:
                peer.cut()
            self._carry_out(peer, command)

    def _refusal(self, command: commands.Command) -> pushes.Error | None:
        if self.limited is None or isinstance(command, commands.Hello):
            return None
        self.limited.now = asyncio.get_running_loop().time()
        return self.limited.refusal(command)

    def _carry_out(self, peer: Peer, command: commands.Command) -> None:
        reply = command.id or 0
        match command:
            case commands.Hello():
                self._hello(peer, command)
            case commands.Join(room=room):
                if room in self.refused:
                    peer.put(pushes.Failure(reply=reply, error=self.refused[room]))
                    return
                head, epoch = len(self.log[room]), self.epochs[room]
                peer.rooms.add(room)
                joined = pushes.Joined(
                    reply=reply,
                    room=room,
                    head=head,
                    epoch=epoch,
                    slow_mode_ms=self.slow_mode_ms.get(room),
                    moderates=room in self.moderators_of,
                )
                peer.put(joined)
                if command.after is not None:
                    self._resume(peer, room, command.after, command.epoch)
            case commands.Leave(room=room):
                peer.rooms.discard(room)
                peer.put(pushes.Done(reply=reply))
            case commands.Send():
                self._send(peer, command)
            case commands.Edit() | commands.Delete():
                self._change(peer, command)
            case commands.History(of="events"):
                self._events(peer, command)
            case commands.History(room=room):
                messages = [e for e in self.log[room] if isinstance(e, pushes.Message)]
                peer.put(
                    pushes.MessagesPage(
                        reply=reply,
                        room=room,
                        messages=messages[-command.limit :],
                        head=len(self.log[room]),
                        epoch=self.epochs[room],
                        more=len(messages) > command.limit,
                    )
                )
            case _:
                peer.put(pushes.Done(reply=reply))

    def _hello(self, peer: Peer, hello: commands.Hello) -> None:
        self.hellos.append(hello)
        guest: str | None = None
        if peer.ticket is not None:
            author = self.tickets.pop(peer.ticket, None)
            if author is None:
                return
            peer.author = author
            guest = author.id if author.kind == "guest" else None
        elif self.takes_guests:
            guest = hello.guest or f"guest-{next(self.guest_ids)}"
            name = hello.name or "Guest"
            peer.author = pushes.Author(id=guest, kind="guest", name=name)
        else:
            refused = refusal(Code.UNAUTHENTICATED)
            peer.refuse(refused, Close.UNAUTHENTICATED, hello.id)
            return
        rooms = {}
        for room in dict.fromkeys([*hello.resume, *hello.pending]):
            if room in self.refused:
                rooms[room] = pushes.RoomJoined(error=self.refused[room])
                continue
            landed = {
                client_id: saved.seq
                for client_id in hello.pending.get(room, [])
                if (saved := self._ids.get((peer.author.id, room, client_id)))
                is not None
            }
            rooms[room] = pushes.RoomJoined(
                head=len(self.log[room]), epoch=self.epochs[room], landed=landed
            )
        peer.put(
            pushes.Welcome(
                user=peer.author,
                guest=guest,
                ticket=self.ticket_for(peer.author) if self.gives_tickets else None,
                rooms=rooms,
                limits=[] if self.limited is None else self.limited.told(rooms),
                heartbeat_ms=self.heartbeat_ms,
                max_message_bytes=16_384,
            )
        )
        for room, position in hello.resume.items():
            if room not in self.refused:
                peer.rooms.add(room)
                assert isinstance(position, commands.Position)
                self._resume(peer, room, position.seq, position.epoch)

    def _resume(self, peer: Peer, room: str, seq: int, epoch: str | None) -> None:
        log, now = self.log[room], self.epochs[room]
        oldest = self.oldest[room]
        if epoch not in {None, now} or not oldest - 1 <= seq <= len(log):
            reset = pushes.Reset(room=room, oldest=oldest, head=len(log), epoch=now)
            self._push(peer, reset)
            return
        for event in log[seq:]:
            self._push(peer, event)

    def _send(self, peer: Peer, send: commands.Send) -> None:
        assert send.client_id is not None
        key = (peer.author.id, send.room, send.client_id)
        saved = self._ids.get(key)
        if saved is not None:
            peer.put(pushes.Saved(reply=send.id, seq=saved.seq, at=saved.at))
            return
        message = pushes.Message(
            room=send.room,
            seq=len(self.log[send.room]) + 1,
            client_id=send.client_id,
            author=peer.author,
            text=send.text,
            at="2026-01-01T00:00:00Z",
            data=send.data,
        )
        saved = pushes.Saved(reply=send.id, seq=message.seq, at=message.at)
        self._ids[key] = saved
        peer.put(saved)
        self._save(message)

    def _change(self, peer: Peer, command: commands.Edit | commands.Delete) -> None:
        room, target = command.room, command.target
        seq, at = len(self.log[room]) + 1, "2026-01-01T00:00:01Z"
        event: pushes.Edited | pushes.Deleted
        if isinstance(command, commands.Edit):
            event = pushes.Edited(
                room=room,
                seq=seq,
                target=target,
                author=peer.author,
                text=command.text,
                at=at,
            )
        else:
            event = pushes.Deleted(
                room=room, seq=seq, target=target, author=peer.author, at=at
            )
        peer.put(pushes.Saved(reply=command.id, seq=seq, at=at))
        self._save(event)

    def _events(self, peer: Peer, history: commands.History) -> None:
        room, log = history.room, self.log[history.room]
        first = max(history.after or 0, self.oldest[room] - 1)
        to = len(log) if history.to is None else history.to
        events = log[first : min(to, first + history.limit)]
        peer.put(
            pushes.EventsPage(
                reply=history.id,
                room=room,
                events=events,
                head=len(log),
                epoch=self.epochs[room],
                more=first + len(events) < to,
            )
        )

    def _save(self, event: Any) -> int:
        self.log[event.room].append(event)
        self.push_all(event)
        self._changed.set()
        return int(event.seq)

    def _push(self, peer: Peer, push: Any) -> None:
        for each in self.on_push(peer, push):
            peer.put(each)


def _ticket_in(request: Request) -> str | None:
    offered = request.headers.get("Sec-WebSocket-Protocol", "").split(", ")
    tickets = [each for each in offered if each.startswith(TICKET)]
    return tickets[0].removeprefix(TICKET) if tickets else None
