"""What a message that grows costs: an answer of 2,000 tokens in a room of 500.

One bot appends a token of five characters 200 times a second, as a language model
streams; 500 watchers read all that comes. Three ways are measured, each on a server of
its own, the median of the rounds is told:

- joined: the bot sends `append` for each token, and the server joins them, as it does;
- not joined: the same, with the server's joining switched off (`FLUSH_SECONDS` is 0):
  each token is handed to the room as soon as it comes, and what is left is the room's
  tick, which joins what comes while a pass is under way;
- edits: what a chat without growing messages has: the bot edits one message with the
  whole text so far, for each token. Each edit is saved, and is an event of the log.

Pushes and bytes are those of one watcher; CPU time is the server's, from the first
token to the moment at which all watchers have the end.

    python -m benchmarks.stream [--quick] [--watchers 500] [--tokens 2000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import select
import selectors
import socket
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.processes import (
    WIDE_LIMITS,
    cpu_seconds,
    free_port,
    machine,
    raise_file_limit,
    running_program,
)
from benchmarks.sockets import masked

RATE = 200.0  # tokens in a second
TOKEN = "word "
END_SECONDS = 60.0  # for all watchers to have the end
WAYS = ("joined", "not joined", "edits")
LIMITS = (*WIDE_LIMITS, "--limit", "append=1000000/s")
_SERVE = (
    "import sys; from headgate.server.cli import main; sys.exit(main(sys.argv[1:]))"
)
# The server of the second way: the same, but for its joining.
_UNJOINED = f"""
import django
setup = django.setup
def without_joining(*given, **more):
    setup(*given, **more)
    from headgate.chat import own_texts
    own_texts.FLUSH_SECONDS = 0.0
