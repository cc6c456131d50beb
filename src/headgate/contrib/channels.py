"""Throttling inside a Channels consumer, of what comes in and of what goes out.

    class ChatConsumer(ThrottledConsumerMixin, AsyncJsonWebsocketConsumer):
        throttle_rate = "10/s"
        outgoing_rate = "20/s"

For consumers that are sync and async alike. `throttle` is for single handlers.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

from channels.consumer import AsyncConsumer

from headgate.contrib.answers import GivenRefusal
from headgate.contrib.asgi_throttle import AsgiThrottle
from headgate.contrib.asgi_types import Application, Message, Receive, Scope, Send
from headgate.contrib.handlers import throttle
from headgate.contrib.keys import GivenKey, ScopeKey, checked_key
from headgate.contrib.outgoing import (
    MAX_WAITING_BYTES,
    OutgoingPast,
    OutgoingThrottle,
    checked_outgoing_past,
    join_json,
)
from headgate.contrib.rules import GivenRate, name_for, name_from, policies_of
from headgate.contrib.throttle import Throttle
from headgate.limits.decision import Decision
from headgate.limits.policy import Past

__all__ = ["ThrottledConsumerMixin", "throttle"]

logger = logging.getLogger("headgate.contrib")


class ThrottledConsumerMixin:
    """Write it before the consumer's class among the bases.

    What a client sends is counted before the consumer sees it, as by
    `headgate.contrib.asgi.ThrottleMiddleware`; events of the channel layer are not.
    Frames that the consumer sends are counted by themselves.

    Attributes:
        throttle_rate: How many messages may come in; None for as many as they like.
        throttle_key: What they are counted by: `user`, `address`, `connection`, or a
            plain function of the scope.
        throttle_past: `close`, `reject`, `delay` or `drop`.
        throttle_name: The policy's name; that of the class if it is left out.
        throttle_refusal: What `reject` says.
        throttle_max_wait_seconds: The longest time that `delay` holds a message.
        throttle_dry_run: Whether to let everything pass and count it only.
        outgoing_rate: How many frames may go out; None for as many as it likes.
        outgoing_key: What they are counted by.
        outgoing_past: `join`: what comes too fast waits and goes out as one frame.
            `drop`: it is dropped.
        outgoing_max_waiting_bytes: How much may wait with `join`; past it all of it
            goes out at once.
        outgoing_dropped: How many frames `drop` has dropped on this connection.

    Raises:
        TypeError: In making the class: what is set is of a wrong kind, or the mixin
            is not before the consumer's class.
        ValueError: The same: what is set is wrong.
    """

    throttle_rate: ClassVar[GivenRate | None] = None
    throttle_key: ClassVar[GivenKey] = "user"
    throttle_past: ClassVar[Past | None] = None
    throttle_name: ClassVar[str | None] = None
    throttle_refusal: ClassVar[GivenRefusal | None] = None
    throttle_max_wait_seconds: ClassVar[float | None] = None
    throttle_dry_run: ClassVar[bool] = False
    outgoing_rate: ClassVar[GivenRate | None] = None
    outgoing_key: ClassVar[GivenKey] = "connection"
    outgoing_past: ClassVar[OutgoingPast] = "join"
    outgoing_max_waiting_bytes: ClassVar[int] = MAX_WAITING_BYTES

    outgoing_dropped = 0

    _incoming_throttle: ClassVar[AsgiThrottle | None] = None
    _outgoing_throttle: ClassVar[Throttle | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        bases = cls.__mro__
        if AsyncConsumer in bases and bases.index(AsyncConsumer) < bases.index(
            ThrottledConsumerMixin,
        ):
            raise TypeError(
                f"{cls.__name__} would not be throttled: write ThrottledConsumerMixin "
                "before the consumer's class.",
            )
        cls._incoming_throttle = _incoming(cls)
        cls._outgoing_throttle = _outgoing(cls)

    def join_outgoing(self, texts: list[str]) -> str | None:
        """Return one text for several that go out as one frame.

        By default an array, where each text is JSON. With None they go out one by
        one, as the rate allows.
        """
        return join_json(texts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the consumer for one connection."""
        run: Application = super().__call__  # type: ignore[misc] # the consumer's
        if self._incoming_throttle is not None:
            run = _within(self._incoming_throttle, run)
        if self._outgoing_throttle is None or scope["type"] != "websocket":
            await run(scope, receive, send)
        else:
            await self._run_outgoing(self._outgoing_throttle, run, scope, receive, send)

    async def _run_outgoing(
        self,
        throttle: Throttle,
        run: Application,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Run it with all that goes to the client throttled, refusals as well."""
        outgoing = OutgoingThrottle(
            throttle,
            ScopeKey(type(self).outgoing_key, scope),
            self.outgoing_past,
            send,
            join=self.join_outgoing,
            dropped=self._count_dropped,
            max_waiting_bytes=self.outgoing_max_waiting_bytes,
        )
        is_there = True

        async def watched() -> Message:
            nonlocal is_there
            message = await receive()
            is_there = message["type"] != "websocket.disconnect"
            return message

        try:
            await run(scope, watched, outgoing.send)
        except asyncio.CancelledError:
            is_there = False
            raise
        finally:
            await outgoing.aclose(flush=is_there)

    def _count_dropped(self, refused: Decision) -> None:
        self.outgoing_dropped += 1
        if self.outgoing_dropped == 1:
            logger.warning(
                "outgoing_dropped consumer=%s policy=%s key=%s",
                type(self).__name__,
                refused.policy.name,
                refused.key,
            )


def _within(throttle: AsgiThrottle, run: Application) -> Application:
    async def throttled(scope: Scope, receive: Receive, send: Send) -> None:
        await throttle.run(run, scope, receive, send)

    return throttled


def _incoming(cls: type[ThrottledConsumerMixin]) -> AsgiThrottle | None:
    if cls.throttle_rate is None:
        return None
    return AsgiThrottle(
        cls.throttle_rate,
        key=cls.throttle_key,
        name=cls.throttle_name or name_for(cls),
        past=cls.throttle_past,
        refusal=cls.throttle_refusal,
        dry_run=cls.throttle_dry_run,
        max_wait_seconds=cls.throttle_max_wait_seconds,
    )


def _outgoing(cls: type[ThrottledConsumerMixin]) -> Throttle | None:
    if cls.outgoing_rate is None:
        return None
    key = checked_key(cls.outgoing_key)
    checked_outgoing_past(cls.outgoing_past)
    if cls.outgoing_max_waiting_bytes < 0:
        raise ValueError("outgoing_max_waiting_bytes is a size of 0 bytes or more.")
    given = cls.throttle_name
    name = name_from(f"{given}.out") if given else name_for(cls, more=".out")
    return Throttle(policies_of(cls.outgoing_rate, name=name, key=key, past="drop"))
