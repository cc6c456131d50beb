"""Throttling for any ASGI application, and so for any Channels consumer.

    from headgate.contrib.asgi import ThrottleMiddleware

    application = ThrottleMiddleware(application, "10/s")

It counts messages, not connections. It needs neither Django nor Channels.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from headgate.contrib.answers import GivenRefusal
from headgate.contrib.asgi_throttle import AsgiThrottle
from headgate.contrib.asgi_types import Receive, Scope, Send
from headgate.contrib.keys import GivenKey
from headgate.contrib.rules import GivenRate, rate_from_numbers
from headgate.limits.limiter import Limiter
from headgate.limits.policy import Past, StoreAway

__all__ = ["ThrottleMiddleware"]


class ThrottleMiddleware:
    """An ASGI application around another one, which lets so many messages through.

    Each message of a WebSocket is one, and so is each request over HTTP; what belongs
    to one key is counted together, whatever connection it came by. Everything else,
    such as lifespan, passes untouched.

    Past the limit a request is answered with 429, `Retry-After`, `RateLimit-Policy`,
    `RateLimit` and problem+json, or with `past="delay"` held.
    """

    def __init__(
        self,
        inner: Callable[[Any, Any, Any], Awaitable[Any]],
        rate: GivenRate | None = None,
        *,
        key: GivenKey = "user",
        past: Past | None = None,
        name: str = "throttle",
        rate_limit: int | None = None,
        per_second: float = 1,
        refusal: GivenRefusal | None = None,
        dry_run: bool = False,
        max_wait_seconds: float | None = None,
        store_away: StoreAway | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            inner: Such as `AuthMiddlewareStack(…)`, a `URLRouter` or
                `ChatConsumer.as_asgi()`.
            rate: `10/s`, `60/min:20`, a `Rate`, a `Policy`, or a list of those, all
                of which must allow a message. One a second if nothing is said.
            key: What is counted by: the account that has signed in, `scope["user"]`,
                and the address of everybody else (`user`); the address (`address`);
                each WebSocket by itself (`connection`); or a function that takes the
                scope and returns a text, or None for who is not limited.
            past: What happens to a message past the limit. `close`, which it is if
                nothing is said: the WebSocket is closed with 4000. `reject`: the
                client is told by a message. `delay`: it is held until there is room,
                and the client is read no further. `drop`: nothing.
            name: Of the policy. Throttles with the same name and key count together.
            rate_limit: How many messages; another way to say `rate`.
            per_second: In how many seconds `rate_limit` may come.
            refusal: What `reject` says: members to add to
                `{"error": "rate_limited", "policy": …, "retry_after_ms": …}`, or a
                function that takes the decision and returns a dict or a text.
            dry_run: Let everything pass, and count what would be refused in
                `limiter().refusals`.
            max_wait_seconds: The longest time that `delay` holds a message, 10 s if
                it is left out; past it the message is rejected.
            store_away: What is decided while the shared store is away: `local`,
                `open` or `closed`.
            limiter: Who decides, if it is not the limiter of the process.

        Raises:
            TypeError: An argument is of a kind that it cannot be.
            ValueError: An argument is wrong. Both say what was meant.
        """
        if isinstance(inner, type):
            raise TypeError(
                f"{inner.__name__} is a class: write {inner.__name__}.as_asgi().",
            )
        if not callable(inner):
            raise TypeError(
                f"The first argument is the application to wrap, not {inner!r}: "
                "ThrottleMiddleware(application, '10/s').",
            )
        if isinstance(rate, int):
            raise TypeError(
                f"{rate!r} says no time. Write '{rate}/s', or "
                f"rate_limit={rate}, per_second=1.",
            )
        self.inner = inner
        self._throttle = AsgiThrottle(
            rate_from_numbers(rate, rate_limit, per_second),
            key=key,
            name=name,
            past=past,
            refusal=refusal,
            dry_run=dry_run,
            max_wait_seconds=max_wait_seconds,
            store_away=store_away,
            limiter=limiter,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        await self._throttle.run(self.inner, scope, receive, send)
