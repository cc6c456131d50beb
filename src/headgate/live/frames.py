"""A push, encoded once for all who get it.

What a push looks like depends on the connection's mode alone, so its text and its
WebSocket frame are made at first use and shared by every connection. In the event
stream the line `id:` is the connection's own, and its sink adds it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from headgate.protocol.codec import encode
from headgate.protocol.pushes import (
    EVENTS,
    Edited,
    Gap,
    Message,
    PlainGap,
    PlainMessage,
    PlainReset,
    PlainResetTo,
    PlainSpan,
    Reset,
)

__all__ = ["Frame", "Mode", "Shared", "StreamPush", "frame_of", "text_frame"]

_SHORT = 126  # RFC 6455, section 5.2: below, the length is in the second byte
_MEDIUM = 1 << 16  # below, the length is in two more bytes


class Mode(Enum):
    """The two dialects of the wire, and the first one's pushes as an event stream."""

    V1 = "headgate.v1"
    PLAIN = "headgate.plain"
    STREAM = "stream"


def text_frame(payload: bytes) -> bytes:
    """Return an unmasked text frame, as a server sends it (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < _SHORT:
        return bytes((0x81, size)) + payload
    if size < _MEDIUM:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


class Frame:
    """One payload with the forms in which sinks want it."""

    __slots__ = ("_text", "payload", "size")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.size = len(payload)
        self._text: str | None = None

    @property
    def text(self) -> str:
        """The payload as ASGI wants it."""
        if self._text is None:
            self._text = self.payload.decode()
        return self._text


class StreamPush(Frame):
    """A push as the event stream says it: its lines but for the id and the empty one.

    `room` and `seq` are the place in a log that a client has reached with it, `epoch`
    the log's life where the push begins another; `room` is None where no place is
    changed.
    """

    __slots__ = ("epoch", "room", "seq")

    def __init__(self, push: Any, payload: bytes) -> None:
        super().__init__(b"event: %b\ndata: %b\n" % (_name(push), payload))
        self.room: str | None = None
        self.seq = 0
        self.epoch: str | None = None
        if isinstance(push, EVENTS):
            self.room, self.seq = push.room, push.seq
        elif isinstance(push, Gap):
            self.room, self.seq = push.room, push.to
        elif isinstance(push, Reset):
            self.room, self.seq, self.epoch = push.room, push.head, push.epoch


def _name(push: Any) -> bytes:
    """Return the name of an event of the stream; replies are failures there."""
    return str(push.__struct_config__.tag or "failure").encode()


def frame_of(message: Any, mode: Mode = Mode.V1) -> Frame:
    """Return the frame of a reply or push for one connection.

    In plain mode the message is one of plain mode's own.
    """
    if mode is Mode.STREAM:
        return StreamPush(message, encode(message))
    return Frame(encode(message))


class Shared:
    """A push for many connections; a mode that does not tell it has no frame."""

    __slots__ = ("_plain", "_said_plainly", "_stream", "_v1", "push")

    def __init__(self, push: Any) -> None:
        self.push = push
        # No dict by mode: an Enum is hashed by Python code, and that for each watcher.
        self._v1: Frame | None = None
        self._stream: Frame | None = None
        self._plain: Frame | None = None
        self._said_plainly = False

    @property
    def size(self) -> int:
        """The bytes of the push as `headgate.v1` says it."""
        if self._v1 is None:
            self._v1 = Frame(encode(self.push))
        return self._v1.size

    def frame(self, mode: Mode) -> Frame | None:
        """Return the frame for a mode, made at first use."""
        if mode is Mode.PLAIN:
            if not self._said_plainly:
                said = _plainly(self.push)
                self._plain = None if said is None else frame_of(said)
                self._said_plainly = True
            return self._plain
        if self._v1 is None:
            self._v1 = Frame(encode(self.push))
        if mode is Mode.V1:
            return self._v1
        if self._stream is None:  # encoded once for both
            self._stream = StreamPush(self.push, self._v1.payload)
        return self._stream


def _plainly(push: Any) -> Any:
    """Return a push as plain mode says it, or None where it says nothing."""
    if isinstance(push, Edited) and push.state is not None and push.text:
        # A message that has grown is told once, when it is whole.
        return PlainMessage(
            message=push.text, author=push.author.name, seq=push.target, at=push.at
        )
    if isinstance(push, Message) and not push.deleted and not push.open:
        return PlainMessage(
            message=push.text,
            author=push.author.name,
            seq=push.seq,
            at=push.at,
            client_id=push.client_id,
        )
    if isinstance(push, Gap):
        return PlainGap(gap=PlainSpan(from_=push.from_, to=push.to))
    if isinstance(push, Reset):
        return PlainReset(reset=PlainResetTo(oldest=push.oldest, head=push.head))
    return None
