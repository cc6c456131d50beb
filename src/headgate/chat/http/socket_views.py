"""The WebSocket's URL over plain HTTP: one URL for both.

A GET answers with the descriptor, which is what it takes to connect. A POST of
`{"message": "hi"}` saves the message first. Whoever made the request is connected by
what comes back.
"""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from headgate.chat import storage
from headgate.chat.entries import Written
from headgate.chat.http.commands import body_of
from headgate.chat.http.descriptor import (
    CONNECT_HEADER,
    as_header,
    connected,
    descriptor_for,
)
from headgate.chat.http.door import (
    admission,
    admitted,
    answer,
    door,
    present_guest,
)
from headgate.chat.http.posting import post, saved_at
from headgate.chat.http.problems import problem
from headgate.chat.http.reading import check_may_join
from headgate.chat.http.schemas import PlainPosted
from headgate.protocol.codec import decode_plain, error
from headgate.protocol.codes import Code
from headgate.protocol.commands import Send

__all__ = ["lobby", "room"]


@door
@require_http_methods(["GET"])
async def lobby(request: HttpRequest) -> HttpResponse:
    """Return the descriptor of a connection that joins rooms by command."""
    if _is_handshake(request):
        return _no_websockets(request)
    who = await admitted(request, "connect")
    found = descriptor_for(request, who.identity, [])
    return answer(await connected(found, who.identity, who.gate))


@door
@require_http_methods(["GET", "POST"])
async def room(request: HttpRequest, room: str) -> HttpResponse:
    """Return the descriptor of a room; with a POST, save a message in it first."""
    if _is_handshake(request):
        return _no_websockets(request)
    return await (_describe if request.method == "GET" else _post)(request, room)


async def _describe(request: HttpRequest, room: str) -> HttpResponse:
    """Answer a GET, which makes no room; joining will."""
    who = await admitted(request, "connect")
    await storage.read(check_may_join, who.actor, room)
    found = descriptor_for(request, who.identity, [room])
    return answer(await connected(found, who.identity, who.gate))


async def _post(request: HttpRequest, room: str) -> HttpResponse:
    """Answer a POST of plain mode's one command."""
    body = body_of(request)
    who = await admission(request)
    plain = await who.decoded(lambda: decode_plain(body))
    send = Send(room=room, text=plain.message, client_id=plain.client_id)
    verdict = await post(who, send)
    identity = who.identity
    seq, at = saved_at(verdict)
    found = descriptor_for(request, identity, [room])
    said = PlainPosted(
        message="Message received and saved.",
        seq=seq,
        at=at,
        client_id=plain.client_id,
        connect=await connected(found, identity, who.gate),
    )
    new = isinstance(verdict, Written)
    response = answer(said, status=HTTPStatus.CREATED if new else HTTPStatus.OK)
    response[CONNECT_HEADER] = as_header(found)
    return present_guest(response, identity)


def _is_handshake(request: HttpRequest) -> bool:
    """Return whether this was to become a WebSocket."""
    return "websocket" in request.headers.get("Upgrade", "").lower()


def _no_websockets(request: HttpRequest) -> HttpResponse:
    """Say why a handshake that is asked of Django goes nowhere."""
    text = (
        "This server passed a WebSocket's handshake to Django as a plain request. "
        "Serve the project by ASGI, with a server that knows WebSockets, such as "
        'uvicorn with `pip install "headgate[server]"`, and mount the chat in '
        "asgi.py: application = headgate.asgi.with_chat(application)."
    )
    status = HTTPStatus.UPGRADE_REQUIRED
    response = problem(error(Code.UNSUPPORTED, text), status=status)
    if hasattr(request, "scope"):
        # RFC 9110, section 15.5.22, asks for it; WSGI forbids it to applications.
        response["Upgrade"] = "websocket"
    return response
