"""`headgate tail`: a room on a terminal, or as lines for other programs.

Read along, and say something by typing, or by a pipe. `tail_session` is what happens,
`tail_lines` and `tail_screen` show it, and what is said comes from `tail_piped` or
`tail_keyboard`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

from headgate.server.exits import EXIT_USAGE

__all__ = ["add_arguments", "main"]

COOKIE = "HEADGATE_COOKIE"  # no option: others can read a command line
MAX_HISTORY = 200  # one page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `headgate tail` takes."""
    parser.add_argument("room", metavar="ROOM", help="the room to watch")
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:8000",
        help="the server, with its prefix if it has one (default: %(default)s)",
    )
    parser.add_argument("--name", help="the name that you want as a guest")
    parser.add_argument(
        "--history",
        type=_history,
        default=20,
        metavar="N",
        help="messages to show from before (default: %(default)s)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object for each push"
    )


def _history(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > MAX_HISTORY:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of messages from 0 to {MAX_HISTORY}."
        )
    return int(text)


def main(options: argparse.Namespace) -> int:
    """Carry out `headgate tail`; return the exit code."""
    from headgate.server.tail_session import Session

    # What the client tells of its connection is told here, in words of our own.
    logging.getLogger("headgate.client").disabled = True
    try:
        session = Session(
            url=options.url,
            room=options.room,
            name=options.name,
            cookie=os.environ.get(COOKIE, ""),
            history=options.history,
            as_json=options.json,
        )
    except ValueError as exc:
        print(f"headgate tail: {exc}", file=sys.stderr)
        return EXIT_USAGE
    try:
        return asyncio.run(session.run())
    except KeyboardInterrupt:  # where signals cannot be handled
        return 0
