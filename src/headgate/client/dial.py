"""Opens sockets: where to, as whom, and what a refusal means."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, NamedTuple
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
from headgate.client.cookies import cookie_header
from headgate.client.errors import HandshakeRefused, Lost, retry_after_seconds

if TYPE_CHECKING:
    import ssl as ssl_module

    from headgate.client.pacing import Pacing

__all__ = ["SUBPROTOCOL", "Addresses", "Dial", "addresses"]

SUBPROTOCOL = Subprotocol("headgate.v1")
TICKET_SUBPROTOCOL = "headgate.ticket."
MAX_INCOMING_BYTES = 8 * 2**20  # a page of 200 messages of 16 KiB, and room to spare
CLOSE_TIMEOUT_SECONDS = 2.0  # we have nothing left to say, so no long goodbye

# At its most talkative it writes down handshakes and frames, with the cookies and
# tickets in them. Who wants that sets the level of this logger.
_socket_log = logging.getLogger("headgate.client.socket")
_socket_log.setLevel(logging.INFO)

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
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    jar: CookieJar = field(default_factory=CookieJar, repr=False)
    ssl: ssl_module.SSLContext | None = None
    open_timeout_seconds: float = 10.0  # TCP, TLS and the handshake; welcome again
    reply_timeout_seconds: float = 20.0
    clock: Callable[[], float] = time.monotonic

    async def open(
        self,
        on_call: Callable[[], None],
        pacing: Pacing,
        ticket: str | None = None,
    ) -> Connection:
        """Return an open connection that has not said hello.

        A ticket goes with the handshake: so what else says who we are, such as a
        token that has run out meanwhile, is not looked at.

        Raises:
            Lost: It did not work this time.
            HandshakeRefused: It will not work another time either.
        """
        tls: dict[str, Any] = {} if self.ssl is None else {"ssl": self.ssl}
        offered = [SUBPROTOCOL]
        if ticket is not None:
            offered.append(Subprotocol(f"{TICKET_SUBPROTOCOL}{ticket}"))
        try:
            socket = await connect(
                self.url,
                origin=None if self.origin is None else Origin(self.origin),
                subprotocols=offered,
                additional_headers=self._headers(),
                compression=None,  # commands are small, and it costs memory
                open_timeout=self.open_timeout_seconds,
                ping_interval=None,  # `keep_alive` knows when we do not read
                close_timeout=CLOSE_TIMEOUT_SECONDS,
                max_size=MAX_INCOMING_BYTES,
                logger=_socket_log,
                **tls,
            )
        except InvalidStatus as exc:
            raise _refusal(exc) from exc
        except (InvalidURI, SecurityError) as exc:
            raise HandshakeRefused(None, str(exc)) from exc
        except (OSError, WebSocketException) as exc:  # OSError includes TimeoutError
            raise Lost(f"could not connect: {_in_words(exc)}") from exc
        if socket.subprotocol != SUBPROTOCOL:
            await socket.close()
            raise HandshakeRefused(None, f"it does not speak {SUBPROTOCOL}")
        return Connection(
            socket,
            on_call=on_call,
            pacing=pacing,
            open_timeout_seconds=self.open_timeout_seconds,
            reply_timeout_seconds=self.reply_timeout_seconds,
            clock=self.clock,
        )

    def _headers(self) -> dict[str, str]:
        """Return the headers of a handshake now: answers may have set cookies."""
        cookies = cookie_header(self.jar, f"http{self.url.removeprefix('ws')}")
        return {**self.headers, **({"Cookie": cookies} if cookies else {})}


class Addresses(NamedTuple):
    """What a base URL means: for the socket, for requests, and as an Origin."""

    socket: str
    http: str
    origin: str


def addresses(url: str) -> Addresses:
    """Return the addresses of a base URL; raises `ValueError` if it is none."""
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
    return Addresses(
        socket=urlunsplit((scheme, parts.netloc, path, "", "")),
        http=urlunsplit((f"http{scheme[2:]}", parts.netloc, parts.path, "", "")),
        origin=origin,
    )


def _in_words(exc: Exception) -> str:
    """Return why there is no socket, without addresses where the system has words."""
    if isinstance(exc, ConnectionError) and exc.errno:
        return os.strerror(exc.errno)
    return getattr(exc, "strerror", None) or str(exc)


def _refusal(exc: InvalidStatus) -> Lost | HandshakeRefused:
    """Return what an HTTP answer to the handshake means."""
    status = exc.response.status_code
    if HTTPStatus(400) <= status < HTTPStatus(500) and status not in _LATER:
        return HandshakeRefused(status, f"HTTP {status}")
    wait = retry_after_seconds(exc.response.headers.get("Retry-After", ""))
    return Lost(f"HTTP {status}", wait)
