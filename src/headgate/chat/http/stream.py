"""The event stream: pushes as server-sent events, for whoever has no WebSocket.

One HTTP answer for many rooms that never ends by itself. A plain ASGI callable beside
Django, over the same hub; only for reading, as sending goes by the HTTP API.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase

from headgate.chat.admission import Crowded
from headgate.chat.arrivals import Arrival, address_of
from headgate.chat.asgi_server import warn_without_flow_control
from headgate.chat.authenticators import NotAuthenticated
from headgate.chat.engine import engine
from headgate.chat.entrance import Entrance, come_in
from headgate.chat.http.cors import cors_headers, let_read
from headgate.chat.http.door import door
from headgate.chat.http.failures import failed
from headgate.chat.http.problems import Refusal, problem
from headgate.chat.http.stream_end import end_with_server
from headgate.chat.http.stream_request import StreamRequest, check_source, read_request
from headgate.chat.identity import Identity, guest, known_in_scope
from headgate.chat.models import Room
from headgate.chat.permissions import Deny
from headgate.chat.storage import RETRY_MS
from headgate.chat.tickets import TicketRefused, redeem_ticket
from headgate.chat.visitor import Visitor, denied
from headgate.chat.welcome import limits_of, room_joined, welcome
from headgate.live.event_stream_sink import EventStreamSink
from headgate.live.frames import Mode
from headgate.protocol.codec import error
from headgate.protocol.codes import Close, Code
from headgate.protocol.pushes import Error

__all__ = ["EventStream", "not_mounted"]

logger = logging.getLogger("headgate.stream")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# When to come back, drawn for each stream: a server that went away is not stormed.
RETRY_FROM_MS = 1000
RETRY_TO_MS = 5000
END_SECONDS = 1.0  # for the last words to go out before the end

_DISCONNECT = "http.disconnect"
_METHODS = ("GET", "HEAD")
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    # Nothing in between may keep it, or hold it back to make it smaller.
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


class EventStream:
    """Serves `/api/v1/stream`, under Channels' `AuthMiddlewareStack`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await _Stream(dict(scope), receive, send).serve()


