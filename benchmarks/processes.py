"""Servers to measure: started, waited for, their CPU time read, stopped by pid."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


# Options of `headgate serve` with which limits are decided as ever and refuse nothing:
# what they cost is measured, and a benchmark's people may be fast and many.
WIDE_LIMITS = (
    *("--limit", "send=1000000/s"),
    *("--limit", "send.all=1000000/s"),
    *("--limit", "command=1000000/s"),
    *("--limit", "history=1000000/s"),
    *("--limit", "connect=1000000/s"),
    *("--limit", "connect.open=off"),
    *("--limit", "connect.address=1000000/s"),
    *("--limit", "connect.address.open=off"),
)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process and its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
    utime, stime = fields.split()[11:13]
    return (int(utime) + int(stime)) / _TICK


def memory_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def running(
    *arguments: str, port: int, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a Python module as a server until the block ends; yields its pid.

    `env` is its environment, which is ours if it is left out.

    Where there are two cores, the server has one to itself and the load the other:
    so neither is measured by what the other does.
    """
    cores = sorted(os.sched_getaffinity(0))
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.DEVNULL,
        env=env,
    )
    if len(cores) > 1:
        os.sched_setaffinity(process.pid, cores[:1])
        os.sched_setaffinity(0, cores[1:])
    try:
        _wait_for(port, process)
        yield process.pid
    finally:
        os.sched_setaffinity(0, cores)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode}")
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port)),
        ):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port} after 30 s")


def machine() -> str:
    """Return where and with what a figure was measured, for its report."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    names = ("headgate", "uvicorn", "uvloop", "websockets", "Django", "channels")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    today = datetime.now(UTC).date().isoformat()
    return (
        f"{today}, {model}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, {versions}"
    )
