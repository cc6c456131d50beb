"""Reports in a folder: how processes of one machine see each other's refusals.

A file for each process, and one for each reset. The folder is this user's alone: who
could write there could have limits reset, and the files name people and addresses.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from headgate.limits.reports import (
    FRESH_SECONDS,
    KEPT_SECONDS,
    Report,
    ReportsUnusable,
    Reset,
)

__all__ = ["VARIABLE", "ReportFiles", "reports_folder"]

VARIABLE = "HEADGATE_REPORTS"  # the environment variable that names the folder
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_RESET = "reset-"


def reports_folder(project: str = "") -> Path:
    """Return the folder of the environment, or this user's in the temporary folder.

    Args:
        project: Keeps apart projects that run as one user.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    parts = ["headgate", *_own_id(), *([project] if project else [])]
    return Path(tempfile.gettempdir(), "-".join(parts))


class ReportFiles:
    """Reports in a folder, which is made at the first writing; see `Reports`."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock

    def write(self, report: Report) -> None:
        """Put a process's report in the place of its last one."""
        with self._telling():
            # The host too: containers that share a folder have the same process ids.
            host = re.sub(r"[^A-Za-z0-9.]", "_", report.host)[:64]
            self._put(f"{host}-{report.process}.json", report.to_json())
            self._tidy()

    def read(self) -> list[Report]:
        """Return the reports of all processes that are not too old."""
        found = []
        with self._telling():
            for path in self._files():
                if path.name.startswith(_RESET):
                    continue
                with contextlib.suppress(FileNotFoundError, ValueError):
                    report = Report.from_json(path.read_bytes())
                    if report.at > self._clock() - FRESH_SECONDS:
                        found.append(report)
        return found

    def reset(self, key: str) -> None:
        """Have each process forget a key: it is counted in them alone."""
        asked = Reset.of(key, self._clock())
        with self._telling():
            self._put(f"{_RESET}{asked.name}.json", asked.to_json())
            self._tidy()

    def resets(self, since: float) -> list[Reset]:
        """Return the resets of the last hour that were asked for since then."""
        since = max(since, self._clock() - KEPT_SECONDS)
        found = []
        with self._telling():
            for path in self._files():
                if path.name.startswith(_RESET):
                    with contextlib.suppress(FileNotFoundError, ValueError):
                        found.append(Reset.from_json(path.read_bytes()))
        return [each for each in found if each.at >= since]

    def close(self) -> None:
        """Do nothing: nothing is kept open."""

    # --- the folder ---

    def _put(self, name: str, text: str) -> None:
        """Write a file whole or not at all."""
        self._make()
        unfinished = self.folder / f".{name}.{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        made = os.open(unfinished, flags, 0o600)
        with os.fdopen(made, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(self.folder / name)

    def _make(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.folder.mkdir(mode=0o700)
        self._check()

    def _check(self) -> bool:
        """Return whether the folder is there; raise where it cannot be trusted."""
        try:
            found = self.folder.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(found.st_mode):
            raise ReportsUnusable(
                f"{self.folder} is no folder of its own. Remove it, or name another "
                f"folder by the environment variable {VARIABLE}.",
            )
        if _own_id() and str(found.st_uid) not in _own_id():
            raise ReportsUnusable(
                f"{self.folder} belongs to the user with the id {found.st_uid}. Run "
                f"this as that user, or name another folder by {VARIABLE}.",
            )
        if _own_id() and found.st_mode & _OTHERS_MAY_WRITE:
            raise ReportsUnusable(
                f"Others may write to {self.folder}. Call: chmod 700 {self.folder}",
            )
        return True

    def _files(self) -> Iterator[Path]:
        if self._check():
            yield from sorted(self.folder.glob("[!.]*.json"))

    def _tidy(self) -> None:
        """Remove what is too old to be of use, and what was never finished."""
        before = time.time() - KEPT_SECONDS  # as the file system has it
        for path in (*self.folder.glob("*.json"), *self.folder.glob(".*.json.*")):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise ReportsUnusable(
                f"Cannot use {self.folder} for reports of refusals: {exc}. Name a "
                f"folder of this user's by the environment variable {VARIABLE}.",
            ) from exc


def _own_id() -> list[str]:
    """Return this user's id; nothing where users have no numbers, as on Windows."""
    return [str(os.getuid())] if hasattr(os, "getuid") else []
