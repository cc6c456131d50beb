"""A terminal that a program of ours runs on, and what tests read from it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.client import Client
from tests.processes import spawn, stop

__all__ = ["Terminal", "on_terminal", "talk", "until"]

LIMIT_SECONDS = 40.0
_SEQUENCE = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")


def until(descriptor: int, text: bytes, read: bytes = b"") -> bytes:
    """Read on until a text is there; return all that was read."""
    end = time.monotonic() + LIMIT_SECONDS
    while text not in plain(read):
        left = end - time.monotonic()
        assert left > 0, f"{text!r} is not in {read!r}"
        if select.select([descriptor], [], [], left)[0]:
            chunk = os.read(descriptor, 65_536)
            assert chunk, f"{text!r} is not in {read!r}, and that is the end"
            read += chunk
    return read


def plain(read: bytes) -> bytes:
    """Return what was read without the escape sequences of our own."""
    return _SEQUENCE.sub(b"", read)


class Terminal:
    """A program on a terminal of 24 lines.

    Attributes:
        raw: All that it has written.
    """

    def __init__(self, arguments: tuple[object, ...], columns: int) -> None:
        self._ours, theirs = pty.openpty()
        size = struct.pack("HHHH", 24, columns, 0, 0)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, size)
        environment = os.environ | {"TERM": "xterm-256color", "TZ": "UTC"}
        for name in ("COLUMNS", "LINES"):  # which would win over the terminal's size
            environment.pop(name, None)
        self.process = spawn(
            [sys.executable, "-m", "headgate", *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
        )
        os.close(theirs)
        self.raw = b""

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def until(self, text: str) -> str:
        """Return what was written since the last time, up to this text at least."""
        before = len(self.raw)
        self.raw += until(self._ours, text.encode())
        return plain(self.raw[before:]).decode()

    def shows_what_is_typed(self) -> bool:
        """Return whether the terminal is as programs usually find it."""
        local = termios.tcgetattr(self._ours)[3]
        return bool(local & termios.ECHO) and bool(local & termios.ICANON)

    def cook(self) -> None:
        """Set the terminal as a shell does."""
        modes = termios.tcgetattr(self._ours)
        modes[3] |= termios.ECHO | termios.ICANON
        termios.tcsetattr(self._ours, termios.TCSANOW, modes)

    def wait(self) -> int:
        """Return the exit code; what is written until then is read."""
        end = time.monotonic() + LIMIT_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < end
            self._read_on()
        self._read_on()
        return int(self.process.returncode)

    def close(self) -> None:
        stop(self.process, signal.SIGKILL, limit_seconds=LIMIT_SECONDS)
        os.close(self._ours)

    def _read_on(self) -> None:
        if select.select([self._ours], [], [], 0.05)[0]:
            try:
                self.raw += os.read(self._ours, 65_536)
            except OSError:  # Linux says so of a terminal that nobody has open
                return


@contextmanager
def on_terminal(*arguments: object, columns: int = 80) -> Iterator[Terminal]:
    terminal = Terminal(arguments, columns)
    try:
        yield terminal
    finally:
        terminal.close()


def talk(url: str, room: str) -> None:
    """Write, edit and delete a message, with what should not reach a terminal."""

    async def main() -> None:
        async with Client(url, name="Mallory") as client:
            sent = await client.send(room, "frist\n\x1b]0;owned\x07")
            await client.edit(room, sent.seq, "first")
            await client.delete(room, sent.seq)

    asyncio.run(main())
