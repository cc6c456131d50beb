"""The progress bar on standard error, where somebody is looking."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from headgate.server.replay.tally import Tally

__all__ = ["Display"]

_EVERY_SECONDS = 0.2


class Display:
    """Shows how far a run is. Silent where standard error is no terminal."""

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TextColumn("{task.fields[arrivals]}"),
            TimeElapsedColumn(),
            console=console,
            auto_refresh=False,  # its thread would disturb what is measured
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._task = self._progress.add_task("connecting", total=total, arrivals="")
        self._shown_at = 0.0
        self._shown_delivered = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, phase: str, tally: Tally) -> None:
        """Show where the run is, a few times a second."""
        now = monotonic()
        passed = now - self._shown_at
        if self._progress.disable or passed < _EVERY_SECONDS:
            return
        rate = max(0, tally.delivered - self._shown_delivered) / passed
        self._shown_at, self._shown_delivered = now, tally.delivered
        self._progress.update(
            self._task,
            description=phase,
            completed=tally.answered,
            arrivals=f"{rate:,.0f} arrivals/s",
        )
        self._progress.refresh()
