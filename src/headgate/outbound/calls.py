"""One call of a service, and what came of it: what the worker and the senders share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from headgate.protocol.pushes import LogEvent

__all__ = ["Call", "Outcome", "Result", "Sender", "Target", "Told"]

# delivered: it is done. failed: it may be tried again. throttled: the service asks
# everybody to wait, and this was no attempt. refused: no retry would help. gone: the
# service wants no calls any more. skipped: it was not for it, and nothing was called.
Result = Literal["delivered", "failed", "throttled", "refused", "gone", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a sender must know of a destination.

    Attributes:
        id: Its row.
        name: Its unique name.
        kind: `webhook` or `handler`.
        url: Of a webhook.
        secrets: The live ones of a webhook, `whsec_…`, the newest first.
        handler: Of a handler: `bot:helper`, or the dotted name of a function.
        timeout_seconds: What one call may take in all.
        public_only: Whether `OUTBOUND_NETWORKS` is not for it: a room's owner made it.
    """

    id: int
    name: str
    kind: str
    url: str = ""
    secrets: tuple[str, ...] = ()
    handler: str = ""
    timeout_seconds: float = 15.0
    public_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One thing that a call tells.

    Attributes:
        id: Of its delivery: stable over retries, and unique everywhere.
        event: `message`, `edited`, `deleted`, `membership`, or a notice such as
            `service.degraded`.
        at: When it was owed, in seconds since 1970.
        room_id: The room of the event, or None.
        push: The event as it is in the log at this moment, or None.
        payload: What else it tells, where it is no event of the log.
    """

    id: str
    event: str
    at: float
    room_id: int | None = None
    push: LogEvent | None = None
    payload: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that is to be made now.

    Attributes:
        id: Stable over retries: of the delivery, or of those that go together.
        attempt: 1 for the first.
        target: Whom to call.
        told: What is told, at least one; more only where the destination `collects`.
        collects: Whether the destination takes several at once.
        digest: Whether these are late, and told as their number alone.
    """

    id: str
    attempt: int
    target: Target
    told: tuple[Told, ...]
    collects: bool = False
    digest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a call.

    Attributes:
        result: See `Result`.
        service_seconds: How long the service took.
        status: Of HTTP, or None.
        error: What went wrong, in words for people; at most 300 characters, without
            secrets.
        retry_after_seconds: What the service asked to wait, or None.
        cost: In the units of the destination's cost budget.
    """

    result: Result
    service_seconds: float = 0.0
    status: int | None = None
    error: str = ""
    retry_after_seconds: float | None = None
    cost: int = 0


class Sender(Protocol):
    """Makes calls of one kind."""

    async def send(self, call: Call) -> Outcome:
        """Make a call, and end by itself within the target's `timeout_seconds`.

        It raises nothing but what cancels it.
        """

    async def close(self) -> None:
        """Let go of connections."""
