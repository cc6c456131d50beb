"""What the log has of an event once it was edited or deleted.

Whoever reads the log later gets messages as they are now; so what is kept of it in
memory has to follow. As `chat.append` writes it.
"""

from __future__ import annotations

from msgspec.structs import replace

from headgate.protocol.fields import State
from headgate.protocol.pushes import Deleted, Edited, LogEvent, Message

__all__ = ["revised"]


def revised(event: LogEvent, change: LogEvent) -> LogEvent | None:
    """Return an event as it is after a change of its message, or None: as before."""
    if isinstance(change, Edited):
        if isinstance(event, Message) and event.seq == change.target:
            if change.state is not None:
                return _ended(event, change, change.state)
            return replace(
                event,
                text=change.text,
                format=change.format,
                data=change.data,
                edited=change.seq,
            )
    elif isinstance(change, Deleted):
        return _blanked(event, change.target)
    return None


def _ended(event: Message, change: Edited, state: State) -> Message:
    """Return a message that has grown to its end, which is no edit of it."""
    return replace(
        event,
        text=change.text,
        format=change.format,
        data=change.data,
        open=False,
        state=None if state == "done" else state,
    )


def _blanked(event: LogEvent, target: int) -> LogEvent | None:
    """Return a message, or an edit of it, without its text; None: another one."""
    if isinstance(event, Message) and event.seq == target:
        return Message(
            room=event.room,
            seq=event.seq,
            client_id=event.client_id,
            author=event.author,
            text="",
            at=event.at,
            edited=event.edited,
            deleted=True,
        )
    if isinstance(event, Edited) and event.target == target:
        return Edited(
            room=event.room,
            seq=event.seq,
            target=event.target,
            author=event.author,
            text="",
            at=event.at,
            deleted=True,
        )
    return None
