"""What can go wrong, as exceptions that carry data.

The tree:

* `ClientError`
    * `NotConnected`: what was asked needs a connection now, and there is none
    * `ClientClosed`: `close()` was called
    * `DescriptorRefused`: what was to connect us is not for this client
    * `ClosedByServer`: the server said not to come back
        * `HandshakeRefused`: it said so before the socket was open
    * `IdentityChanged`: after a disconnect the server took us for somebody else
    * `SendError`: what was asked was not done
        * `Refused`: the server said no
            * `RoomRefused`: it said no to watching a room
        * `OutboxFull`: too much waits to be sent already
        * `NotSent`: the client ended before the answer came
        * `Expired`: it waited for longer than the client is to wait
        * `Discarded`: `discard()` took it back

A lost connection is no exception: the client comes back. `Lost` stays inside.
"""

from __future__ import annotations

from headgate.protocol.codes import ERRORS, Close, Code
from headgate.protocol.pushes import Error

__all__ = [
    "ClientClosed",
    "ClientError",
    "ClosedByServer",
    "DescriptorRefused",
    "Discarded",
    "Expired",
    "HandshakeRefused",
    "IdentityChanged",
    "Lost",
    "NotConnected",
    "NotSent",
    "OutboxFull",
    "Refused",
    "RoomRefused",
    "SendError",
    "retry_after_seconds",
    "wait_seconds",
]

DEFAULT_WAIT_SECONDS = 1.0  # where a refusal that passes does not say how long
MIN_WAIT_SECONDS = 0.1  # a hint of nothing must not become a flood
MAX_WAIT_SECONDS = 7 * 24 * 3600.0  # a wild hint must not overflow a timer


class ClientError(Exception):
    """Everything that this client raises by itself."""


class NotConnected(ClientError):  # noqa: N818 - reads better where it is caught
    """There is no connection at the moment; `reason` says why."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"not connected: {self.reason or 'no connection yet'}"


class ClientClosed(ClientError):  # noqa: N818 - as above
    """The client was closed, or not opened yet."""

    def __str__(self) -> str:
        return "the client is not open"


class DescriptorRefused(ClientError):  # noqa: N818 - as above
    """A connection descriptor is not followed; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the connection descriptor is not followed: {self.reason}"


class ClosedByServer(ClientError):  # noqa: N818 - as above
    """The server ended the conversation for good.

    `code` is the WebSocket close code, None where there was none; `error` is what
    the server said just before, if anything.
    """

    def __init__(
        self,
        code: int | None,
        reason: str,
        error: Error | None = None,
    ) -> None:
        super().__init__(code, reason, error)
        self.code = code
        self.reason = reason
        self.error = error

    @property
    def is_of_identity(self) -> bool:
        """Whether the server wants to know who we are, and may let us in then."""
        if self.code is not None:
            return self.code == Close.UNAUTHENTICATED
        return self.error is not None and self.error.code == Code.UNAUTHENTICATED

    def __str__(self) -> str:
        said = self.reason or (self.error.text if self.error else "no reason given")
        return f"closed by the server: {self.code or 'no code'} ({said})"


class HandshakeRefused(ClosedByServer):
    """The server, or a proxy before it, refused to open a socket.

    `status` is the HTTP status, None where the answer broke another rule.
    """

    def __init__(self, status: int | None, reason: str) -> None:
        super().__init__(None, reason)
        self.status = status

    def __str__(self) -> str:
        return f"the handshake was refused: {self.reason}"


class IdentityChanged(ClientError):  # noqa: N818 - as above
    """The server takes this client for another person than before.

    A cookie or guest token has run out, perhaps. Going on would post in the wrong
    name, and sending unanswered messages again could double them.
    """

    def __init__(self, before: str, now: str) -> None:
        super().__init__(before, now)
        self.before = before
        self.now = now

    def __str__(self) -> str:
        return f"connected as {self.now!r}, but was {self.before!r} before"


class SendError(ClientError):
    """What was asked was not done."""


