"""A worker in a process of its own, which writes each call into a file.

`python -m tests.outbound.worker_process FILE SECONDS` works on the database of the
test that started it until SIGTERM; `started` starts it, and `written` reads the file.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

import django
from django.conf import settings

from headgate.outbound.calls import Call, Outcome
from tests.processes import spawn

__all__ = ["Written", "started", "written"]

_NAME = "HEADGATE_TEST_NAME"  # of the database that pytest has made


@dataclass(frozen=True, slots=True)
class Written:
    """A line of the file: a call has begun, or ended."""

    begins: bool
    at: float
    id: str
    destination: str
    told: tuple[str, ...]
    seqs: tuple[int, ...]


def written(path: Path) -> list[Written]:
    """Return what workers have written."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        sign, at, call_id, name, told, seqs = line.split(" ")
        numbers = tuple(int(seq) for seq in seqs.split(",") if seq)
        told_ids = tuple(told.split(","))
        found.append(Written(sign == "+", float(at), call_id, name, told_ids, numbers))
    return found


def started(path: Path, seconds: float) -> Popen[bytes]:
    """Start a worker on this test's database, and wait until it works."""
    from django.db import connection

    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        _NAME: str(connection.settings_dict["NAME"]),
    }
    command = [sys.executable, "-m", "tests.outbound.worker_process", path, seconds]
    process = spawn(command, env=environment, stdout=PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


class WritingSender:
    """Takes some seconds, and notes in the file how that went."""

    def __init__(self, path: str, seconds: float) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._seconds = seconds

    def _write(self, sign: str, call: Call) -> None:
        ids = ",".join(told.id for told in call.told)
        seqs = ",".join(str(told.push.seq) for told in call.told if told.push)
        line = f"{sign} {time.time()} {call.id} {call.target.name} {ids} {seqs}\n"
        os.write(self._file, line.encode())

    async def send(self, call: Call) -> Outcome:
        self._write("+", call)
        await asyncio.sleep(self._seconds)
        self._write("-", call)
        result = "failed" if call.target.name.startswith("dead") else "delivered"
        return Outcome(result=result, service_seconds=self._seconds)  # type: ignore[arg-type]  # one of two

    async def close(self) -> None:
        """There is nothing to let go of."""


async def main(path: str, seconds: float) -> None:
    from headgate.outbound.worker import Worker

    worker = Worker({"handler": WritingSender(path, seconds)})
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await worker.run()


if __name__ == "__main__":
    settings.DATABASES["default"]["NAME"] = os.environ[_NAME]
    django.setup()
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
