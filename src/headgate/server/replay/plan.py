"""What one replay is to do: the command line, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from headgate.protocol.codec import is_room_slug
from headgate.protocol.fields import ROOM_RULE
from headgate.server.replay.dialect import BadDialect, Dialect
from headgate.server.replay.traffic import BadTraffic, Traffic, read_traffic
from headgate.server.replay.wire import BadAddress, Target

if TYPE_CHECKING:
    import argparse

__all__ = ["Plan", "Unusable", "add_arguments"]


class Unusable(Exception):  # noqa: N818 - it is an answer to the user
    """What the user asked for cannot be done; the text says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A replay that can begin."""

    traffic: Traffic
    target: Target
    room: str
    speed: float = 1.0
    watchers: int = 10
    senders: int = 64
    dialect: Dialect | None = None
    timeout_seconds: float = 60.0

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> Plan:
        """Return the plan of a command line; raises `Unusable`."""
        room: str = options.room
        try:
            if options.dialect is None:
                dialect = None
                if not is_room_slug(room):
                    raise Unusable(f"{room!r} cannot be a room: {ROOM_RULE}.")
                target = Target.headgate(options.url)
            else:
                dialect = Dialect(options.dialect)
                url = options.url.replace("$room", quote(room, safe=""))
                target = Target.chat(url)
            traffic = read_traffic(options.file)
        except (BadAddress, BadDialect, BadTraffic) as exc:
            raise Unusable(str(exc)) from exc
        return cls(
            traffic=traffic,
            target=target,
            room=room,
            speed=options.speed,
            watchers=options.watchers,
            senders=options.senders,
            dialect=dialect,
            timeout_seconds=options.timeout_seconds,
        )


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
