"""`headgate replay`: play a chat log through a running server, as real clients.

Read `run` for the order of events, `settle` for what is a fault, `watchers` and
`stream` for how a thousand watchers fit on one core. The program believes nobody: an
acknowledgement counts only if every watcher saw the message at its seq with its text,
and if the log still has it afterwards.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from headgate.server.replay.arguments import add_arguments

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

__all__ = ["add_arguments", "main"]

CLEAN, FAULTY, UNUSABLE, UNREACHABLE, STOPPED = 0, 1, 2, 3, 130


def main(options: argparse.Namespace) -> int:
    """Carry out `headgate replay`; return the exit code."""
    from headgate.server.replay.plan import Plan, Unusable
    from headgate.server.replay.run import Unreachable, play

    try:
        plan = Plan.from_options(options)
    except Unusable as exc:
        return _fail(exc, UNUSABLE)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            report = runner.run(play(plan))
    except Unreachable as exc:
        return _fail(exc, UNREACHABLE)
    except KeyboardInterrupt:
        return _fail("stopped before the end; nothing can be said.", STOPPED)
    if options.json:
        print(json.dumps(report.as_json()))
    else:
        _print_for_people(report.as_table(), report.problems)
    return CLEAN if report.is_clean else FAULTY


def _print_for_people(table: object, problems: list[str]) -> None:
    """Print the table, and what a person should know besides."""
    from rich.console import Console

    console = Console()
    console.print(table)
    for problem in problems:
        console.print(problem, markup=False, highlight=False)


def _fail(why: object, code: int) -> int:
    """Tell why there is no report."""
    print(f"headgate replay: {why}", file=sys.stderr)
    return code


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's loop where it is installed; it reads twice as fast."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
