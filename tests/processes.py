"""Processes that the tests start: ended by id, and never left behind.

Whoever kills pytest ends it at once, with no clearing up. So one small process watches:
when pytest is gone, it ends what is still there.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

__all__ = ["spawn", "stop"]

# Reads "+pid" and "-pid"; the end of the input is the end of pytest.
_WATCH = """
import os, signal, sys, time

signal.signal(signal.SIGINT, signal.SIG_IGN)
left = set()
for line in sys.stdin:
    (left.add if line[0] == "+" else left.discard)(int(line[1:]))
for number in signal.SIGINT, signal.SIGKILL:
    for pid in left:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
    time.sleep(3 if left else 0)
"""


def spawn(command: Sequence[Any], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process that does not outlive this one; end it with `stop`."""
    process = subprocess.Popen(list(map(str, command)), **options)
    _tell("+", process.pid)
    return process


def stop(
    process: subprocess.Popen[bytes],
    number: signal.Signals,
    *,
    limit_seconds: float,
) -> int:
    """Send a signal, wait, and return the exit code.

    Raises:
        TimeoutError: When it had to be killed after the limit.
    """
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(limit_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise TimeoutError(
            f"process {process.pid} did not end in {limit_seconds} s on {number.name}",
        ) from None
    finally:
        _tell("-", process.pid)


def _tell(sign: str, pid: int) -> None:
    watching = _watcher().stdin
    if watching is not None:
        watching.write(f"{sign}{pid}\n".encode())
        watching.flush()


@lru_cache(maxsize=1)
def _watcher() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WATCH],
        stdin=subprocess.PIPE,
        start_new_session=True,  # not in reach of the terminal's Ctrl-C
    )
