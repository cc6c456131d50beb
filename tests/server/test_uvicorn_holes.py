"""What uvicorn's WebSocket protocol lets a client do to the server's memory, and ours.

The first half documents uvicorn as it is: where one of these tests fails with a newer
uvicorn, a hole is closed there. The second half makes the same attacks on the protocol
of `headgate serve`, with the same application, and on the chat itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.processes import spawn, stop
from tests.server.hostile import (
    CONTINUATION,
    FIN,
    PING,
    TEXT,
    Hostile,
    client_frame,
)

MIB = 1024 * 1024
# What a connection may cost, with what Python takes for itself: the promise is 256 KiB.
BOUND_BYTES = 256 * 1024
SOME = 16  # connections


class Attacked:
    """A process that is attacked.

    Attributes:
        port: Where.
    """

    def __init__(self, pid: int, port: int) -> None:
        self.port = port
        self._pid = pid
        self._before = self._bytes("VmRSS")

    def _bytes(self, name: str) -> int:
        status = Path(f"/proc/{self._pid}/status").read_text(encoding="ascii")
        (line,) = (each for each in status.splitlines() if each.startswith(name))
        return int(line.split()[1]) * 1024

    @property
    def grown(self) -> int:
        """How many bytes more it has used than in the beginning, at the most."""
        return max(self._bytes("VmHWM") - self._before, 0)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Have it not run: what is sent meanwhile comes in one read."""
        os.kill(self._pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._pid, signal.SIGCONT)

    def settled(self) -> None:
        """Wait until it has done with all that was sent: it uses no time any more."""
        used = -1
        while used != (used := self._ticks()):  # hundredths of a second
            time.sleep(0.3)

    def _ticks(self) -> int:
        stat = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii")
        fields = stat.rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


