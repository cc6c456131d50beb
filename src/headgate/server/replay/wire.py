"""Opening a WebSocket: the address, and the handshake of RFC 6455, section 4.

After the handshake the transport is handed to another protocol, so that nothing of
the opening is left in the way of what follows.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha1
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BadAddress", "Opened", "OpeningFailed", "Target", "open_websocket"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_MAX_HEAD_BYTES = 32 * 1024
_SCHEMES = {"http": False, "ws": False, "https": True, "wss": True}
_SWITCHING = 101
_ENTRY = "/ws/chat/"  # where connections that join rooms by command begin


class BadAddress(Exception):  # noqa: N818 - it is an answer to the user
    """A URL that no WebSocket can be opened to."""


class OpeningFailed(Exception):  # noqa: N818 - expected while a server restarts
    """There is no WebSocket, for this reason."""


class Opened(asyncio.Protocol):
    """What takes over once the WebSocket is open."""

    def opened(self, transport: asyncio.Transport) -> None:
        """Take the transport. Its bytes follow through `data_received`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect, and what to ask for."""

    host: str
    port: int
    path: str
    secure: bool = False
    subprotocols: Sequence[str] = ()
    origin: str | None = None

    @classmethod
    def headgate(cls, url: str) -> Target:
        """Return where a Headgate server takes connections, given its URL."""
        base = cls.chat(url)
        path = base.path.split("?")[0].rstrip("/")
        return cls(
            host=base.host,
            port=base.port,
            path=path + _ENTRY,
            secure=base.secure,
            subprotocols=("headgate.v1",),
        )

    @classmethod
    def chat(cls, url: str) -> Target:
        """Return a URL as it is; raises `BadAddress`."""
        try:
            parts = urlsplit(url)
            secure = _SCHEMES.get(parts.scheme.lower())
            host, port = parts.hostname, parts.port
        except ValueError as exc:
            raise BadAddress(f"{url!r} is not a URL: {exc}.") from exc
        if secure is None or not host:
            raise BadAddress(
                f"{url!r} is not a URL like http://host:port or wss://host/path."
            )
        if parts.username is not None:
            raise BadAddress("A user name in the URL is not supported.")
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=-._~")
        if parts.query:
            path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=-._~?")
        origin = f"{'https' if secure else 'http'}://{parts.netloc}"
        default = 443 if secure else 80
        return cls(
            host=host,
            port=default if port is None else port,
            path=path,
            secure=secure,
            origin=origin,  # Channels' validators refuse who has none
        )

    @property
    def authority(self) -> str:
        """The `Host` field."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else self.where

    @property
    def where(self) -> str:
        """Host and port, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


async def open_websocket(
    target: Target, link: Opened, *, timeout_seconds: float = 10.0
) -> None:
    """Open a WebSocket for `link`; raises `OpeningFailed` or an `OSError`."""
    loop = asyncio.get_running_loop()
    handshake = _Handshake(target, link, loop.create_future())
    context = ssl.create_default_context() if target.secure else None
    transport: asyncio.BaseTransport | None = None
    try:
        async with asyncio.timeout(timeout_seconds):
            transport, _ = await loop.create_connection(
                lambda: handshake, target.host, target.port, ssl=context
            )
            await handshake.done
    except TimeoutError:
        _abort(transport)
        raise OpeningFailed(
            f"{target.where} did not answer within {timeout_seconds:g} s."
        ) from None
    except BaseException:
        _abort(transport)
        raise


def _abort(transport: asyncio.BaseTransport | None) -> None:
    """Drop a connection that came to nothing."""
    if isinstance(transport, asyncio.WriteTransport) or hasattr(transport, "abort"):
        transport.abort()  # type: ignore[union-attr] # uvloop's is no subclass


class _Handshake(asyncio.Protocol):
    """The opening request and the check of its answer."""

    def __init__(
        self, target: Target, link: Opened, done: asyncio.Future[None]
    ) -> None:
        self.done = done
        self._target = target
        self._link = link
        self._key = b64encode(os.urandom(16))
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = transport  # type: ignore[assignment] # a TCP one
        fields = [
            f"GET {self._target.path} HTTP/1.1",
            f"Host: {self._target.authority}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {self._key.decode()}",
            "Sec-WebSocket-Version: 13",
            "User-Agent: headgate-replay",
        ]
        if self._target.subprotocols:
            offers = ", ".join(self._target.subprotocols)
            fields.append(f"Sec-WebSocket-Protocol: {offers}")
        if self._target.origin is not None:
            fields.append(f"Origin: {self._target.origin}")
        request = "\r\n".join([*fields, "", ""]).encode()
        transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Gather the answer's head; hand over when it is good."""
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            if len(self._head) > _MAX_HEAD_BYTES:
                self._fail("The answer's head does not end.")
            return
        failure = self._what_is_wrong(bytes(self._head[:end]))
        if failure is not None:
            self._fail(failure)
            return
        transport = self._transport
        if transport is None or self.done.done():
            return
        rest = bytes(self._head[end + 4 :])
        transport.set_protocol(self._link)
        self.done.set_result(None)
        self._link.opened(transport)
        if rest:
            self._link.data_received(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail if the answer never came."""
        self._fail(f"{self._target.where} hung up{f' ({exc})' if exc else ''}.")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(OpeningFailed(why))
        if self._transport is not None:
            self._transport.abort()

    def _what_is_wrong(self, head: bytes) -> str | None:
        """Return why this is no agreement to a WebSocket, or None."""
        status, *lines = head.decode("latin-1").split("\r\n")
        _, _, rest = status.partition(" ")
        if not rest.startswith(f"{_SWITCHING} ") and rest != str(_SWITCHING):
            said = rest.strip() or status[:60]
            return f"{self._target.where} answered {said!r} instead of a WebSocket."
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip()
        digest = sha1(self._key + _GUID, usedforsecurity=False).digest()
        if fields.get("sec-websocket-accept") != b64encode(digest).decode():
            return f"{self._target.where} answered with a wrong Sec-WebSocket-Accept."
        if fields.get("sec-websocket-extensions"):
            return f"{self._target.where} uses an extension that was not offered."
        wanted = self._target.subprotocols
        if wanted and fields.get("sec-websocket-protocol") not in wanted:
            return f"{self._target.where} does not speak {' or '.join(wanted)}."
        return None
