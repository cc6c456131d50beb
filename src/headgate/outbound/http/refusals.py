"""Why the operations about a room's services may be refused, for their description."""

from __future__ import annotations

from headgate.protocol.codes import Code

__all__ = ["FORBIDDEN", "UNSAFE"]

FORBIDDEN = (Code.FORBIDDEN, Code.BANNED, Code.NOT_FOUND)
UNSAFE = (Code.CSRF_FAILED, Code.TOO_LARGE, Code.BINARY)
