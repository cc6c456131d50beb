"""Connections to checked addresses only: a name is looked up once, for this connection.

All its addresses are checked, and one that may not be called refuses the whole name.
What is connected to is the address that was checked; the name goes on in Host and SNI.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from ipaddress import ip_address
from typing import Any, cast

import httpcore2

from headgate.outbound.address_guard import (
    Address,
    AddressGuard,
    Checked,
    NotAllowed,
)
from headgate.outbound.lookups import Lookups

__all__ = ["GuardedStream", "NotReached", "open_stream"]

logger = logging.getLogger("headgate.outbound")

MAX_TRIED = 4  # addresses of one name
CONNECT_SECONDS = 5.0  # for each of them
MAX_UNREAD_BYTES = 64 * 1024  # kept of an answer before its sender is slowed down
# Of one answer, with all that HTTP puts around it; and of that in one turn of the loop.
MAX_ANSWER_BYTES = 128 * 1024
READ_BYTES = 4096
JOINED_BYTES = 64 * 1024  # up to which what is written waits to go as one


class NotReached(Exception):  # noqa: N818 - it may be reached next time
    """There is no connection; the text says why, to people."""


async def open_stream(
    checked: Checked, guard: AddressGuard, lookups: Lookups, tls: ssl.SSLContext
) -> GuardedStream:
    """Return a connection to a URL's host.

    Raises:
        NotAllowed: An address of it may not be called.
        NotFound: Its name has no address.
        NotLookedUp: Too many other names are looked up.
        NotReached: Nobody took the connection, or not as the host of that name.
    """
    addresses = await _checked_addresses(checked, guard, lookups)
    why = ""
    for address in addresses[:MAX_TRIED]:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await _connect(address, checked, tls)
        except ssl.SSLCertVerificationError as exc:
            why = f"its certificate does not hold: {exc.verify_message.rstrip('.')}"
        except ssl.SSLError as exc:
            why = f"TLS failed: {exc.reason}"
        except TimeoutError:
            why = "timed out"
        except OSError as exc:
            # In the system's words; asyncio's have the address in them.
            why = os.strerror(exc.errno).lower() if exc.errno else type(exc).__name__
    raise NotReached(f"{checked.host} could not be reached: {why}.")


async def _checked_addresses(
    checked: Checked, guard: AddressGuard, lookups: Lookups
) -> list[Address]:
    host = checked.host
    found = [host] if _is_address(host) else await lookups.addresses(host)
    allowed = []
    for each in found:
        try:
            allowed.append(
                guard.check_address(each, scheme=checked.scheme, port=checked.port),
            )
        except NotAllowed as exc:
            # The address is for whoever runs the server alone: it tells of a network.
            logger.warning(
                "address_refused host=%s address=%s error=%s", host, each, exc
            )
            raise
    return allowed


async def _connect(
    address: Address, checked: Checked, tls: ssl.SSLContext
) -> GuardedStream:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP's
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, (str(address), checked.port))
        _check_peer(sock, address)
        secure = checked.scheme == "https"
        _, stream = await loop.create_connection(
            GuardedStream,
            sock=sock,
            ssl=tls if secure else None,
            server_hostname=checked.host if secure else None,
        )
    except BaseException:
        sock.close()
        raise
    return stream


def _check_peer(sock: socket.socket, address: Address) -> None:
    if ip_address(sock.getpeername()[0]) != address:
        raise NotAllowed("The connection went to another address than was checked.")


class GuardedStream(asyncio.Protocol, httpcore2.AsyncNetworkStream):
    """The bytes of one connection, bounded both ways.

    Time limits are those of whoever waits: a call has one for all that it does.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._answered_bytes = 0  # since something was written
        self._ended = False
        self._failure: Exception | None = None
        self._is_reading = True
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._lost = asyncio.Event()
        self._waiter: asyncio.Future[None] | None = None

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Keep what came, and take no more where that is much."""
        self._unread += data
        if len(self._unread) > MAX_UNREAD_BYTES and self._is_reading:
            self._is_reading = False
            self._open_transport().pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Note that nothing more comes; the connection is closed."""
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it is over, and why."""
        self._ended = True
        self._failure = exc
        self._lost.set()
        self._may_write.set()
        self._wake()

    def pause_writing(self) -> None:
        """Have writers wait."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._may_write.set()

    # What the HTTP connection asks.

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109 - the interface of httpcore2
        """Return what came, at least a byte, or nothing at the end."""
        await self._flush()
        while not self._unread:
            if self._ended:
                if self._failure is not None:
                    raise httpcore2.ReadError(str(self._failure)) from self._failure
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = bytes(self._unread[: min(max_bytes, READ_BYTES)])
        del self._unread[: len(data)]
        self._answered_bytes += len(data)
        if self._answered_bytes > MAX_ANSWER_BYTES:
            raise httpcore2.ReadError("The answer has no end.")
        await asyncio.sleep(0)  # what it is made of takes time to read
        if not self._is_reading and not self._ended:
            self._is_reading = True
            self._open_transport().resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - the interface of httpcore2
        """Take what is to be written; it goes out, as one, before anything is read."""
        self._answered_bytes = 0
        self._unsent.append(buffer)
        self._unsent_bytes += len(buffer)
        if self._unsent_bytes > JOINED_BYTES:
            await self._flush()

    async def aclose(self) -> None:
        """Close at once, without what was not sent yet, and wait until it is closed."""
        if self._transport is not None:
            self._transport.abort()
            await self._lost.wait()

    def get_extra_info(self, info: str) -> Any:
        """Return what the HTTP connection asks for: whether something came unasked."""
        return bool(self._unread) or self._ended if info == "is_readable" else None

    async def _flush(self) -> None:
        if self._unsent:
            data = b"".join(self._unsent)
            self._unsent.clear()
            self._unsent_bytes = 0
            if not self._ended:  # what it said before that is still to be read
                self._open_transport().write(data)
        if not self._may_write.is_set():
            await self._may_write.wait()

    def _open_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise httpcore2.WriteError("not connected")
        return self._transport

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