class Refused(SendError):  # noqa: N818 - as above
    """The server refused a command, for good."""

    def __init__(self, error: Error) -> None:
        super().__init__(error)
        self.error = error

    def __str__(self) -> str:
        return f"{self.error.code}: {self.error.text}"

    @property
    def code(self) -> str:
        """The code of the table in `headgate.protocol.codes`."""
        return self.error.code

    @property
    def text(self) -> str:
        """What happened, for people."""
        return self.error.text

    @property
    def field(self) -> str | None:
        """The field to mend, where one is to blame."""
        return self.error.field

    @property
    def retry_after_ms(self) -> int | None:
        """When the same may succeed, where waiting helps."""
        return self.error.retry_after_ms


class RoomRefused(Refused):
    """The server does not let us watch `room`."""

    def __init__(self, room: str, error: Error) -> None:
        super().__init__(error)
        self.args = (room, error)
        self.room = room

    def __str__(self) -> str:
        return f"room {self.room!r}: {super().__str__()}"


class OutboxFull(SendError):  # noqa: N818 - as above
    """As much waits to be sent as may wait; nothing was queued."""

    def __init__(self, items: int, size_bytes: int) -> None:
        super().__init__(items, size_bytes)
        self.items = items
        self.size_bytes = size_bytes

    def __str__(self) -> str:
        return f"{self.items} messages of {self.size_bytes} bytes wait already"


class NotSent(SendError):  # noqa: N818 - as above
    """The client ended before this was answered; `__cause__` says why it ended.

    `unanswered` tells whether it went out, so that it may be saved all the same:
    sending it again with the same client_id is safe.
    """

    def __init__(self, client_id: str | None, *, unanswered: bool) -> None:
        super().__init__(client_id)
        self.client_id = client_id
        self.unanswered = unanswered

    def __str__(self) -> str:
        fate = "not answered" if self.unanswered else "not sent"
        return f"message {self.client_id!r} was {fate} before the client ended"


class _GivenUp(SendError):  # noqa: N818 - as above
    """It is not tried any more, although the client goes on.

    `unanswered` tells whether it went out, so that it may be saved all the same.
    """

    def __init__(self, client_id: str | None, *, unanswered: bool) -> None:
        super().__init__(client_id)
        self.client_id = client_id
        self.unanswered = unanswered

    def _told(self, why: str) -> str:
        fate = "; it may be saved all the same" if self.unanswered else ""
        return f"message {self.client_id!r} {why}{fate}"


class Expired(_GivenUp):
    """It waited for longer than `max_outbox_age_seconds`."""

    def __str__(self) -> str:
        return self._told("waited for too long")


class Discarded(_GivenUp):
    """`Client.discard` took it back."""

    def __str__(self) -> str:
        return self._told("was taken back")


class Lost(Exception):  # noqa: N818 - an event of the inside, never an answer
    """The connection is gone and another is to be tried.

    `retry_in_seconds` is the least time to wait, as the server asked; with `is_drawn`
    it is the time itself, which the server drew for us alone. `close_code` is how it
    closed, and `error` what it said last, where it did.
    """

    def __init__(
        self,
        reason: str,
        retry_in_seconds: float = 0.0,
        *,
        is_drawn: bool = False,
        close_code: int | None = None,
        error: Error | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_in_seconds = retry_in_seconds
        self.is_drawn = is_drawn
        self.close_code = close_code
        self.error = error

    @property
    def is_of_ticket(self) -> bool:
        """Whether the ticket was refused: without it, things may be different."""
        said = None if self.error is None else self.error.code
        return self.close_code == Close.TICKET_REFUSED or said == Code.TICKET_REFUSED


def wait_seconds(error: Error) -> float | None:
    """Return how long to wait before the same again, or None if it is final.

    A mute is final for this message although it passes: an hour later its author
    may no longer want it said. An unknown code passes if it says when.
    """
    try:
        code = Code(error.code)
    except ValueError:
        passes = error.retry_after_ms is not None
    else:
        passes = ERRORS[code].retry and code is not Code.MUTED
    if not passes:
        return None
    if error.retry_after_ms is None:
        return DEFAULT_WAIT_SECONDS
    return min(max(error.retry_after_ms / 1000, MIN_WAIT_SECONDS), MAX_WAIT_SECONDS)


def retry_after_seconds(header: str) -> float:
    """Return how long an HTTP answer asks to wait, 0 where it does not say it so."""
    seconds = float(header) if header.isascii() and header.isdecimal() else 0.0
    return min(seconds, MAX_WAIT_SECONDS)
