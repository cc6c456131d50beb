"""The options of `headgate replay`.

Apart from the plan that is made of them: other commands need nothing that it needs.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `headgate replay` takes."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="a chat log's shape: CSV with the columns t_ms,author,bytes",
    )
    parser.add_argument(
        "--url",
        default="http://127.0.0.1:8000",
        help="the server; with --dialect the WebSocket itself, $room is replaced"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--room",
        default="replay",
        help="the room to play into (default: %(default)s)",
    )
    parser.add_argument(
        "--speed",
        type=_positive,
        default=1.0,
        metavar="N",
        help="times as fast as it happened (default: 1)",
    )
    parser.add_argument(
        "--watchers",
        type=_Count(0),
        default=10,
        metavar="N",
        help="connections that watch the room (default: %(default)s)",
    )
    parser.add_argument(
        "--senders",
        type=_Count(1),
        default=64,
        metavar="N",
        help="connections that the authors share (default: %(default)s)",
    )
    parser.add_argument(
        "--dialect",
        metavar="JSON",
        help="drive another chat: what its clients send, with $text for the text,"
        """ such as '{"message": "$text"}'""",
    )
    parser.add_argument(
        "--timeout-seconds",
        type=_positive,
        default=60.0,
        metavar="S",
        help="give up when nothing has happened for so long (default: 60)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object, not a table"
    )


def _positive(text: str) -> float:
    """Return a finite number above zero; argparse tells the user otherwise."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


_positive.__name__ = "positive number"  # as argparse says it


class _Count:
    """A whole number that is not below `least`."""

    def __init__(self, least: int) -> None:
        self._least = least

    def __call__(self, text: str) -> int:
        number = int(text)
        if number < self._least:
            raise ValueError(text)
        return number

    def __repr__(self) -> str:
        return f"whole number from {self._least} on"
