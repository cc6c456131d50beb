"""A Redis of one's own: in a temporary folder, on a free port, gone afterwards.

It keeps nothing on disk: killed and started again, it is empty.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from tests.processes import spawn, stop

__all__ = ["RedisServer", "redis_program", "redis_server"]

START_SECONDS = 60.0
STOP_SECONDS = 20.0


def redis_program() -> str | None:
    """Return where `redis-server` is, or None."""
    return shutil.which("redis-server")


class RedisServer:
    """A server that can be paused, killed and started again on the same port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it; a port that somebody takes in between is chosen anew."""
        for _ in range(5):
            if self._start(self.port or _free_port()):
                return
        raise RuntimeError(f"redis-server did not start:\n{self._log.read_text()}")

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Kill it and start an empty one on the same port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop the process: connections stay, and nothing is answered."""
        self._signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self._paused = False

    def ready(self) -> None:
        """Have it running and empty, whatever was done to it."""
        if self._paused:
            self.resume()
        if self._process is None:
            self.start()
        self.flush()

    def flush(self) -> None:
        """Forget all keys, and what was counted of commands."""
        with self.client() as client:
            client.flushall()
            client.config_resetstat()

    @contextlib.contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """Give a client, to look and to break things with."""
        client = redis.Redis(port=self.port, decode_responses=True)
        try:
            yield client
        finally:
            client.close()

    def calls(self, command: str = "evalsha") -> int:
        """Return how often a command was called since `flush`."""
        with self.client() as client:
            found: Any = client.info("commandstats")
        return int(found.get(f"cmdstat_{command}", {}).get("calls", 0))

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _start(self, port: int) -> bool:
        with self._log.open("wb") as output:
            process = spawn(
                [
                    "redis-server",
                    *("--port", port),
                    *("--bind", "127.0.0.1"),
                    *("--dir", self._folder),
                    *("--save", ""),
                    *("--appendonly", "no"),
                    *self._options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
            )
        if _answers(process, port):
            self.port = port
            self._process = process
            return True
        stop(process, signal.SIGKILL, limit_seconds=STOP_SECONDS)
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._paused:
            self.resume()
        if self._process is not None:
            stop(self._process, number, limit_seconds=STOP_SECONDS)
            self._process = None


@contextlib.contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """Run a server until the block ends; `options` are more of its command line.

    Raises:
        FileNotFoundError: When Redis is not installed.
    """
    if redis_program() is None:
        raise FileNotFoundError("Redis is not installed: there is no redis-server")
    folder = Path(tempfile.mkdtemp(prefix="headgate-redis-"))
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _free_port() -> int:
    # A node of a cluster listens on a second port, 10,000 higher.
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        if port < 55_000:
            return port


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until this process takes commands; return whether it does."""
    until = time.monotonic() + START_SECONDS
    client = redis.Redis(port=port)
    try:
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(redis.RedisError):
                info: Any = client.info("server")
                return bool(info["process_id"] == process.pid)
            time.sleep(0.02)
        return False
    finally:
        client.close()
