"""Servers to measure: started, waited for, their CPU time read, stopped by pid."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import IO

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


def family(pid: int) -> list[int]:
    """Return a process and all that it started that still run, itself first."""
    found = [pid]
    for parent in found:  # grows while it is walked
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text(encoding="ascii").split())
    return found


def raise_file_limit(files: int) -> None:
    """Let this process and those that it starts have so many files open.

    Raises:
        SystemExit: When it may not have so many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= files:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, max(hard, files)))
    except ValueError:
        raise SystemExit(
            f"{files} files must be open at once, and {hard} may be (ulimit -n)"
        ) from None


@contextlib.contextmanager
def running(
    *arguments: str, port: int, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a Python module as a server until the block ends; yields its pid.

    `env` is its environment, which is ours if it is left out.
    """
    with running_program(sys.executable, "-m", *arguments, port=port, env=env) as pid:
        yield pid


@contextlib.contextmanager
def running_program(
    *command: str,
    port: int,
    env: Mapping[str, str] | None = None,
    stderr: IO[bytes] | None = None,
) -> Iterator[int]:
    """Run a program as a server until the block ends; yields its pid.

    `env` is its environment and `stderr` where its errors go; ours if left out.

    Where there are two cores, the server has one to itself and the load the other:
    so neither is measured by what the other does. What runs inside the block, and is
    run by this too, shares the first server's core.
    """
    load = os.sched_getaffinity(0)
    cores = sorted(_all_cores())
    if len(cores) > 1:
        # Set before it starts: a runtime may count its cores once.
        os.sched_setaffinity(0, cores[:1])
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=stderr, env=env
        )
    finally:
        os.sched_setaffinity(0, cores[1:] or cores)
    try:
        _wait_for(port, process)
        yield process.pid
    finally:
        os.sched_setaffinity(0, load)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@cache
def _all_cores() -> set[int]:
    """Return the cores that this process may use, as it was before the first server."""
    return os.sched_getaffinity(0)


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


def command_of(benchmark: str) -> str:
    """Return the command line that repeats the run of a benchmark."""
    return shlex.join(["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]])


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