@door
async def not_mounted(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - a view
    """Say what is missing where Django is asked for the stream."""
    text = (
        "The event stream is not served by Django itself. Mount the chat in the "
        "project's asgi.py: application = headgate.asgi.with_chat(application)."
    )
    return problem(error(Code.UNSUPPORTED, text))


@door
async def _other_method(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - a view
    """Answer a preflight, or say that the stream is only read."""
    return HttpResponseNotAllowed(_METHODS)


class _Gone(OSError):  # noqa: N818 - not an error
    """The client is gone."""


class _Stream:
    """One request, from its headers to the end of the answer."""

    def __init__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.sink = EventStreamSink(self._send)
        self.visitor: Visitor | None = None
        self.arrival = Arrival(address_of(scope))

    async def serve(self) -> None:
        """Serve until the client is gone or the stream is ended."""
        try:
            await self._serve()
        except _Gone:
            pass
        except asyncio.CancelledError:
            ending = None if self.visitor is None else self.visitor.ended()
            if ending is None:
                raise
            await self._end(ending)
        except Exception:  # a fault of ours ends this stream, and is seen
            logger.exception("stream_failed")
        finally:
            self.arrival.over()
            if self.visitor is not None:
                await self.visitor.close()
            await self.sink.close()

    async def _serve(self) -> None:
        if self.scope["method"] not in _METHODS:
            await self._answer(await _other_method(self._request()))
            return
        try:
            await self._open()
        except _Gone:
            raise
        except Exception as exc:  # noqa: BLE001 - answered by its kind
            await self._refuse(exc)
        else:
            while self.sink.begun and (await self.receive())["type"] != _DISCONNECT:
                pass  # the body of the request

    # --- opening ---

    async def _open(self) -> None:
        """Let somebody in and begin the answer, or raise why not."""
        warn_without_flow_control()
        request = self._request()
        check_source(request)
        asked = read_request(request)
        origin = request.headers.get("Origin", "")
        _check(await self.arrival.by_address(), self.arrival)
        try:
            async with engine().admission.turn():
                await self._let_in(asked, origin)
        except Crowded as crowd:
            raise Refusal(
                error(Code.UNAVAILABLE, retry_after_ms=crowd.retry_after_ms)
            ) from None

    async def _let_in(self, asked: StreamRequest, origin: str) -> None:
        """Find out who reads, enter the rooms, and begin the answer."""
        who = await self._identify(asked, origin)
        _check(await self.arrival.by_person(who.actor), self.arrival)
        running = engine()
        end_with_server()
        if running.draining:
            raise Refusal(_going_away())
        self.visitor = visitor = Visitor(
            running,
            who.actor,
            Mode.STREAM,
            self.sink,
            origin=origin,
            address=self.arrival.address,
        )
        entered = await self._enter(visitor, asked)
        limits = await limits_of(visitor)
        # Nothing is awaited from here to `go`, so that no change comes in between.
        rooms = {slug: room_joined(found) for slug, found in entered.items()}
        refused = [entry.error for entry in rooms.values() if entry.error is not None]
        if len(refused) == len(rooms):
            raise Refusal(refused[0])
        headers = _HEADERS | cors_headers(self.scope)
        if self.scope["method"] == "HEAD":
            await self._answer(HttpResponse(headers=headers))
            return
        visitor.tell(welcome(visitor, rooms, limits, ticket=who.by == "ticket"))
        visitor.arrived()
        for found in entered.values():
            if isinstance(found, Entrance) and not found.watch.ended:
                if found.reset is not None:
                    visitor.tell(found.reset)
                running.node.go(visitor.connection, found.watch.room_id)
        retry_ms = RETRY_FROM_MS + secrets.randbelow(RETRY_TO_MS - RETRY_FROM_MS + 1)
        await self.sink.begin(_encoded(headers.items()), retry_ms=retry_ms)

    async def _identify(self, asked: StreamRequest, origin: str) -> Identity:
        """Return who reads: by ticket, as the project knows them, or as a guest."""
        if asked.ticket is not None:
            try:
                actor = await redeem_ticket(asked.ticket, origin=origin)
            except TicketRefused:
                raise Refusal(error(Code.TICKET_REFUSED)) from None
            return Identity(actor, "ticket")
        known = await known_in_scope(self.scope)
        if known is not None:
            return known
        visiting = guest(asked.guest)
        if visiting is None:
            raise NotAuthenticated
        return Identity(visiting, "guest")

    async def _enter(
        self,
        visitor: Visitor,
        asked: StreamRequest,
    ) -> dict[str, Entrance | Error]:
        """Begin to watch the rooms; their events wait for `go`."""
        epochs: dict[str, str] = {}
        if asked.positions is not None:
            epochs = await visitor.engine.reader.run(_epochs, asked.rooms)
        entered: dict[str, Entrance | Error] = {}
        for slug, place in asked.places(epochs).items():
            found = await come_in(visitor, slug, place, make=False)
            if isinstance(found, Deny):
                entered[slug] = denied(found)
                continue
            entered[slug] = found
            # No place until a reset is told: whoever is cut off before is told again.
            if found.reset is None:
                self.sink.positions.move(slug, found.watch.position, found.epoch)
        return entered

    # --- ending ---

    async def _end(self, ending: Close) -> None:
        """End the answer, once what was said before is out."""
        try:
            async with asyncio.timeout(END_SECONDS):
                if not self.sink.begun:
                    going = ending is Close.GOING_AWAY
                    await self._refuse(
                        Refusal(_going_away()) if going else NotAuthenticated(),
                    )
                    return
                if self.visitor is not None:
                    self.sink.flush(self.visitor.connection.outbox)
                    await self.sink.drained()
                await self.sink.close()
                await self._send({"type": "http.response.body", "body": self._retry()})
        except (TimeoutError, _Gone):
            logger.debug("end_not_delivered ending=%d", ending)

    def _retry(self) -> bytes:
        """Return when to come back, where the server says it at the end."""
        retry_ms = None if self.visitor is None else self.visitor.back_in_ms
        return b"" if retry_ms is None else b"retry: %d\n\n" % retry_ms

    async def _refuse(self, reason: Exception) -> None:
        """Answer with a problem instead of a stream."""
        request = self._request()
        response = failed(request, reason)
        let_read(request, response)
        await self._answer(response)

    async def _answer(self, response: HttpResponseBase) -> None:
        """Answer whole."""
        if self.visitor is not None:
            self.visitor.connection.task = None  # it is ending already
        body = response.content if isinstance(response, HttpResponse) else b""
        if self.scope["method"] == "HEAD":
            body = b""
        elif body:
            response["Content-Length"] = str(len(body))
        await self._send(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": _encoded(response.items()),
            },
        )
        await self._send({"type": "http.response.body", "body": body})

    def _request(self) -> ASGIRequest:
        """Return what Django makes of the request; not kept, as it is large."""
        return ASGIRequest(self.scope, BytesIO())

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        try:
            await self.send(message)
        except (OSError, RuntimeError) as exc:
            # Servers say that a client is gone with an OSError (ASGI 2.4) or a
            # RuntimeError.
            raise _Gone from exc


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers]


def _check(failure: Error | None, arrival: Arrival) -> None:
    """Raise `Refusal` for somebody who may not open a stream now."""
    if failure is not None:
        raise Refusal(failure, decisions=arrival.decisions)


def _going_away() -> Error:
    text = "The server is going away."
    return error(Code.UNAVAILABLE, text, retry_after_ms=RETRY_MS)


def _epochs(rooms: Iterable[str]) -> dict[str, str]:
    """Return the epochs of the rooms that there are; asks the database."""
    found = Room.objects.filter(slug__in=list(rooms))
    return dict(found.values_list("slug", "epoch"))
