"""Makes calls of webhooks over HTTP, and says what came of them.

A receiver is taken for hostile: it may hang, drip, lead elsewhere or send without end.
So a call has one time limit for all of it, no redirect is followed, and of an answer
64 KiB are read, only so that the connection can be used again; nothing is inflated.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from dataclasses import replace
from functools import lru_cache
from http import HTTPStatus
from importlib.metadata import version
from typing import cast

import httpcore2

from headgate.outbound.address_guard import AddressGuard, Checked, NotAllowed, guard
from headgate.outbound.bodies import body_of
from headgate.outbound.calls import Call, Outcome, Result
from headgate.outbound.guarded_stream import NotReached
from headgate.outbound.kept_connections import KeptConnections
from headgate.outbound.lookups import (
    Lookups,
    NotFound,
    NotLookedUp,
    Resolve,
    system_addresses,
)
from headgate.outbound.retry_after import retry_after_seconds
from headgate.outbound.signatures import ID, SIGNATURE, TIMESTAMP, NoSecret, sign

__all__ = ["HttpSender"]

logger = logging.getLogger("headgate.outbound")

MAX_ANSWER_BYTES = 64 * 1024
LEAST_PIECE_BYTES = 512
LOOK_UP_AGAIN_SECONDS = 1.0
MAX_ERROR = 300  # characters, as many as an attempt's row takes
# With this answer a receiver says that no retry would help, as Svix has it.
ABORT = (b"webhook-delivery", b"abort-message")

_USER_AGENT = f"Headgate/{version('headgate')}".encode()

_Headers = list[tuple[bytes, bytes]]
_Pieces = AsyncGenerator[bytes, None]


class HttpSender:
    """The sender of webhooks, for one event loop.

    Args:
        tls: With the authorities that are trusted; those of the system if left out.
        resolve: How names are looked up; only tests have another way.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = system_addresses,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        context = tls or httpcore2.default_ssl_context()
        context.set_alpn_protocols(["http/1.1"])
        self._connections = KeptConnections(Lookups(resolve), context)

    async def send(self, call: Call) -> Outcome:
        """Make a call, and end within the target's `timeout_seconds`."""
        started = time.monotonic()
        limit = call.target.timeout_seconds
        try:
            outcome = await self._send(call, asyncio.get_running_loop().time() + limit)
        except TimeoutError:
            outcome = Outcome(result="failed", error=f"No answer within {limit:g} s.")
        except (NotAllowed, NoSecret) as exc:
            outcome = Outcome(result="refused", error=str(exc)[:MAX_ERROR])
        except NotLookedUp as exc:
            # It was not called, so this was no attempt; it waits as after a 429.
            outcome = Outcome(
                result="throttled",
                error=str(exc)[:MAX_ERROR],
                retry_after_seconds=LOOK_UP_AGAIN_SECONDS,
            )
        except (NotFound, NotReached) as exc:
            outcome = Outcome(result="failed", error=str(exc)[:MAX_ERROR])
        except _BROKEN_OFF as exc:
            outcome = Outcome(result="failed", error=_in_words(exc)[:MAX_ERROR])
        except Exception as exc:  # noqa: BLE001 - logged; whoever calls goes on
            # Only its kind: its text might hold what must not be in a log.
            kind = type(exc).__name__
            logger.error("call_failed id=%s error=%s", call.id, kind)  # noqa: TRY400 - the same of the traceback
            outcome = Outcome(result="failed", error=f"The server failed: {kind}.")
        return replace(outcome, service_seconds=time.monotonic() - started)

    async def close(self) -> None:
        """Let go of connections."""
        await self._connections.close()

    async def _send(self, call: Call, deadline: float) -> Outcome:
        rules = guard(public_only=call.target.public_only)
        checked, url = _checked(rules, call.target.url)
        headers, body = self._said(call, checked)
        request = httpcore2.Request("POST", url, headers=headers, content=body)
        outcome = None
        try:
            async with asyncio.timeout_at(deadline):
                connection = await self._connections.take(checked, rules)
                try:
                    response = await connection.handle_async_request(request)
                    outcome = self._outcome(response)
                    await _read(response)
                finally:
                    self._connections.give_back(checked, rules, connection)
        except _BROKEN_OFF:
            if outcome is None:
                raise
        # What it answered counts, even if the rest of it never came.
        return outcome

    def _said(self, call: Call, checked: Checked) -> tuple[_Headers, bytes]:
        body = body_of(call)
        timestamp = int(self._clock())
        headers = [
            (b"Host", checked.authority.encode()),
            (b"User-Agent", _USER_AGENT),
            (b"Accept", b"*/*"),
            (b"Accept-Encoding", b"identity"),
            (b"Content-Type", b"application/json"),
            (b"Content-Length", str(len(body)).encode()),
            (ID.encode(), call.id.encode()),
            (TIMESTAMP.encode(), str(timestamp).encode()),
        ]
        if call.target.secrets:
            signature = sign(call.target.secrets, call.id, timestamp, body)
            headers.append((SIGNATURE.encode(), signature.encode()))
        return headers, body

    def _outcome(self, response: httpcore2.Response) -> Outcome:
        status = response.status
        if status in _SUCCESS:
            return Outcome(result="delivered", status=status)
        fields = [(name.lower(), value) for name, value in response.headers]
        waits = [value.decode("latin-1") for name, value in fields if name == _WAIT]
        wait = retry_after_seconds(waits, self._clock())
        result, why = _judged(status, wait)
        if result != "gone" and ABORT in fields:
            result, why = "refused", "It asks not to be called with this again."
        return Outcome(
            result=result,
            status=status,
            error=f"Answered {status}. {why}".rstrip(),
            retry_after_seconds=wait,
        )


_BROKEN_OFF = (
    httpcore2.NetworkError,
    httpcore2.RemoteProtocolError,
    OSError,  # TimeoutError, too
)
_SUCCESS = range(200, 300)
_REDIRECTS = range(300, 400)
_WAIT = b"retry-after"


def _judged(status: int, wait: float | None) -> tuple[Result, str]:
    """Return what an answer without success means, and what to say of it."""
    if status == HTTPStatus.GONE:
        return "gone", "It wants no calls any more."
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.SERVICE_UNAVAILABLE and wait is not None
    ):
        return "throttled", ""
    if status in _REDIRECTS:
        return "failed", "Redirects are not followed: set the URL that it leads to."
    return "failed", ""


@lru_cache(maxsize=1024)
def _checked(rules: AddressGuard, given: str) -> tuple[Checked, httpcore2.URL]:
    checked = rules.check_url(given)
    url = httpcore2.URL(
        scheme=checked.scheme.encode(),
        host=checked.host.encode(),
        port=checked.port,
        target=checked.target.encode(),
    )
    return checked, url


async def _read(response: httpcore2.Response) -> None:
    """Read an answer to its end, where that is near; else its connection is closed."""
    left = MAX_ANSWER_BYTES
    try:
        stream = cast("AsyncIterable[bytes]", response.stream)
        async with contextlib.aclosing(cast("_Pieces", aiter(stream))) as pieces:
            async for piece in pieces:
                left -= max(len(piece), LEAST_PIECE_BYTES)  # each costs time
                if left < 0:
                    return
    finally:
        await response.aclose()


def _in_words(exc: BaseException) -> str:
    """Return what broke a call off, for people."""
    if isinstance(exc, httpcore2.RemoteProtocolError):
        return "The connection was closed, or what came is no answer of HTTP/1.1."
    return "The connection broke off."
