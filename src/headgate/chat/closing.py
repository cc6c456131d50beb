"""How the serving of a WebSocket ends, by either side."""

from __future__ import annotations

from headgate.protocol.codes import CLOSE_TEXTS, Close

__all__ = ["Closing", "Gone"]


class Gone(Exception):  # noqa: N818 - not an error
    """The client has closed."""


class Closing(Exception):  # noqa: N818 - not an error
    """The server closes, with this code; the reason was said."""

    def __init__(self, code: int, reason: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.reason = CLOSE_TEXTS[Close(code)] if reason is None else reason
