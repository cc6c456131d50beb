"""Opens sockets: where to, as whom, and what a refusal means."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from websockets.asyncio.client import connect
from websockets.exceptions import (
    InvalidStatus,
    InvalidURI,
    SecurityError,
    WebSocketException,
)
from websockets.typing import Origin, Subprotocol

from headgate.client.connection import Connection
from headgate.client.errors import MAX_WAIT_SECONDS, HandshakeRefused, Lost

if TYPE_CHECKING:
    import ssl as ssl_module

__all__ = ["SUBPROTOCOL", "Dial", "addresses", "with_cookies"]

SUBPROTOCOL = Subprotocol("headgate.v1")
MAX_INCOMING_BYTES = 8 * 2**20  # a page of 200 messages of 16 KiB, and room to spare
CLOSE_TIMEOUT_SECONDS = 2.0  # we have nothing left to say, so no long goodbye

# Refused handshakes that mean "later"; every other 4xx means "no".
_LATER = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """How to open a socket, again and again."""

    url: str
    origin: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    ssl: ssl_module.SSLContext | None = None
    open_timeout_seconds: float = 10.0  # TCP, TLS and the handshake; welcome again
    reply_timeout_seconds: float = 20.0
    clock: Callable[[], float] = time.monotonic

    async def open(self, on_call: Callable[[], None]) -> Connection:
        """Return an open connection that has not said hello.

        Raises:
            Lost: It did not work this time.
            HandshakeRefused: It will not work another time either.
        """
        tls: dict[str, Any] = {} if self.ssl is None else {"ssl": self.ssl}
        try:
            socket = await connect(
                self.url,
                origin=None if self.origin is None else Origin(self.origin),
                subprotocols=[SUBPROTOCOL],
                additional_headers=self.headers,
                compression=None,  # commands are small, and it costs memory
                open_timeout=self.open_timeout_seconds,
                ping_interval=None,  # `keep_alive` knows when we do not read
                close_timeout=CLOSE_TIMEOUT_SECONDS,
                max_size=MAX_INCOMING_BYTES,
                **tls,
            )
        except InvalidStatus as exc:
            raise _refusal(exc) from exc
        except (InvalidURI, SecurityError) as exc:
            raise HandshakeRefused(None, str(exc)) from exc
        except (OSError, WebSocketException) as exc:  # OSError includes TimeoutError
            raise Lost(f"could not connect: {exc}") from exc
        if socket.subprotocol != SUBPROTOCOL:
            await socket.close()
            raise HandshakeRefused(None, f"it does not speak {SUBPROTOCOL}")
        return Connection(
            socket,
            on_call=on_call,
            open_timeout_seconds=self.open_timeout_seconds,
            reply_timeout_seconds=self.reply_timeout_seconds,
            clock=self.clock,
        )


def addresses(url: str) -> tuple[str, str]:
    """Return the socket's URL and the origin of a base URL."""
    parts = urlsplit(url)
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"{url!r} is no http(s):// or ws(s):// address")
    if parts.query or parts.fragment:
        raise ValueError(f"{url!r} must not have a query or a fragment")
    scheme = schemes[parts.scheme]
    path = parts.path.rstrip("/") + "/ws/chat/"
    host = parts.netloc.rpartition("@")[2].lower()
    standard = ":443" if scheme == "wss" else ":80"
    origin = f"http{scheme[2:]}://{host.removesuffix(standard)}"
    return urlunsplit((scheme, parts.netloc, path, "", "")), origin


def with_cookies(
    headers: Mapping[str, str] | None,
    cookies: Mapping[str, str] | None,
) -> dict[str, str]:
    """Return headers with the cookies as one of them."""
    merged = dict(headers or {})
    if cookies:
        pairs = "; ".join(f"{name}={value}" for name, value in cookies.items())
        merged["Cookie"] = pairs
    return merged


def _refusal(exc: InvalidStatus) -> Lost | HandshakeRefused:
    """Return what an HTTP answer to the handshake means."""
    status = exc.response.status_code
    if HTTPStatus(400) <= status < HTTPStatus(500) and status not in _LATER:
        return HandshakeRefused(status, f"HTTP {status}")
    hint = exc.response.headers.get("Retry-After", "")
    wait = float(hint) if hint.isascii() and hint.isdecimal() else 0.0
    return Lost(f"HTTP {status}", min(wait, MAX_WAIT_SECONDS))
