"""Where a WebSocket frame ends, and what is in it (RFC 6455, section 5.2).

Only that: what a frame means, and what to answer to a bad one, is the protocol's.
"""

from __future__ import annotations

from websockets.frames import apply_mask  # type: ignore[attr-defined] # C or Python

__all__ = [
    "BAD",
    "PING",
    "PONG",
    "WHOLE_TEXT",
    "end_of_frame",
    "payload_of",
    "pong_to",
]

BAD = -1  # instead of an end: the head of a frame that must be refused

# First bytes: FIN and the opcode, no extension bits.
WHOLE_TEXT = 0x81
PING, PONG = 0x89, 0x8A
_CONTROL = frozenset({0x88, PING, PONG})  # whole, as they must be (section 5.5)
_KNOWN = _CONTROL | {0x00, 0x01, 0x02, 0x80, WHOLE_TEXT, 0x82}

_MASKED = 0x80
_LENGTH = 0x7F
_TWO_BYTES = 126  # the length is in the next two bytes
_EIGHT_BYTES = 127  # the length is in the next eight bytes
_JUDGED = 2  # bytes that tell what kind of frame it is
_SHORT_HEAD = 6  # two bytes and the mask
_MEDIUM_HEAD = 8  # the same with a length of two bytes
_LONG_HEAD = 14  # the same with a length of eight
_MASK = 4


def end_of_frame(data: bytes, at: int, max_bytes: int) -> int:
    """Return where the frame that begins at `at` ends.

    0 where its end has not come yet, and `BAD` for one that no client may send, or
    with more than `max_bytes` of payload.
    """
    here = len(data) - at
    if here < _JUDGED:
        return 0
    first, second = data[at], data[at + 1]
    length = second & _LENGTH
    if first not in _KNOWN or not second & _MASKED:
        return BAD
    head = _SHORT_HEAD
    if length >= _TWO_BYTES:
        if first in _CONTROL:
            return BAD
        head = _MEDIUM_HEAD if length == _TWO_BYTES else _LONG_HEAD
        if here < head - _MASK:
            return 0
        length = int.from_bytes(data[at + _JUDGED : at + head - _MASK], "big")
    if length > max_bytes and first not in _CONTROL:
        return BAD
    return at + head + length if here >= head + length else 0


def payload_of(data: bytes, at: int, end: int) -> bytes:
    """Return what a whole frame says, its mask taken off."""
    length = data[at + 1] & _LENGTH
    head = _SHORT_HEAD
    if length >= _TWO_BYTES:
        head = _MEDIUM_HEAD if length == _TWO_BYTES else _LONG_HEAD
    body: bytes = apply_mask(data[at + head : end], data[at + head - _MASK : at + head])
    return body


def pong_to(data: bytes, at: int, end: int) -> bytes:
    """Return the frame that answers a whole ping: it says the same (section 5.5.3)."""
    return bytes((PONG, data[at + 1] & _LENGTH)) + payload_of(data, at, end)
