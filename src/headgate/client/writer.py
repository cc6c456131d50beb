"""Takes what is to be written, and says when it can go.

What no server takes is refused here, before it is queued. Whoever waits for a message
sees to its age: with them it ends.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from headgate.client.errors import ClientClosed, Discarded, Refused
from headgate.client.incoming import encode_command
from headgate.client.outbox import Entry, Outgoing, Sent
from headgate.protocol.codec import BadCommand, decode_command, error
from headgate.protocol.codes import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headgate.client.http_limits import Told
    from headgate.client.link import Link
    from headgate.client.outbox import Outbox
    from headgate.client.pacing import Allowance, Limit, Pacing
    from headgate.protocol.commands import Delete, Edit, Send

__all__ = ["Writer"]


class Writer:
    """The way of one client's messages into its outbox.

    Args:
        link: What sends them.
        outbox: Where they wait.
        pacing: What says when they may go.
        clock: Gives seconds that never run backwards.
    """

    def __init__(
        self,
        link: Link,
        outbox: Outbox,
        pacing: Pacing,
        clock: Callable[[], float],
    ) -> None:
        self._link = link
        self._outbox = outbox
        self._pacing = pacing
        self._clock = clock

    async def write(self, command: Send | Edit | Delete, client_id: str | None) -> Sent:
        """Queue a command and return once it is saved; raises as `Client.send`."""
        if not self._link.is_begun:
            raise ClientClosed
        self._link.want()
        text = encode_command(command)
        # A command that the server cannot take is refused here: it counts against
        # the connection there, and one that is far too large would end it.
        try:
            decode_command(text)
        except BadCommand as bad:
            raise Refused(bad.error) from None
        size_bytes = len(text.encode())
        if size_bytes > self._link.max_message_bytes:
            raise Refused(error(Code.TOO_LARGE))
        entry = Entry(command, client_id, size_bytes, since=self._clock())
        answer = entry.answer = asyncio.get_running_loop().create_future()
        self._link.enqueue(entry)
        return await self._outcome(entry, answer)

    async def retry(self, room: str, client_id: str) -> Sent:
        """Send a message again that has failed; raises as `Client.retry`."""
        self._link.need()
        entry = self._outbox.find(room, client_id)
        if entry is None or entry.error is None:
            raise LookupError(f"no message {client_id!r} has failed in this room")
        answer = entry.answer = asyncio.get_running_loop().create_future()
        self._outbox.retry(entry, self._clock())
        self._link.stir()
        return await self._outcome(entry, answer)

    def discard(self, room: str, client_id: str) -> Outgoing | None:
        """Give a message up; return what it was, or None where there is none."""
        entry = self._outbox.find(room, client_id)
        if entry is None:
            return None
        online = self._link.connection is not None
        seen = self._outbox.seen(entry, self._clock(), online=online)
        may_be_saved = entry.in_flight or entry.unanswered
        self._link.cancel(entry)
        entry.settle(Discarded(client_id, unanswered=may_be_saved))
        return seen

    async def _outcome(self, entry: Entry, answer: asyncio.Future[Sent]) -> Sent:
        """Wait for what becomes of an entry, which expires meanwhile or not."""
        try:
            while not answer.done():
                expires_at = self._outbox.expires_at(entry)
                left = max(expires_at - self._clock(), 0.0)
                if not left:
                    self._link.expire(entry)  # in flight, it fails once it is back
                is_over = entry.overdue or expires_at == math.inf
                await asyncio.wait([answer], timeout=None if is_over else left)
            return answer.result()
        except asyncio.CancelledError:
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # nobody wants to know any more
            if entry.answer is answer:  # else somebody tries it again already
                self._link.cancel(entry)
            raise

    def outgoing(self) -> list[Outgoing]:
        """Return what is not acknowledged, oldest first."""
        online = self._link.connection is not None
        return self._outbox.outgoing(self._clock(), online=online)

    def limits(self) -> list[Limit]:
        """Return what is known of limits."""
        return self._pacing.limits(self._clock())

    def allowance(self, room: str) -> Allowance:
        """Return what a room's limits let through after what waits already."""
        here, in_all = self._outbox.ahead(room)
        now = self._clock()
        return self._pacing.allowance(room, now, ahead=here, ahead_in_all=in_all)

    def told(self, limits: Iterable[Told], room: str) -> None:
        """Take in what an answer over HTTP says of limits, of those in its room."""
        self._pacing.told(limits, room or None, self._clock())
        self._link.stir()
