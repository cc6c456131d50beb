"""Getting metrics ready before anybody serves.

Looks whether the extra is there, and makes the folder by which workers tell each other
what they measure.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, MutableMapping
from importlib.util import find_spec
from pathlib import Path

from headgate.server.exits import EXIT_USAGE, CannotStart

__all__ = ["FOLDER_VARIABLE", "check_extra", "folder_here", "shared_folder"]

FOLDER_VARIABLE = "HEADGATE_METRICS_FOLDER"  # from the supervisor, for its workers


def check_extra() -> None:
    """Raise `CannotStart` where what makes metrics is not installed."""
    if find_spec("prometheus_client") is None:
        raise CannotStart(
            "Metrics need one package more: pip install 'headgate[metrics]'.",
            EXIT_USAGE,
        )


@contextlib.contextmanager
def shared_folder() -> Iterator[None]:
    """Have a folder for as long as workers run; they find it in their environment.

    It is this user's alone.
    """
    with tempfile.TemporaryDirectory(
        prefix="headgate-metrics-", ignore_cleanup_errors=True
    ) as folder:
        os.environ[FOLDER_VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[FOLDER_VARIABLE]


def folder_here(environment: MutableMapping[str, str]) -> Path | None:
    """Return the folder that a worker was given; None where there is none.

    The variable is taken away: whatever this process starts is no worker.
    """
    given = environment.pop(FOLDER_VARIABLE, "")
    return Path(given) if given else None
