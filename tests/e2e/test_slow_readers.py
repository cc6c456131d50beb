"""Readers who do not read, over a real server: what they cost, and what they miss."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

from tests.conftest import Serve
from tests.e2e.bare import LIMIT_SECONDS, welcomed

NEVER_READ = 40
TEXT = "x" * 1000
MESSAGES = 1500  # 1.5 MB to each: far more than all buffers on the way take
FEWER = 500  # still more than those take, and written long before anybody is cut off
MAX_BYTES_EACH = 256 * 1024  # what one who never reads may cost the process


class Raw:
    """A WebSocket of headgate.v1 by hand, with a small buffer, that reads at will."""

    def __init__(self, ws_url: str) -> None:
        host, _, port = ws_url.removeprefix("ws://").partition(":")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(LIMIT_SECONDS)
        self.socket.connect((host, int(port)))
        lines = [
            "GET /ws/chat/general/ HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: headgate.v1",
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._rest = b""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self.socket.recv(4096)
        self._rest = self._rest.partition(b"\r\n\r\n")[2]
        self.say(cmd="hello")
        assert self.hear()["push"] == "welcome"

    def say(self, **command: Any) -> None:
        payload = json.dumps(command).encode()
        assert len(payload) < 126
        self.socket.sendall(bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload)

    def _take(self, size: int) -> bytes:
        while len(self._rest) < size:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionResetError
            self._rest += more
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def hear(self) -> dict[str, Any]:
        """Return the next text frame; pings are left unanswered."""
        while True:
            kind, length = self._take(2)
            if length == 126:
                length = int.from_bytes(self._take(2), "big")
            elif length == 127:
                length = int.from_bytes(self._take(8), "big")
            payload = self._take(length)
            if kind == 0x81:
                said: dict[str, Any] = json.loads(payload)
                return said

    def is_cut_off(self) -> bool:
        """Return whether the server has given up on it, without reading anything."""
        return bool(
            self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            or _peek_end(self.socket) == b""
        )

    def close(self) -> None:
        self.socket.close()


def _peek_end(open_socket: socket.socket) -> bytes | None:
    """Return b"" where the other end is gone, else None."""
    info = open_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    established = 1
    return None if info[0] == established else b""


def memory_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def write(ws_url: str, count: int) -> int:
    """Have one who reads write so many messages and get all; return the last seq."""
    async with welcomed(ws_url, "general/") as writer:
        for number in range(count):
            await writer.say(
                cmd="send", id=number, room="general", text=f"{number} {TEXT}"
            )
        seqs: list[int] = []
        while len(seqs) < count:
            said = await writer.hear_until(lambda each: each.get("push") == "message")
            seqs.append(said["seq"])
    assert seqs == list(range(seqs[0], seqs[0] + count))
    return seqs[-1]


async def cut_off(silent: list[Raw]) -> None:
    """Wait until the server has given up on all of them; nobody reads to be told."""
    async with asyncio.timeout(30):
        while not all(each.is_cut_off() for each in silent):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def test_who_never_reads_costs_little_and_is_cut_off(serve: Serve) -> None:
    server = serve("--guests")
    await write(server.ws_url, 200)
    silent = [await asyncio.to_thread(Raw, server.ws_url) for _ in range(NEVER_READ)]
    before = memory_bytes(server.pid)

    await write(server.ws_url, MESSAGES)
    grown = memory_bytes(server.pid) - before

    # A room's tail is all that is kept of the messages themselves.
    assert grown < NEVER_READ * MAX_BYTES_EACH
    await cut_off(silent)
    for each in silent:
        each.close()
    assert server.running


async def test_who_reads_again_gets_everything(serve: Serve) -> None:
    """What came meanwhile is read from the log; the room's tail has moved on."""
    server = serve("--guests")
    late = await asyncio.to_thread(Raw, server.ws_url)

    last = await write(server.ws_url, FEWER)

    def read() -> list[int]:
        seqs: list[int] = []
        while not seqs or seqs[-1] < last:
            said = late.hear()
            if said.get("push") == "message":
                seqs.append(said["seq"])
        return seqs

    seqs = await asyncio.to_thread(read)
    late.close()
    assert seqs == list(range(1, last + 1))


async def test_who_drips_is_cut_off_and_resumes(serve: Serve) -> None:
    """A byte now and then is no reading: the buffers stay full for 10 s."""
    server = serve("--guests")
    dripping = await asyncio.to_thread(Raw, server.ws_url)
    last = await write(server.ws_url, MESSAGES)

    async with asyncio.timeout(40):
        while not dripping.is_cut_off():
            await asyncio.to_thread(dripping.socket.recv, 1)
            await asyncio.sleep(0.5)
    dripping.close()

    async with welcomed(server.ws_url, resume={"general": 7}) as back:
        seqs: list[int] = []
        while not seqs or seqs[-1] < last:
            said = await back.hear_until(lambda each: each.get("push") == "message")
            seqs.append(said["seq"])
    assert seqs == list(range(8, last + 1))
