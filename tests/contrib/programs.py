"""Servers of other people's programs, by the commands that the documentation has."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.processes import spawn, stop

__all__ = ["PORT", "Program", "commands_of", "run"]

ROOT = Path(__file__).parents[2]
PORT = "8000"  # in the documentation
START_SECONDS = 60.0
STOP_SECONDS = 30.0


def commands_of(page: str) -> list[str]:
    """Return the lines of a page's blocks of shell, in their order.

    Without those that install, as all is installed where tests run.
    """
    text = (ROOT / "docs/how-to" / f"{page}.md").read_text(encoding="utf-8")
    blocks = text.split("```sh\n")[1:]
    lines = [line for block in blocks for line in block.partition("```")[0].split("\n")]
    left_out = ("#", "pip install ")
    return [line for line in lines if line and not line.startswith(left_out)]


def run(command: str, folder: Path) -> str:
    """Run a command that ends by itself, and return what it prints."""
    done = subprocess.run(
        _words(command, PORT),
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Program:
    """A server in a process of its own, on a free port.

    Attributes:
        url: Such as `http://127.0.0.1:40417`.
        ws_url: The same for WebSockets.
    """

    def __init__(self, command: str, folder: Path, output: Path, **more: str) -> None:
        self._command = command
        self._folder = folder
        self._output = output
        self._more = more
        # Bound and not listening: nobody else gets this port before the server does.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self._port: int = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.ws_url = f"ws://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._output.open("wb") as output:
            self._process = spawn(
                _words(self._command, str(self._port)),
                cwd=self._folder,
                env=_environment() | self._more,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > until:
                self._end()
                raise RuntimeError(f"{self._command} did not start:\n{self.output}")
            time.sleep(0.02)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is not None:
            sys.stderr.write(self.output)
        self._end()

    @property
    def output(self) -> str:
        """What it has said."""
        return self._output.read_text(encoding="utf-8")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _end(self) -> None:
        try:
            if self._process is not None:
                stop(self._process, signal.SIGTERM, limit_seconds=STOP_SECONDS)
        finally:
            self._reserved.close()


def _words(command: str, port: str) -> Sequence[str]:
    return [word.replace(PORT, port) for word in shlex.split(command)]


def _environment() -> dict[str, str]:
    programs = str(Path(sys.executable).parent)
    left_out = {"DJANGO_SETTINGS_MODULE", "HEADGATE_THROTTLING_ENABLED"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | {
        "PATH": f"{programs}{os.pathsep}{kept.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
    }
