"""Commands as Redis reads them: RESP2, arrays of bulk strings."""

from __future__ import annotations

__all__ = ["PING", "command", "publish"]


def command(*parts: bytes) -> bytes:
    """Return a command of these parts."""
    return b"*%d\r\n" % len(parts) + b"".join(
        b"$%d\r\n%b\r\n" % (len(part), part) for part in parts
    )


def publish(channel: bytes, head: bytes, payload: bytes) -> bytes:
    """Return PUBLISH of a payload with what stands before it."""
    return b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b%b\r\n" % (
        len(channel),
        channel,
        len(head) + len(payload),
        head,
        payload,
    )


PING = command(b"PING")
