"""Calls as the worker makes them, for tests of senders."""

from __future__ import annotations

from headgate.outbound.calls import Call, Target, Told
from headgate.protocol.pushes import Author, Message

__all__ = ["SECRET", "call_of", "message", "told"]

SECRET = "whsec_" + "c2VjcmV0" * 4


def message(seq: int = 7, room: str = "general", text: str = "hi") -> Message:
    """Return a message as the log tells it."""
    at = "2026-11-30T03:00:00.000Z"
    author = Author("u:5", "user", "Ada")
    return Message(room=room, seq=seq, author=author, text=text, at=at)


def told(id: str = "d-1", event: str = "message", at: float = 0.0) -> Told:  # noqa: A002 - its name
    """Return a message that is told."""
    return Told(id=id, event=event, at=at, room_id=1, push=message())


def call_of(
    url: str,
    *,
    id: str = "call-1",  # noqa: A002 - its name
    timeout_seconds: float = 10.0,
    secrets: tuple[str, ...] = (SECRET,),
    public_only: bool = False,
) -> Call:
    """Return a call of a webhook that tells one message."""
    target = Target(
        id=1,
        name="hook",
        kind="webhook",
        url=url,
        secrets=secrets,
        timeout_seconds=timeout_seconds,
        public_only=public_only,
    )
    return Call(id=id, attempt=1, target=target, told=(told(),))
