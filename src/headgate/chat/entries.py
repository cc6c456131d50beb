"""What is asked of the log, and what came of it.

An entry is one wish: a message, an edit, a deletion, a change of membership, a read
mark. A verdict is its answer: written with this push, known already with this seq,
or refused with this error.

All are structs, not dataclasses: some are made for each message, and C makes those.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from msgspec import Struct

from headgate.chat.people import Actor
from headgate.protocol.codec import encode
from headgate.protocol.commands import Send
from headgate.protocol.fields import State
from headgate.protocol.pushes import Error, LogEvent

__all__ = [
    "Change",
    "Digests",
    "Draft",
    "Ended",
    "Entry",
    "Grown",
    "Known",
    "MemberChange",
    "ReadMark",
    "Refused",
    "Verdict",
    "Written",
    "drafted",
    "message_details",
]


class Draft(Struct):
    """A message to be written.

    One with a time, `at`, was written elsewhere, then: it keeps its time, and bans and
    mutes of today do not concern it. `said` is the text and the details that the
    author gave, where the project has changed them: a retry is known by those.
    """

    room_id: int
    actor: Actor
    text: str
    client_id: str | None = None
    details: dict[str, Any] | None = None
    at: datetime | None = None
    said: tuple[str, dict[str, Any] | None] | None = None


class Change(Struct):
    """An edit of a message, or with `text` None its deletion.

    Whether the actor may is decided before; authorship never changes.
    """

    room_id: int
    actor: Actor
    target: int
    text: str | None
    details: dict[str, Any] | None = None


class MemberChange(Struct):
    """A change of somebody's standing; `change` is the word of the push."""

    room_id: int
    actor: Actor
    member: Actor
    change: str
    role: str | None = None
    until: datetime | None = None


class Grown(Struct):
    """What a growing message's text is by now; not an event.

    With `text` None nothing has come, and its author is there all the same.
    """

    room_id: int
    actor: Actor
    seq: int
    text: str | None = None


class Ended(Struct):
    """The end of a growing message, whose author `actor` is.

    Its text is the longer of `text` and what is saved, or with `replaces` exactly
    `text`. With `alive_at`, its mark, it ends only if nothing was heard of it since.
    `said` is the text that the author gave: the same end again is known by that.
    """

    room_id: int
    actor: Actor
    seq: int
    state: State
    text: str | None = None
    replaces: bool = False
    alive_at: datetime | None = None
    said: str | None = None


class ReadMark(Struct):
    """A read mark to be moved up; not an event."""

    room_id: int
    actor: Actor
    seq: int


class Written(Struct):
    """The event is in the log."""

    push: LogEvent


class Known(Struct):
    """Nothing was written, as the log has it already, with this seq."""

    seq: int
    at: datetime


class Refused(Struct):
    """Nothing was written, and why."""

    error: Error


Entry = Draft | Change | Grown | Ended | MemberChange | ReadMark
Verdict = Written | Known | Refused


class Digests:
    """Says what a draft says, or how long an end's text was, by each secret in force.

    In 16 bytes. Keyed, because the digest outlives a deleted text and short texts are
    guessed. Made once for a batch.
    """

    def __init__(self) -> None:
        secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
        self._keyed = [_keyed(secret) for secret in secrets]

    def newest(self, draft: Draft) -> bytes:
        """Return the digest to be kept."""
        return _by(self._keyed[0], _said(draft))

    def match(self, draft: Draft, digest: bytes) -> bool:
        """Return whether a kept digest, maybe of an older secret, is a draft's."""
        said = _said(draft)
        return any(_by(keyed, said) == digest for keyed in self._keyed)

    def newest_of_length(self, length: int) -> bytes:
        """Return the digest to be kept of a text of which the end alone comes again."""
        return _by(self._keyed[0], length)

    def match_length(self, length: int, digest: bytes) -> bool:
        """Return whether a kept digest is that of a length."""
        return any(_by(keyed, length) == digest for keyed in self._keyed)


def _said(draft: Draft) -> tuple[str, dict[str, Any] | None]:
    return draft.said or (draft.text, draft.details)


def _by(keyed: hashlib.blake2b, said: object) -> bytes:
    digest = keyed.copy()
    digest.update(encode(said))
    return digest.digest()


@lru_cache(maxsize=8)
def _keyed(secret: str) -> hashlib.blake2b:
    key = hashlib.blake2b(secret.encode(), person=b"headgate-digest").digest()
    return hashlib.blake2b(key=key, digest_size=16)


def drafted(
    command: Send,
    room_id: int,
    actor: Actor,
    *,
    kind: str | None = None,
) -> Draft:
    """Return the message that a command asks for; `kind` where it may not say it."""
    details = message_details(
        kind=kind or command.kind,
        format=command.format,
        data=command.data,
        reply_to=command.reply_to,
        priority=command.priority,
        expires_in_ms=command.expires_in_ms,
        open=command.open,
    )
    return Draft(room_id, actor, command.text, command.client_id, details)


def message_details(
    *,
    kind: str = "text",
    format: str = "plain",  # noqa: A002 - the wire's word
    data: dict[str, Any] | None = None,
    reply_to: int | None = None,
    priority: str = "normal",
    expires_in_ms: int | None = None,
    open: bool = False,  # noqa: A002 - the wire's word
) -> dict[str, Any] | None:
    """Return what a message has beyond its text, or None where it has nothing."""
    details: dict[str, Any] = {}
    if kind != "text":
        details["kind"] = kind
    if format != "plain":
        details["format"] = format
    if data is not None:
        details["data"] = data
    if reply_to is not None:
        details["reply_to"] = reply_to
    if priority != "normal":
        details["priority"] = priority
    if expires_in_ms is not None:
        details["expires_in_ms"] = expires_in_ms
    if open:
        details["open"] = True
    return details or None
