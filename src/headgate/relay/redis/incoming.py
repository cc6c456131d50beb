"""What comes in: one connection that is subscribed to all that is watched.

Nothing waits here: what was read is told before more is read. A process that is too
slow has the server's buffer for it fill up, and the server ends the connection; then,
as after each reconnect, everything is doubtful.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from headgate.relay.guarded_listener import GuardedListener
from headgate.relay.redis.failures import ServerSilent
from headgate.relay.redis.link import Link
from headgate.relay.redis.outage import Outage
from headgate.relay.redis.resp import PING, command
from headgate.relay.redis.wire import HINT, SENDER_BYTES, Names

__all__ = ["Incoming"]

# What is told in one turn of the loop.
TURN_HINTS = 100
TURN_SECONDS = 0.001

TOPICS_AT_ONCE = 500  # of one SUBSCRIBE: less than a millisecond of the server's time

# A server that stands still is noticed in four ticks at the most. Ticks, not seconds: a
# loop that stood still itself has let one of them go by, and blames nobody.
TICK_SECONDS = 0.4
SILENT_TICKS = 3


class Incoming:
    """Subscribes on a connection of its own.

    Args:
        names: The channels.
        sender: The id of this relay, whose hints are left out.
        outage: Is told when the connection works.
        listener: Is told what comes.

    Attributes:
        received: Hints that the listener was told.
    """

    name = "subscribe"

    def __init__(
        self, names: Names, sender: bytes, outage: Outage, listener: GuardedListener
    ) -> None:
        self.received = 0
        self._names = names
        self._sender = sender
        self._outage = outage
        self._listener = listener
        self._topics: dict[bytes, str] = {}  # what is watched, by channel
        # Of this connection: for which channels SUBSCRIBE was sent last.
        self._subscribed: set[bytes] = set()
        # Channels that may have to be subscribed to, or no longer.
        self._changed: set[bytes] = set()
        self._change = asyncio.Event()
        self._linked = False

    def watch(self, topic: str) -> None:
        """Begin to receive a topic."""
        channel = self._names.channel(topic)
        if channel not in self._topics:
            self._topics[channel] = topic
            self._note(channel)

    def unwatch(self, topic: str) -> None:
        """Receive nothing more of a topic."""
        channel = self._names.channel(topic)
        if self._topics.pop(channel, None) is not None:
            self._note(channel)

    def _note(self, channel: bytes) -> None:
        if self._linked:  # else all are new to the next connection
            self._changed.add(channel)
            self._change.set()

    async def use(self, link: Link) -> None:
        """Receive on this connection, for as long as it holds."""
        self._subscribed = set()
        self._changed = set(self._topics)
        self._change.set()
        self._linked = True
        link.write(command(b"SUBSCRIBE", self._names.trial))
        keeper = asyncio.create_task(self._keep(link))
        try:
            while True:
                await self._tell(await link.answers())
        finally:
            self._linked = False
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    # --- to the server ---

    async def _keep(self, link: Link) -> None:
        """Subscribe to what is watched, and see that the server is there."""
        loop = asyncio.get_running_loop()
        due = loop.time() + TICK_SECONDS
        silent = 0
        try:
            while True:
                if await self._change_before(due):
                    await self._settle(link)
                    continue
                due = loop.time() + TICK_SECONDS
                silent = 0 if link.heard else silent + 1
                if silent == SILENT_TICKS:
                    raise ServerSilent  # noqa: TRY301 - for whoever reads
                if silent:
                    link.write(PING)
                link.heard = False
        except Exception as exc:  # noqa: BLE001 - told to whoever reads
            link.fail(exc)

    async def _change_before(self, due: float) -> bool:
        """Wait for a change until then, and return whether there was one."""
        if asyncio.get_running_loop().time() >= due:
            return False  # even if there is a change all the time
        try:
            async with asyncio.timeout_at(due):
                await self._change.wait()
        except TimeoutError:
            return False
        self._change.clear()
        return True

    async def _settle(self, link: Link) -> None:
        """Subscribe and unsubscribe what has changed, joined."""
        changed, self._changed = self._changed, set()
        watched = changed & self._topics.keys()
        # Not watched and watched again before that was sent: what came meanwhile was
        # not told.
        self._doubt([each for each in watched if each in self._subscribed])
        wanted = list(watched - self._subscribed)
        unwanted = list((changed - watched) & self._subscribed)
        for word, channels in ((b"SUBSCRIBE", wanted), (b"UNSUBSCRIBE", unwanted)):
            for at in range(0, len(channels), TOPICS_AT_ONCE):
                some = channels[at : at + TOPICS_AT_ONCE]
                if word == b"SUBSCRIBE":
                    self._subscribed.update(some)
                else:
                    self._subscribed.difference_update(some)
                link.write(command(word, *some))
                await link.drained()
                await asyncio.sleep(0)

    # --- from the server ---

    async def _tell(self, answers: list[Any]) -> None:
        """Tell what came, with a rest after each turn's worth."""
        at = 0
        while at < len(answers):
            began = at
            at = self._turn(answers, at)
            if at < len(answers) or at - began == TURN_HINTS:
                await asyncio.sleep(0)

    def _turn(self, answers: list[Any], at: int) -> int:
        """Tell from there on for one turn; return where the next begins."""
        end = min(len(answers), at + TURN_HINTS)
        until = time.monotonic() + TURN_SECONDS
        doubtful: list[bytes] = []
        while at < end:
            answer = answers[at]
            at += 1
            kind = answer[0]
            if kind == b"message":
                self._message(answer[1], answer[2], doubtful)
            elif kind == b"subscribe":
                if answer[1] == self._names.trial:
                    self._outage.made(self.name)
                doubtful.append(answer[1])
            if time.monotonic() >= until:
                break
        self._doubt(doubtful)
        return at

    def _message(self, channel: bytes, data: bytes, doubtful: list[bytes]) -> None:
        topic = self._topics.get(channel)
        if topic is None or data.startswith(self._sender):
            return  # not watched any more, or one's own
        if data[SENDER_BYTES : SENDER_BYTES + 1] == HINT:
            self.received += 1
            self._listener.received(topic, data[SENDER_BYTES + 1 :])
        else:
            doubtful.append(channel)

    def _doubt(self, channels: list[bytes]) -> None:
        topics = {self._topics[each] for each in channels if each in self._topics}
        if topics:
            self._listener.doubtful(topics)
