"""Ids that are unique everywhere and grow with time, so that an index grows at its end.

UUID version 7, RFC 9562, section 5.7; Python has it from 3.14 on.
"""

from __future__ import annotations

import secrets
import time
from uuid import UUID

__all__ = ["uuid7"]


def uuid7() -> UUID:
    """Return a new id: 48 bits of milliseconds since 1970, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    high = milliseconds << 16 | 0x7000 | random >> 62
    low = 1 << 63 | random & (1 << 62) - 1
    return UUID(int=high << 64 | low)
