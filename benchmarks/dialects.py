"""How a load speaks to each system: what it says to get in, and to say something.

All of them carry the same text, which begins with `MARK` and the message's number;
whoever counts marks in what it reads counts messages, whatever is around them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.sockets import masked

__all__ = [
    "CHANNELS",
    "DIGITS",
    "HEADGATE",
    "MARK",
    "NATS",
    "NCHAN",
    "PLAIN",
    "ROOM",
    "SOCKET_IO",
    "Dialect",
    "back_to_headgate",
    "text",
]

MARK = b"~!m"  # no byte of it is escaped in JSON, nor part of anybody's framing
DIGITS = 8
ROOM = "room"
_WELCOME = re.compile(
    rb'"guest":"([^"]+)".*"%s":{"head":(\d+),"epoch":"([^"]+)"' % ROOM.encode(),
    re.DOTALL,
)


def text(number: int, size_bytes: int) -> str:
    """Return the text of a message, of that size; its number has `DIGITS` digits."""
    return f"{MARK.decode()}{number:0{DIGITS}}".ljust(size_bytes, "x")


@dataclass(frozen=True)
class Dialect:
    """What a client sends, and how it knows that it is in.

    Attributes:
        message: From a message's number and text to the bytes that say it.
        watch: The path of a watcher's WebSocket; empty for plain TCP.
        publish: The path of a publisher's, where watchers cannot publish.
        subprotocol: The WebSocket subprotocol; empty for none.
        greeting: What a client sends first, after the handshake if there is one.
        ready: The bytes that say that a client is in; empty for the handshake itself.
        alive: What the server asks on top of the WebSocket, and the answer to it.
    """

    message: Callable[[int, str], bytes]
    watch: str = ""
    publish: str = ""
    subprotocol: str = ""
    greeting: bytes = b""
    ready: bytes = b""
    alive: tuple[bytes, bytes] | None = field(default=None)


def back_to_headgate(opening: bytes, *, read: int = 0) -> bytes:
    """Return what a guest says who comes back to the room as a welcome told of it.

    `opening` is what they read when they were let in before, and `read` how many
    messages after it.
    """
    found = _WELCOME.search(opening)
    if found is None:
        raise ConnectionError(f"no welcome in {opening[-300:]!r}")
    guest, head, epoch = (part.decode() for part in found.groups())
    place = {"seq": int(head) + read, "epoch": epoch}
    hello = {"cmd": "hello", "guest": guest, "resume": {ROOM: place}}
    return masked(json.dumps(hello).encode())


def _headgate(number: int, said: str) -> bytes:
    command = {
        "cmd": "send",
        "id": number,
        "room": ROOM,
        "client_id": f"c-{number}",
        "text": said,
    }
    return masked(json.dumps(command).encode())


HEADGATE = Dialect(
    message=_headgate,
    watch=f"/ws/chat/{ROOM}/",
    subprotocol="headgate.v1",
    greeting=masked(b'{"cmd":"hello"}'),
    ready=b'"max_message_bytes":',  # which ends the welcome
)
CHANNELS = Dialect(
    message=lambda _number, said: masked(json.dumps({"message": said}).encode()),
    watch=f"/ws/chat/{ROOM}/",
)
# The bare loop and `ws`: a message is its text.
PLAIN = Dialect(
    message=lambda _number, said: masked(said.encode()),
    watch="/",
)
# Engine.IO 4 (its protocol document): "0" opens, "2" asks for a "3", "4" carries a
# packet of Socket.IO, in which "0" connects to the namespace and "2" is an event.
SOCKET_IO = Dialect(
    message=lambda _number, said: masked(
        b"42" + json.dumps(["message", said]).encode()
    ),
    watch="/socket.io/?EIO=4&transport=websocket",
    greeting=masked(b"40"),
    ready=b"40{",
    alive=(b"\x81\x012", masked(b"3")),
)
NCHAN = Dialect(
    message=lambda _number, said: masked(said.encode()),
    watch="/watch",
    publish="/publish",
)
# The client protocol of NATS: lines, and a payload after its own.
NATS = Dialect(
    message=lambda _number, said: f"PUB {ROOM} {len(said)}\r\n{said}\r\n".encode(),
    greeting=f'CONNECT {{"verbose":false}}\r\nSUB {ROOM} 1\r\nPING\r\n'.encode(),
    ready=b"PONG\r\n",
    alive=(b"PING\r\n", b"PONG\r\n"),
)
