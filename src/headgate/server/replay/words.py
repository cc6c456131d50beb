"""The commands of `headgate.v1` that this program says, as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from headgate.server.replay.judge import Refusal

__all__ = ["PAGE", "STAY_AWAY", "hello", "history", "join", "retry_seconds", "send"]

AGENT = "headgate-replay"
PAGE = 200  # the most that one page of history has
STAY_AWAY = range(4500, 5000)  # close codes that say: do not come back
_FOREVER_MS = 15 * 60 * 1000  # longer than this is no retry within a run

_encode = msgspec.json.Encoder().encode


def hello(
    name: str,
    *,
    guest: str | None = None,
    resume: dict[str, dict[str, Any]] | None = None,
) -> bytes:
    """Open the conversation."""
    command: dict[str, Any] = {"cmd": "hello", "name": name, "agent": AGENT}
    if guest is not None:
        command["guest"] = guest
    if resume is not None:
        command["resume"] = resume
    return _encode(command)


def join(room: str) -> bytes:
    """Watch a room from now on."""
    return _encode({"cmd": "join", "id": 1, "room": room})


def send(room: str, command_id: int, client_id: str, text: str) -> bytes:
    """Write a message."""
    return _encode(
        {
            "cmd": "send",
            "id": command_id,
            "room": room,
            "client_id": client_id,
            "text": text,
        }
    )


def history(room: str, command_id: int, after: int) -> bytes:
    """Ask for the messages after a seq."""
    return _encode(
        {
            "cmd": "history",
            "id": command_id,
            "room": room,
            "of": "messages",
            "after": after,
            "limit": PAGE,
        }
    )


def retry_seconds(refusal: Refusal) -> float | None:
    """Return after how long the same command may succeed; None means never."""
    wait_ms = refusal.retry_after_ms
    if wait_ms is None or wait_ms > _FOREVER_MS:
        return None
    return max(wait_ms, 1) / 1000
