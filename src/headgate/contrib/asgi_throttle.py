"""What an ASGI application is throttled by, whichever way it was asked for.

The middleware and the consumers' mixin both run applications through it.
"""

from __future__ import annotations

from typing import Any

from headgate.contrib.answers import (
    STATUS,
    GivenRefusal,
    checked_refusal,
    problem_body,
    problem_fields,
)
from headgate.contrib.asgi_socket import ThrottledSocket
from headgate.contrib.asgi_types import Application, Message, Receive, Scope, Send
from headgate.contrib.inbox import Inbox
from headgate.contrib.keys import ScopeKey, checked_key
from headgate.contrib.rules import GivenRate, policies_of
from headgate.contrib.throttle import Throttle, delay_seconds
from headgate.limits.decision import Decision, Verdict
from headgate.limits.fields import limit_fields
from headgate.limits.limiter import Limiter
from headgate.limits.policy import Past, StoreAway

__all__ = ["AsgiThrottle"]


class AsgiThrottle:
    """Policies, what they count by, and what happens past them.

    The arguments are those of `headgate.contrib.asgi.ThrottleMiddleware`.
    """

    def __init__(
        self,
        rate: GivenRate,
        *,
        key: Any,
        name: str,
        past: Past | None = None,
        refusal: Any = None,
        dry_run: bool = False,
        max_wait_seconds: float | None = None,
        store_away: StoreAway | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        policies = policies_of(
            rate,
            name=name,
            key=key,
            past=past,
            default_past="close",
            store_away=store_away,
            dry_run=dry_run,
            max_wait_seconds=max_wait_seconds,
        )
        self._throttle = Throttle(policies, limiter)
        self._past: Past = policies[0].past
        self._key = checked_key(key)
        self._refusal: GivenRefusal | None = checked_refusal(refusal)
        if refusal is not None and self._past not in {"reject", "delay"}:
            raise ValueError(
                f"refusal is for past='reject' and 'delay'; past={self._past!r} says "
                "nothing.",
            )

    async def run(
        self, inner: Application, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run an application; what is neither HTTP nor a WebSocket as it is."""
        if scope["type"] == "websocket":
            await self._run_socket(inner, scope, receive, send)
        elif scope["type"] == "http":
            await self._run_request(inner, scope, receive, send)
        else:
            await inner(scope, receive, send)

    async def _run_socket(
        self, inner: Application, scope: Scope, receive: Receive, send: Send
    ) -> None:
        key = ScopeKey(self._key, scope)
        socket = ThrottledSocket(
            self._throttle, key, self._past, self._refusal, receive, send
        )
        try:
            await inner(scope, socket.receive, socket.send)
        finally:
            await socket.aclose()

    async def _run_request(
        self, inner: Application, scope: Scope, receive: Receive, send: Send
    ) -> None:
        key = ScopeKey(self._key, scope)()
        delays = self._past == "delay"
        verdict = await (
            self._throttle.areserve(key) if delays else self._throttle.adecide(key)
        )
        refused = None if verdict is None else verdict.refused
        if verdict is None:
            await inner(scope, receive, send)
        elif refused is not None:
            await _answer(verdict, refused, send)
        else:
            told = _with_fields(verdict, send)
            wait_seconds = delay_seconds(verdict) if delays else 0.0
            if key is not None and wait_seconds:
                await self._run_later(inner, scope, receive, told, key, wait_seconds)
            else:
                await inner(scope, receive, told)

    async def _run_later(
        self,
        inner: Application,
        scope: Scope,
        receive: Receive,
        send: Send,
        key: str,
        wait_seconds: float,
    ) -> None:
        """Run it when its time has come, if the client is still there then."""
        inbox = Inbox(receive)
        runs = False
        try:
            runs = await inbox.stays(wait_seconds)
            if runs:
                await inner(scope, inbox.next, send)
        finally:
            await inbox.aclose()
            if not runs:
                await self._throttle.arefund(key)


async def _answer(verdict: Verdict, refused: Decision, send: Send) -> None:
    body = problem_body(refused)
    fields = problem_fields(verdict, refused) | {"Content-Length": str(len(body))}
    await send(
        {"type": "http.response.start", "status": STATUS, "headers": _raw(fields)},
    )
    await send({"type": "http.response.body", "body": body})


def _with_fields(verdict: Verdict, send: Send) -> Send:
    """Return a `send` whose answer tells the limit and what is left of it."""
    fields = limit_fields(verdict.decisions)
    if not fields:
        return send

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            # Of several fields of one name each adds to the list (RFC 9110, 5.3).
            headers = [*message.get("headers", ()), *_raw(fields)]
            message = {**message, "headers": headers}
        await send(message)

    return told


def _raw(fields: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [
        (name.lower().encode("ascii"), value.encode("latin-1"))
        for name, value in fields.items()
    ]
