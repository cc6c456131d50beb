"""A limit for one handler of a Channels consumer.

    class ChatConsumer(AsyncJsonWebsocketConsumer):
        @throttle("5/s")
        async def receive_json(self, content): ...

For `receive`, `receive_json` and handlers of the channel layer's events.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from headgate.contrib.answers import (
    CLOSE_CODE,
    CLOSE_REASON,
    GivenRefusal,
    checked_refusal,
    refusal_text,
)
from headgate.contrib.keys import GivenKey, ScopeKey, checked_key
from headgate.contrib.rules import GivenRate, name_for, policies_of
from headgate.contrib.throttle import Throttle, delay_seconds
from headgate.limits.decision import Decision
from headgate.limits.limiter import Limiter
from headgate.limits.policy import Past, StoreAway

__all__ = ["throttle"]

_Handler = TypeVar("_Handler", bound=Callable[..., Any])


def throttle(
    rate: GivenRate,
    *,
    key: GivenKey = "user",
    past: Past | None = None,
    name: str | None = None,
    refusal: GivenRefusal | None = None,
    dry_run: bool = False,
    max_wait_seconds: float | None = None,
    store_away: StoreAway | None = None,
    limiter: Limiter | None = None,
) -> Callable[[_Handler], _Handler]:
    """Limit how often a handler is called.

    Args:
        rate: As `ThrottleMiddleware` takes it.
        key: The same.
        past: `reject`, which it is if nothing is said, `close`, `drop`, or `delay`
            for async handlers. A handler that waits holds up all that its consumer
            is to do next, and does not notice that the client goes; the middleware
            and the mixin do.
        name: Of the policy; made of the handler's own if it is left out.
        refusal: What `reject` says, as `ThrottleMiddleware` takes it.
        dry_run: Call it anyway, and count.
        max_wait_seconds: The longest wait, where `past` is `delay`.
        store_away: What is decided while the shared store is away.
        limiter: Who decides, if it is not the limiter of the process.

    Raises:
        TypeError: An argument is of a kind that it cannot be.
        ValueError: An argument is wrong, or a sync handler is to wait.
    """
    by = checked_key(key)
    says = checked_refusal(refusal)

    def throttle_named(own: str) -> Throttle:
        policies = policies_of(
            rate,
            name=own,
            key=key,
            past=past,
            store_away=store_away,
            dry_run=dry_run,
            max_wait_seconds=max_wait_seconds,
        )
        return Throttle(policies, limiter)

    throttle_named(name or "handler")  # now, so that mistakes are raised here

    def decorate(handler: _Handler) -> _Handler:
        named = throttle_named(name or name_for(handler))
        limit = _Limit(named, by, named.policies[0].past, says)
        if inspect.iscoroutinefunction(handler):
            return cast("_Handler", limit.around_async(handler))
        if named.policies[0].past == "delay":
            raise ValueError(
                f"{handler.__qualname__} is sync: it would hold up every other sync "
                "consumer while it waits. Use past='delay' of ThrottleMiddleware or "
                "ThrottledConsumerMixin.",
            )
        return cast("_Handler", limit.around_sync(handler))

    return decorate


class _Limit:
    """The limit of one handler, for all consumers of its class."""

    def __init__(
        self,
        throttle: Throttle,
        key: GivenKey,
        past: Past,
        refusal: GivenRefusal | None,
    ) -> None:
        self._throttle = throttle
        self._key = key
        self._past = past
        self._refusal = refusal

    def around_sync(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        def limited(consumer: Any, *args: Any, **kwargs: Any) -> Any:
            verdict = self._throttle.decide(self._key_of(consumer))
            refused = None if verdict is None else verdict.refused
            if refused is None:
                return handler(consumer, *args, **kwargs)
            if self._past == "reject":
                consumer.send(text_data=self._text(refused))
            elif self._past == "close" and _closes_first(consumer):
                consumer.close(code=CLOSE_CODE, reason=CLOSE_REASON)
            return None

        return limited

    def around_async(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handler)
        async def limited(consumer: Any, *args: Any, **kwargs: Any) -> Any:
            refused = await self._wait(self._key_of(consumer))
            if refused is None:
                return await handler(consumer, *args, **kwargs)
            if self._past in {"reject", "delay"}:
                await consumer.send(text_data=self._text(refused))
            elif self._past == "close" and _closes_first(consumer):
                await consumer.close(code=CLOSE_CODE, reason=CLOSE_REASON)
            return None

        return limited

    async def _wait(self, key: str | None) -> Decision | None:
        """Count one, and wait for its time; return the refusal if there is none."""
        if self._past != "delay":
            verdict = await self._throttle.adecide(key)
            return None if verdict is None else verdict.refused
        verdict = await self._throttle.areserve(key)
        if verdict is None or not verdict.allowed:
            return None if verdict is None else verdict.refused
        wait_seconds = delay_seconds(verdict)
        if wait_seconds and key is not None:
            try:
                await asyncio.sleep(wait_seconds)
            except asyncio.CancelledError:
                await self._throttle.arefund(key)
                raise
        return None

    def _key_of(self, consumer: Any) -> str | None:
        keys = consumer.__dict__.get(_KEYS)
        if keys is None:
            keys = consumer.__dict__[_KEYS] = ScopeKey(self._key, consumer.scope)
        found: str | None = keys.by(self._key)
        return found

    def _text(self, refused: Decision) -> str:
        return refusal_text(refused, self._refusal)


_KEYS = "_headgate_keys"
_CLOSED = "_headgate_closed"


def _closes_first(consumer: Any) -> bool:
    """Return whether it is the first limit that closes; of two, one does."""
    if consumer.__dict__.get(_CLOSED):
        return False
    consumer.__dict__[_CLOSED] = True
    return True
