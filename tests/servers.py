"""Real servers: `headgate serve` in a process of its own, on a free port.

A server's output goes to files beside its data, so that nothing ever waits for
somebody to read it.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.processes import spawn, stop

__all__ = ["LISTENING", "HeadgateServer", "run_headgate"]

START_SECONDS = 60.0
STOP_SECONDS = 30.0  # the server gives connections 10 s to end
LISTENING = "Headgate listening on "

# Limits have tests of their own, which set this otherwise.
_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "HEADGATE_THROTTLING_ENABLED": "no"}
_starts = itertools.count(1)  # two servers may share their data, not their output


class HeadgateServer:
    """A `headgate serve` and where to reach it.

    Attributes:
        url: Such as `http://127.0.0.1:40417`.
        ws_url: The same for WebSockets, such as `ws://127.0.0.1:40417`.
        data: Its data folder.
        database_url: Its database, or None for the SQLite file in `data`.
        returncode: The exit code of a server that has ended.
    """

    def __init__(
        self,
        data: Path,
        arguments: Sequence[str] = (),
        *,
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = {**_ENVIRONMENT, **(environment or {})}
        self.data = data
        self.database_url = database_url
        self.arguments = list(arguments)
        self.url = ""
        self._port = "0"
        self._output_name = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ws_url(self) -> str:
        """Where WebSockets go, without a path."""
        return self.url.replace("http", "ws", 1)

    @property
    def pid(self) -> int:
        """The process's id, also after its end."""
        return self._started.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._started.poll()

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def stdout(self) -> str:
        """What it has printed since its last start."""
        return self._output("out").read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        """What it has said on stderr since its last start."""
        return self._output("err").read_text(encoding="utf-8")

    @property
    def sqlite_file(self) -> Path:
        """The database, where it is SQLite's."""
        return self.data / "chat.sqlite3"

    def start(self) -> None:
        """Start it and wait until it takes connections.

        Raises:
            RuntimeError: With its stderr, when it ends or takes too long.
        """
        self._spawn()
        until = time.monotonic() + START_SECONDS
        while (ended := self._started.poll()) is None and time.monotonic() < until:
            line, end, _ = self.stdout.partition("\n")
            if end and line.startswith(LISTENING):
                self.url = line.removeprefix(LISTENING)
                self._port = self.url.rpartition(":")[2]
                return
            time.sleep(0.01)
        self.kill()
        why = "did not listen in time" if ended is None else f"ended with {ended}"
        raise RuntimeError(f"headgate serve {why}:\n{self.stdout}{self.stderr}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal and return its exit code."""
        return stop(self._started, number, limit_seconds=STOP_SECONDS)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        stop(self._started, signal.SIGKILL, limit_seconds=STOP_SECONDS)

    def restart(self) -> None:
        """Start it again, on the same port and data; stop it first if it runs."""
        if self.running:
            self.stop()
        self.start()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("this server was not started")
        return self._process

    def _output(self, kind: str) -> Path:
        return self.data.parent / f"{self._output_name}.{kind}"

    def _spawn(self) -> None:
        self._output_name = f"{self.data.name}-{next(_starts)}"
        arguments = ["--port", self._port, "--data", str(self.data), *self.arguments]
        if self.database_url is not None:
            arguments += ["--database", self.database_url]
        with (
            self._output("out").open("wb") as out,
            self._output("err").open("wb") as err,
        ):
            self._process = spawn(
                [sys.executable, "-m", "headgate", "serve", *arguments],
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env=os.environ | self._environment,
            )


def run_headgate(
    *arguments: object,
    given: str = "",
    limit_seconds: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself, `given` on its stdin."""
    return subprocess.run(
        [sys.executable, "-m", "headgate", *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit_seconds,
    )
