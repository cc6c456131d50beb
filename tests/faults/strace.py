"""A server under strace: what it wrote, synced and said, in the order it did so."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

__all__ = ["Did", "Step", "steps", "unsynced", "wrapper"]

PAGE = "4096"  # bytes of a write that are kept: all of a page of SQLite
_CALLS = "fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg"
_SYNCS = frozenset({"fdatasync", "fsync"})
_SAYS = frozenset({"write", "writev", "sendto", "sendmsg"})


def wrapper(folder: Path, trace: Path, *python: str) -> Path:
    """Make a stand-in for the Python interpreter that runs it under strace.

    With `-D` the server is our own child, as it is without strace, and strace is
    beside it. `python` are arguments that come before all others.
    """
    command = [
        *("strace", "-D", "-f", "-ttt", "-y", "-s", PAGE, "-o", str(trace)),
        *("-e", f"trace={_CALLS}", "-e", "signal=none"),
        *(sys.executable, *python),
    ]
    path = folder / "traced-python"
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)
    return path


class Did(Enum):
    """What matters of a server's life."""

    WROTE = "wrote to the log file"
    SYNCED = "synced it"
    ACKNOWLEDGED = "told a client"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing the server did; `seqs` are those that a client was told as saved."""

    did: Did
    said: str
    seqs: tuple[int, ...] = ()


_LINE = re.compile(r"^(\d+) +[\d.]+ (.*)$")
_CALL = re.compile(r"^(\w+)\((.*)$", re.DOTALL)
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_SAVED = re.compile(r'\{\\"reply\\":\d+,\\"seq\\":(\d+),')


def steps(trace: str) -> Iterator[Step]:
    """Read a trace: writes and syncs count once they returned, words as they begin."""
    unfinished: dict[str, str] = {}
    for line in trace.splitlines():
        found = _LINE.match(line)
        if found is None:
            raise ValueError(f"not a line of strace: {line!r}")
        thread, said = found.groups()
        resumed = _RESUMED.match(said)
        begins = resumed is None
        if resumed is not None:
            said = unfinished.pop(thread) + resumed.group(2)
        call = _CALL.match(said)
        if call is None:
            continue  # a signal, or the end of a thread
        name, arguments = call.groups()
        ends = not said.endswith("<unfinished ...>")
        if not ends:
            unfinished[thread] = said.removesuffix("<unfinished ...>")
        of_the_log = arguments.partition(">")[0].endswith("-wal")
        if name in _SAYS and begins:
            seqs = tuple(int(seq) for seq in _SAVED.findall(arguments))
            if seqs:
                yield Step(Did.ACKNOWLEDGED, said, seqs)
        elif ends and of_the_log and name == "pwrite64":
            yield Step(Did.WROTE, said)
        elif ends and of_the_log and name in _SYNCS and said.endswith("= 0"):
            yield Step(Did.SYNCED, said)


def unsynced(trace: str, texts: dict[int, str]) -> tuple[list[int], list[int]]:
    """Return the seqs that clients were told, and those of them told too early.

    `texts` are the messages by their seqs, one sent after the other was answered. In
    time is what was told after its text was written to the log file, and after a
    sync that returned since the last write there.
    """
    told: list[int] = []
    early: list[int] = []
    written = ""
    synced = False
    for step in steps(trace):
        if step.did is Did.WROTE:
            written += step.said
            synced = False
        elif step.did is Did.SYNCED:
            synced = True
        else:
            told += step.seqs
            early += [s for s in step.seqs if not synced or texts[s] not in written]
    return told, early
