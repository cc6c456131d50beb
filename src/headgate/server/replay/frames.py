"""WebSocket frames as bytes (RFC 6455, section 5): no sockets, no objects per frame.

A load generator reads far more frames than it writes, so reading is a loop over the
buffer that hands out payloads, and nothing else is made for a frame.
"""

from __future__ import annotations

import os

__all__ = [
    "CLOSE",
    "PING",
    "PONG",
    "TEXT",
    "BadFrame",
    "FrameReader",
    "client_frame",
    "server_header",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MAX_PAYLOAD_BYTES = 16 * 1024 * 1024  # no chat sends more; a wrong length ends here

_FIN = 0x80
_RESERVED = 0x70
_OPCODE = 0x0F
_MASKED = 0x80
_WHOLE_TEXT = _FIN | TEXT
_SHORT = 126  # below: the length itself
_TWO_BYTES = 126
_EIGHT_BYTES = 127


class BadFrame(Exception):  # noqa: N818 - the other side's fault, not an error here
    """The other side broke the framing."""


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return one masked frame, as clients must send them."""
    size = len(payload)
    header = bytearray(server_header(size, opcode))
    header[1] |= _MASKED
    mask = os.urandom(4)
    # One big number is the fastest XOR that Python itself has.
    key = (mask * (size // 4 + 1))[:size]
    hidden = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    return bytes(header) + mask + hidden.to_bytes(size, "little")


def server_header(size: int, opcode: int = TEXT) -> bytes:
    """Return the header of one unmasked frame."""
    first = _FIN | opcode
    if size < _SHORT:
        return bytes((first, size))
    if size < 1 << 16:
        return bytes((first, _TWO_BYTES)) + size.to_bytes(2, "big")
    return bytes((first, _EIGHT_BYTES)) + size.to_bytes(8, "big")


class FrameReader:
    """What came from a server, cut into messages however the network cut it.

    Attributes:
        rest: The bytes of a frame that is not complete yet.
        controls: Control frames as (opcode, payload), for the caller to take out.
    """

    __slots__ = ("controls", "parts", "rest")

    def __init__(self) -> None:
        self.rest = b""
        self.controls: list[tuple[int, bytes]] = []
        self.parts: list[bytes] | None = None  # of a message in several frames

    def feed(self, data: bytes) -> list[bytes]:  # noqa: C901 - the hot loop
        """Return the payloads of the messages that these bytes complete."""
        if self.rest:
            data = self.rest + data
        messages: list[bytes] = []
        at, size = 0, len(data)
        while size - at >= 2:  # noqa: PLR2004 - the shortest header
            first, length = data[at], data[at + 1]
            if length < _SHORT:
                start = at + 2
            elif length == _TWO_BYTES:
                start = at + 4
                if size < start:
                    break
                length = data[at + 2] << 8 | data[at + 3]
            elif length == _EIGHT_BYTES:
                start = at + 10
                if size < start:
                    break
                length = int.from_bytes(data[at + 2 : start], "big")
                if length > MAX_PAYLOAD_BYTES:
                    raise BadFrame(f"A frame of {length} bytes.")
            else:
                raise BadFrame("A server must not mask its frames.")
            end = start + length
            if end > size:
                break
            if first == _WHOLE_TEXT and self.parts is None:
                messages.append(data[start:end])
            else:
                self._take(first, data[start:end], messages)
            at = end
        self.rest = data[at:] if at else data
        return messages

    def _take(self, first: int, payload: bytes, messages: list[bytes]) -> None:
        """Take a frame that is not simply a whole text."""
        opcode, final = first & _OPCODE, first & _FIN
        if first & _RESERVED:
            raise BadFrame("A reserved bit is set, but no extension was agreed on.")
        if opcode >= CLOSE:
            if not final or len(payload) >= _SHORT or opcode > PONG:
                raise BadFrame("A control frame is broken.")
            self.controls.append((opcode, payload))
        elif opcode == CONTINUATION:
            if self.parts is None:
                raise BadFrame("A continuation of nothing.")
            self.parts.append(payload)
            if final:
                messages.append(b"".join(self.parts))
                self.parts = None
        elif opcode > BINARY or self.parts is not None:
            raise BadFrame("A frame that is not expected here.")
        elif final:
            messages.append(payload)
        else:
            self.parts = [payload]
