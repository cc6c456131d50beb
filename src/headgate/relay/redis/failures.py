"""Why a connection to Redis ended, in words that give no secret away."""

from __future__ import annotations

__all__ = ["ServerClosed", "ServerRefused", "ServerSilent", "reason"]


class ServerClosed(OSError):  # noqa: N818 - a state of the world, not a bug
    """The server closed the connection."""


class ServerSilent(OSError):  # noqa: N818 - the same
    """The server said nothing for too long."""


class ServerRefused(OSError):  # noqa: N818 - the same
    """The server answered with an error.

    Attributes:
        code: Its first word, such as `NOPERM`: servers quote in the rest what they
            were sent, be it a password.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    @classmethod
    def of(cls, answer: str) -> ServerRefused:
        """Make one of an answer's text."""
        return cls(answer.partition(" ")[0][:32])


def reason(exc: BaseException) -> str:
    """Return the kinds of an error and of what it came from.

    Such as `ConnectionError<ConnectionRefusedError`. Never their texts.
    """
    kinds = []
    each: BaseException | None = exc
    while each is not None:
        kind = type(each).__name__
        kinds.append(f"{kind}:{each.code}" if isinstance(each, ServerRefused) else kind)
        each = each.__cause__ or each.__context__
    return "<".join(kinds)
