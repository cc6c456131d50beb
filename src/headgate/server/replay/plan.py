"""What one replay is to do: the command line, checked against what it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from headgate.protocol.codec import is_room_slug
from headgate.protocol.fields import ROOM_RULE
from headgate.server.replay.dialect import BadDialect, Dialect
from headgate.server.replay.traffic import BadTraffic, Traffic, read_traffic
from headgate.server.replay.wire import BadAddress, Target

if TYPE_CHECKING:
    import argparse

__all__ = ["Plan", "Unusable"]


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