@contextlib.contextmanager
def attacked(kind: str) -> Iterator[Attacked]:
    """Run the bare server with a protocol of a kind."""
    command = [sys.executable, "-m", "tests.server.bare_server", kind]
    process = spawn(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        for _ in range(3):  # what is loaded or made once
            with Hostile(port, "/echo") as one:
                one.send(client_frame(FIN | TEXT, b"hello"))
                assert one.read_exactly(7) == b"\x81\x05hello"
        yield Attacked(process.pid, port)
    finally:
        stop(process, signal.SIGKILL, limit_seconds=10)
        if process.stdout is not None:
            process.stdout.close()


# --- the attacks: each returns how many bytes the client had to send ---

Attack = Callable[[Attacked, contextlib.ExitStack], int]


def pings_unread(server: Attacked, stack: contextlib.ExitStack) -> int:
    """Ping on and on, and read none of the answers."""
    client = Hostile(server.port, "/echo", receive_bytes=4096)
    stack.enter_context(client)
    ping = client_frame(FIN | PING, b"x" * 125)
    sent = client.push(ping * 500, most=30 * MIB)
    server.settled()
    return sent


def tiny_frames_in_one_read(server: Attacked, stack: contextlib.ExitStack) -> int:
    """Send thousands of short texts at once to an application that is busy."""
    clients = [stack.enter_context(Hostile(server.port, "/busy")) for _ in range(SOME)]
    chunk = client_frame(FIN | TEXT, b"ab") * (256 * 1024 // 8)
    server.settled()
    with server.stopped():
        sent = sum(
            client.push(chunk, most=len(chunk), stuck_seconds=0.05)
            for client in clients
        )
    server.settled()
    return sent


def fragments_without_end(server: Attacked, stack: contextlib.ExitStack) -> int:
    """Begin a message and add nothing to it, for ever; no limit of size is met."""
    client = stack.enter_context(Hostile(server.port, "/echo"))
    client.send(client_frame(TEXT))
    sent = client.push(client_frame(CONTINUATION) * 20_000, most=MIB // 2)
    server.settled()
    return sent


def fragments_of_a_byte(server: Attacked, stack: contextlib.ExitStack) -> int:
    """Send messages of the most bytes, in fragments of one byte, without an end."""
    sent = 0
    chunk = client_frame(TEXT) + client_frame(CONTINUATION, b"a") * 65_000
    for _ in range(SOME):
        client = stack.enter_context(Hostile(server.port, "/echo"))
        sent += client.push(chunk, most=len(chunk), stuck_seconds=3)
    server.settled()
    return sent


def grown(kind: str, attack: Attack) -> tuple[int, int]:
    """Return by how many bytes a server grew, and for how many sent."""
    with attacked(kind) as server, contextlib.ExitStack() as stack:
        sent = attack(server, stack)
        return server.grown, sent


# --- uvicorn as it is ---


def test_uvicorn_answers_pings_into_its_memory() -> None:
    """One client; it could go on for ever."""
    found, sent = grown("uvicorn", pings_unread)

    assert sent >= 30 * MIB  # it was read to the end
    assert found > 0.75 * sent


def test_uvicorn_queues_all_frames_of_a_read() -> None:
    found, sent = grown("uvicorn", tiny_frames_in_one_read)

    # A frame of 8 bytes becomes a dictionary with a text.
    assert found / SOME > 8 * BOUND_BYTES
    assert found > 5 * sent


def test_uvicorn_has_no_limit_for_fragments() -> None:
    """Neither its own limit of size nor its flow control sees them."""
    found, sent = grown("uvicorn", fragments_without_end)

    assert sent >= MIB // 2
    assert found > 2 * sent


def test_uvicorn_keeps_each_fragment_by_itself() -> None:
    """A message of 64 KiB costs many times as much while it comes."""
    found, _ = grown("uvicorn", fragments_of_a_byte)

    assert found / SOME > 2 * BOUND_BYTES


# --- the same on the protocol of `headgate serve` ---


@pytest.mark.parametrize(
    ("attack", "connections"),
    [
        (pings_unread, 1),
        (tiny_frames_in_one_read, SOME),
        (fragments_without_end, 1),
        (fragments_of_a_byte, SOME),
    ],
)
def test_the_same_attacks_stay_within_bounds(attack: Attack, connections: int) -> None:
    found, sent = grown("headgate", attack)

    assert sent > 64 * 1024  # there was an attack
    # And a bit that belongs to no connection.
    assert found < connections * BOUND_BYTES + MIB


def test_so_does_the_chat_itself(serve: Serve) -> None:
    """Pings that nobody reads, commands in one read, and fragments, all at once."""
    running = serve("--guests", "--demo")
    port = int(running.url.rpartition(":")[2])
    command = b'{"message":"%d"}'
    with contextlib.ExitStack() as stack:
        # What is made once: threads, the database's connections and their caches.
        polite = [
            stack.enter_context(Hostile(port, f"/ws/chat/warm-{n}/"))
            for n in range(SOME)
        ]
        for n in range(10):
            for client in polite:
                client.send(client_frame(FIN | TEXT, command % n))
        Attacked(running.pid, port).settled()
    server = Attacked(running.pid, port)
    ping = client_frame(FIN | PING, b"x" * 125)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(
                Hostile(port, f"/ws/chat/room-{n}/", receive_bytes=4096)
            )
            for n in range(SOME)
        ]
        texts = b"".join(client_frame(FIN | TEXT, command % n) for n in range(100))
        fragments = client_frame(TEXT) + client_frame(CONTINUATION, b"a") * 10_000
        chunk = texts + ping * 500 + fragments
        with server.stopped():
            for client in clients:
                client.push(chunk, most=len(chunk), stuck_seconds=0.05)
        for client in clients:
            client.push(ping, most=MIB, stuck_seconds=0.05)
        server.settled()
        found = server.grown

    # And a bit for what was said last in each room.
    assert found < SOME * BOUND_BYTES + MIB