django.setup = without_joining
{_SERVE}
"""


_HANDSHAKE = (
    b"GET /ws/chat/general/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: headgate.v1\r\n\r\n"
)


@dataclass
class Turn:
    """One answer: what a watcher got, and what it cost the server."""

    pushes: int
    bytes: int
    cpu_seconds: float
    seconds: float


class Watcher:
    """A blocking socket of `headgate.v1`, read by whoever asks."""

    def __init__(self, port: int, name: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.bytes = self.pushes = 0
        self._buffer = bytearray()
        self.socket.sendall(_HANDSHAKE)
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self.socket.recv(65536)
        del self._buffer[: self._buffer.index(b"\r\n\r\n") + 4]
        self.say(cmd="hello", name=name)
        self.until(b'"push":"welcome"')

    def say(self, **command: Any) -> None:
        """Send a command."""
        self.socket.sendall(masked(json.dumps(command).encode()))

    def frames(self) -> list[bytes]:
        """Return the payloads that are whole by now."""
        found, data = [], self._buffer
        while len(data) >= 2:
            size, begin = data[1], 2
            if size >= 126:
                begin = 4 if size == 126 else 10
                size = int.from_bytes(data[2:begin], "big")
            if len(data) < begin + size:
                break
            found.append(bytes(data[begin : begin + size]))
            del data[: begin + size]
        return found

    def read(self) -> list[bytes]:
        """Take in what has come, and return the payloads."""
        data = self.socket.recv(262_144)
        if not data:
            raise ConnectionError("the server has cut somebody off")
        self.bytes += len(data)
        self._buffer += data
        frames = self.frames()
        self.pushes += sum(b'"push":"presence"' not in each for each in frames)
        return frames

    def until(self, mark: bytes) -> bytes:
        """Read until a payload has a mark, and return it."""
        while True:
            for frame in self.read():
                if mark in frame:
                    return frame


def answer(way: str, port: int, pid: int, watchers: int, tokens: int) -> Turn:
    """Have a bot say its tokens, and all watchers read them."""
    bot = Watcher(port, "Bot")
    crowd = [Watcher(port, f"W{number}") for number in range(watchers)]
    selector = selectors.DefaultSelector()
    first = {"text": "."} if way == "edits" else {"text": "", "open": True}
    bot.say(cmd="send", id=1, room="general", **first)
    seq = json.loads(bot.until(b'"reply":1'))["seq"]
    for each in (bot, *crowd):
        each.socket.settimeout(END_SECONDS)
    for each in crowd:
        selector.register(each.socket, selectors.EVENT_READ, each)
    time.sleep(1.5)  # presence is told, and is nobody's cost here
    _drain(selector, 0.2)
    for each in crowd:
        each.bytes = each.pushes = 0
    used, began = cpu_seconds(pid), time.perf_counter()
    _stream(bot, set(crowd), selector, way, seq, tokens)
    turn = Turn(
        pushes=round(statistics.median(each.pushes for each in crowd)),
        bytes=round(statistics.median(each.bytes for each in crowd)),
        cpu_seconds=cpu_seconds(pid) - used,
        seconds=time.perf_counter() - began,
    )
    for each in (bot, *crowd):
        each.socket.close()
    return turn


def _stream(
    bot: Watcher,
    waiting: set[Watcher],
    selector: selectors.BaseSelector,
    way: str,
    seq: int,
    tokens: int,
) -> None:
    """Have the tokens said at their rate, and read until all who wait have the end."""
    last = b'"text":"END"' if way == "edits" else b'"state":"done"'
    # In a process of its own, as who reads for 500 has no time to keep a rate.
    speaker = multiprocessing.get_context("fork").Process(
        target=_speak, args=(bot, way, seq, tokens)
    )
    speaker.start()
    until = time.perf_counter() + tokens / RATE + END_SECONDS
    while waiting:
        if time.perf_counter() > until:
            raise TimeoutError(f"{len(waiting)} watchers have no end")
        for key, _ in selector.select(0.1):
            if any(last in frame for frame in key.data.read()):
                waiting.discard(key.data)
    speaker.join()


def _speak(bot: Watcher, way: str, seq: int, tokens: int) -> None:
    """Say the tokens at their rate, and read what the server answers."""
    began = time.perf_counter()
    for number in range(tokens):
        while (left := began + number / RATE - time.perf_counter()) > 0:
            if select.select([bot.socket], [], [], left)[0]:
                bot.read()
        _say_token(bot, way, seq, number)
    _say_end(bot, way, seq, tokens)


def _say_token(bot: Watcher, way: str, seq: int, number: int) -> None:
    if way == "edits":
        text = TOKEN * (number + 1)
        bot.say(cmd="edit", room="general", target=seq, text=text)
    else:
        at = number * len(TOKEN)
        bot.say(cmd="append", room="general", seq=seq, at=at, text=TOKEN)


def _say_end(bot: Watcher, way: str, seq: int, number: int) -> None:
    if way == "edits":
        bot.say(cmd="edit", room="general", target=seq, text="END")
    else:
        at = number * len(TOKEN)
        command = {"seq": seq, "at": at, "text": "", "state": "done"}
        bot.say(cmd="append", room="general", **command)


def _drain(selector: selectors.BaseSelector, seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for key, _ in selector.select(0.05):
            key.data.read()


def visit(way: str, watchers: int, tokens: int) -> Turn:
    """Start a server, have it carry one answer, and stop it."""
    port = free_port()
    program = _UNJOINED if way == "not joined" else _SERVE
    with tempfile.TemporaryDirectory() as data:
        command = (
            *(sys.executable, "-c", program, "serve", "--guests"),
            *("--port", str(port), "--data", data),
            *LIMITS,
        )
        with running_program(*command, port=port) as pid:
            return answer(way, port, pid, watchers, tokens)


def main() -> int:
    """Measure all ways, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="see that it runs")
    parser.add_argument("--watchers", type=int, default=500)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.quick:
        options.watchers, options.tokens, options.rounds = 20, 200, 1
    raise_file_limit(options.watchers + 100)
    turns: dict[str, list[Turn]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way in WAYS:
            turns[way].append(visit(way, options.watchers, options.tokens))
    table = Table(
        title=f"{options.tokens:,} tokens, {RATE:g} a second, "
        f"{options.watchers} watchers",
    )
    for heading in ("way", "pushes", "KB", "server CPU, s", "of a core"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for way, found in turns.items():
        cpu = statistics.median(each.cpu_seconds for each in found)
        seconds = statistics.median(each.seconds for each in found)
        table.add_row(
            way,
            f"{statistics.median(each.pushes for each in found):,.0f}",
            f"{statistics.median(each.bytes for each in found) / 1000:,.1f}",
            f"{cpu:.2f}",
            f"{cpu / seconds:.0%}",
        )
    Console().print(table)
    Console().print(machine())
    return 0


if __name__ == "__main__":
    sys.exit(main())
