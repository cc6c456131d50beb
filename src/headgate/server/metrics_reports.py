"""What each of several processes measures, in a folder that they share.

A connection is taken by whichever worker is free, so each tells the others by a file
what it measures, every other second; whoever is asked answers for all.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from headgate.server.metrics_families import Family

__all__ = ["FRESH_SECONDS", "WRITE_SECONDS", "Report", "ReportFolder"]

WRITE_SECONDS = 2.0
FRESH_SECONDS = 10.0  # who has written nothing for so long hangs, and is left out


class Report(Struct):
    """What one process measured.

    Attributes:
        number: The worker's; two have the same while one takes the other's place.
        pid: The process.
        started_at: When it began to measure, a Unix time in seconds.
        at: When this was measured.
        families: All that it measured.
    """

    number: int
    pid: int
    started_at: float
    at: float
    families: list[Family]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Report).decode


class ReportFolder:
    """The reports of all workers, a file for each."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock

    def write(self, report: Report) -> None:
        """Put a report in the place of the process's last one; raises `OSError`."""
        unfinished = self._folder / f".{report.pid}"
        unfinished.write_bytes(_encode(report))
        unfinished.replace(self._folder / f"{report.pid}.json")

    def others(self, pid: int) -> list[Report]:
        """Return the reports of all processes but one that live, and do not hang."""
        found = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                report = _decode(path.read_bytes())
                if report.pid == pid:
                    continue
                if not _lives(report.pid):
                    path.unlink()
                elif report.at > self._clock() - FRESH_SECONDS:
                    found.append(report)
        return found

    def remove(self, pid: int) -> None:
        """Remove a process's report: it ends."""
        with contextlib.suppress(OSError):
            (self._folder / f"{pid}.json").unlink()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
