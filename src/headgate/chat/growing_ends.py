"""How a growing message ends: by its author, by whoever stops it, or by its silence.

Whoever ends it, the project's `BEFORE_SEND` sees the whole text before it stays. What
it refuses for good ends as `cut`, with no text at all.
"""

from __future__ import annotations

from datetime import datetime

from headgate.chat import storage
from headgate.chat.before_send import has_before_send, looked_at
from headgate.chat.changes import may_change
from headgate.chat.engine import started_engine
from headgate.chat.entries import Change, Ended, Refused, Verdict
from headgate.chat.growing_rows import Growing, growing_at
from headgate.chat.own_texts import OwnText
from headgate.chat.people import Actor
from headgate.chat.permissions import Deny
from headgate.protocol.codes import Code
from headgate.protocol.fields import State

__all__ = ["cancel", "cut", "cut_left", "end", "may_cancel"]


async def end(own: OwnText, state: State) -> Verdict:
    """End a message that grows here, with all of its text."""
    text, details = own.text, own.details
    growing = Growing(own.room_id, own.seq, own.author, text, details)
    return await _finish(own.room, growing, state)


async def cut(own: OwnText) -> Verdict:
    """End a message of somebody who may not go on, with what is saved."""
    text = own.text[: own.saved]
    growing = Growing(own.room_id, own.seq, own.author, text, own.details)
    return await _finish(own.room, growing, "cut")


async def cut_left(
    room: str, growing: Growing, alive_at: datetime | None = None
) -> Verdict:
    """End a message that its author has left, unless its mark is not `alive_at`."""
    return await _finish(room, growing, "cut", alive_at=alive_at)


def may_cancel(actor: Actor, room: str, seq: int) -> Growing | Deny:
    """Return a growing message where an actor may end it."""
    found = may_change(actor, "cancel", room, seq)
    if isinstance(found, Deny):
        return found
    return growing_at(found, seq) or Deny(Code.NOT_GROWING)


async def cancel(room: str, growing: Growing) -> Verdict:
    """End somebody's message for them, with what is known of its text here.

    The verdict is that it is ended, also where the project took its text away.
    """
    running = started_engine()
    texts = [growing.text]
    if running is not None:
        own = running.own_texts.of(room, growing.seq)
        texts.append("" if own is None else own.text)
        texts.append(running.node.hub.text(growing.room_id, growing.seq) or "")
    whole = Growing(
        growing.room_id,
        growing.seq,
        growing.author,
        max(texts, key=len),
        growing.details,
    )
    return await _finish(room, whole, "cancelled", tell_refusal=False)


async def _finish(
    room: str,
    growing: Growing,
    state: State,
    *,
    alive_at: datetime | None = None,
    tell_refusal: bool = True,
) -> Verdict:
    """End a message with a text, once the project has looked at it.

    A verdict `Refused` with a `retry_after_ms` has changed nothing. Where the project
    refuses the text the message has ended, and with `tell_refusal` that is the verdict.
    """
    room_id, seq, author = growing.room_id, growing.seq, growing.author
    ended = Ended(room_id, author, seq, state, growing.text)
    ended.alive_at, ended.said = alive_at, growing.text
    ended.replaces = has_before_send()  # what is saved by then was not looked at
    refusal = None
    if growing.text:
        kept = {k: v for k, v in (growing.details or {}).items() if k != "open"}
        change = Change(room_id, author, seq, growing.text, kept or None)
        looked = await looked_at(change, room)
        if isinstance(looked, Refused):
            if looked.error.retry_after_ms is not None:
                return looked
            refusal = looked
            ended.state, ended.text, ended.said = "cut", "", None
        elif isinstance(looked, Change):
            ended.text = looked.text
    verdict = await storage.write(ended)
    return refusal if refusal is not None and tell_refusal else verdict
