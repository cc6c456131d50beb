"""What an application writes, and what it sees of it: a part of `Client`."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from headgate.client.arguments import valid_room
from headgate.client.growing import Growing
from headgate.client.outbox import Sent
from headgate.protocol.commands import Cancel, Delete, Edit, Send

if TYPE_CHECKING:
    from headgate.client.link import Link
    from headgate.client.outbox import Outgoing
    from headgate.client.pacing import Allowance, Limit
    from headgate.client.writer import Writer
    from headgate.protocol.fields import Format, Priority

__all__ = ["Writing"]


class Writing:
    """Sending, and what is known of what was not acknowledged."""

    _link: Link
    _writer: Writer

    # --- what it knows ------------------------------------------------------------

    @property
    def limits(self) -> list[Limit]:
        """The limits that the server told, and what is left of each by now."""
        return self._writer.limits()

    def allowance(self, room: str) -> Allowance:
        """Return how many messages to a room can go now, and else when the next can.

        `send` waits by itself; this is for whoever wants to know before.
        """
        return self._writer.allowance(valid_room(room))

    @property
    def outbox(self) -> list[Outgoing]:
        """What the server has not acknowledged, oldest first."""
        return self._writer.outgoing()

    # --- writing ------------------------------------------------------------------

    async def send(
        self,
        room: str,
        text: str,
        *,
        client_id: str | None = None,
        kind: str = "text",
        format: Format = "plain",  # noqa: A002 - the name on the wire
        data: dict[str, Any] | None = None,
        reply_to: int | None = None,
        priority: Priority = "normal",
        expires_in_ms: int | None = None,
    ) -> Sent:
        """Send a message and return once it is saved, however long that takes.

        It goes when the limits let it, and waits out lost connections; messages to a
        room go in the order of the calls. A call that is cancelled is not sent again;
        if it was on its way, it may be saved.

        Raises:
            Refused: The server said no.
            OutboxFull: Too much waits already; nothing was queued.
            NotSent: The client ended first.
            Expired: It waited for longer than `max_outbox_age_seconds`.
            Discarded: `discard` took it back.
            ValueError: A message with this client_id waits in this room already.
        """
        command = Send(
            room=room,
            text=text,
            client_id=client_id or _new_client_id(),
            kind=kind,
            format=format,
            data=data,
            reply_to=reply_to,
            priority=priority,
            expires_in_ms=expires_in_ms,
        )
        return await self._writer.write(command, command.client_id)

    async def retry(self, room: str, client_id: str) -> Sent:
        """Send a message again that has failed, in its old place and with its id.

        There are such messages with `keep_failed`. Returns and raises as `send`; the
        message fails again then, and stays.

        Raises:
            LookupError: No such message has failed.
            ClientError: What has ended the client, if it has ended before.
        """
        return await self._writer.retry(room, client_id)

    def discard(self, room: str, client_id: str) -> Outgoing | None:
        """Give up a message that is not acknowledged, and return what it was.

        None where there is none. Whoever waits for it in `send` gets `Discarded`; what
        was on its way may be saved.
        """
        return self._writer.discard(room, client_id)

    def grow(
        self,
        room: str,
        text: str = "",
        *,
        client_id: str | None = None,
        format: Format = "markdown",  # noqa: A002 - the name on the wire
        data: dict[str, Any] | None = None,
        reply_to: int | None = None,
    ) -> Growing:
        """Return a message that grows within `async with`, see `Growing`."""
        command = Send(
            room=room,
            text=text,
            client_id=client_id or _new_client_id(),
            format=format,
            data=data,
            reply_to=reply_to,
            open=True,
        )
        return Growing(self._link, self._writer, command)

    async def cancel(self, room: str, seq: int) -> Sent:
        """End somebody's growing message; raises `Refused` where that cannot be."""
        self._link.need()
        saved = await self._link.ask(Cancel(room=room, seq=seq))
        return Sent(saved.seq, saved.at)

    async def edit(
        self,
        room: str,
        target: int,
        text: str,
        *,
        format: Format = "plain",  # noqa: A002 - the name on the wire
        data: dict[str, Any] | None = None,
    ) -> Sent:
        """Replace the text of the message with the seq `target`; raises as `send`.

        In order with messages to the same room. After a lost reply it is sent again,
        so that it may overwrite what somebody else wrote in between.
        """
        command = Edit(room=room, target=target, text=text, format=format, data=data)
        return await self._writer.write(command, None)

    async def delete(self, room: str, target: int) -> Sent:
        """Delete the message with the seq `target`; raises as `send`."""
        command = Delete(room=room, target=target)
        return await self._writer.write(command, None)


def _new_client_id() -> str:
    """Return an id that is new; it begins with the time, see the index in the log."""
    return f"{time.time_ns() // 1_000_000:x}-{secrets.token_urlsafe(16)}"
