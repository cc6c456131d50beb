"""The relay through Redis: one connection to publish on, one that is subscribed."""

from __future__ import annotations

import asyncio
import contextlib

from headgate.relay.guarded_listener import GuardedListener
from headgate.relay.redis.incoming import Incoming
from headgate.relay.redis.keeping import keep
from headgate.relay.redis.link import LinkOpener
from headgate.relay.redis.outage import Outage
from headgate.relay.redis.outgoing import Outgoing
from headgate.relay.redis.wire import Names, new_sender
from headgate.relay.relay import Listener

__all__ = ["RedisRelay"]

CLOSE_SECONDS = 0.5  # for what is queued to go out


class RedisRelay:
    """A relay to all that share a server and a namespace; see `Relay`.

    It connects by itself, and again for ever.

    Args:
        url: Such as `redis://127.0.0.1:6379/0`, `rediss://…` or `unix://…`.
        listener: Is told what comes.
        namespace: Tells installations apart that share the server.

    Raises:
        ValueError: The URL cannot be used.
    """

    def __init__(self, url: str, listener: Listener, *, namespace: str) -> None:
        opener = LinkOpener(url)
        names = Names(namespace)
        sender = new_sender()
        self._outage = Outage()
        self._outgoing = Outgoing(names, sender, self._outage)
        self._incoming = Incoming(
            names, sender, self._outage, GuardedListener(listener)
        )
        self._closed = False
        self._publishing, self._subscribing = (
            asyncio.create_task(
                keep(part.name, opener, self._outage, part.use),
                name=f"headgate-relay-{part.name}",
            )
            for part in (self._outgoing, self._incoming)
        )

    @property
    def published(self) -> int:
        """Hints that were given to `publish`."""
        return self._outgoing.published

    @property
    def received(self) -> int:
        """Hints that the listener was told."""
        return self._incoming.received

    @property
    def dropped_out(self) -> int:
        """Hints of this relay that were given up: too many, or lost in an outage."""
        return self._outgoing.dropped

    @property
    def reconnects(self) -> int:
        """Connections that were made anew, of both."""
        return self._outage.reconnects

    @property
    def away(self) -> bool:
        """Whether the server is known not to answer."""
        return self._outage.away

    def watch(self, topic: str) -> None:
        """Begin to receive a topic."""
        if not self._closed:
            self._incoming.watch(topic)

    def unwatch(self, topic: str) -> None:
        """Receive nothing more of a topic."""
        self._incoming.unwatch(topic)

    def reaches(self, topic: str) -> bool:  # noqa: ARG002 - the interface's
        """Return True: who else watches a topic only Redis knows."""
        return True

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell everybody else who watches a topic."""
        if not self._closed:
            self._outgoing.put(topic, payload)

    async def close(self) -> None:
        """Stop; what is queued goes out first, if the server is there."""
        self._closed = True
        self._subscribing.cancel()
        try:
            if not self.away:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await self._outgoing.sent()
        finally:
            self._publishing.cancel()
            await asyncio.gather(
                self._publishing, self._subscribing, return_exceptions=True
            )
