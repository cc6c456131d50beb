"""What services post to: `POST /hooks/<key>/`.

No cookie says who posts, so there is no CSRF to check.
"""

from __future__ import annotations

import time
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods
from msgspec import Struct

from headgate.chat import storage
from headgate.chat.actions import NotSent
from headgate.chat.gate import refusal_error
from headgate.chat.http.door import answer, door
from headgate.chat.http.limited import count_guess, tell_limits
from headgate.chat.http.problems import Refusal
from headgate.outbound.incoming import counted, hook_of, is_wanted, post_of, write_post
from headgate.outbound.signatures import NotSigned
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.pushes import Error

__all__ = ["incoming"]

MAX_BODY_BYTES = 64 * 1024


class Landed(Struct, kw_only=True, omit_defaults=True):
    """Where a post stands in its room."""

    seq: int
    client_id: str | None = None


@door
@require_http_methods(["POST"])
async def incoming(request: HttpRequest, key: str) -> HttpResponse:
    """Write a post into its room.

    Its body is read before anybody knows whether it is wanted: it is what was signed.
    """
    body = _body_of(request)
    hook = await storage.read(hook_of, key)
    if hook is None:
        await count_guess(request)
        raise Refusal(error(Code.NOT_FOUND, "There is no webhook of this key."))
    try:
        is_wanted(hook, request.headers, body, time.time())
    except NotSigned as exc:
        await count_guess(request)
        raise Refusal(error(Code.FORBIDDEN, str(exc))) from None
    verdict = await counted(hook)
    decisions = () if verdict is None else verdict.decisions
    if verdict is not None and verdict.refused is not None:
        raise Refusal(refusal_error(verdict.refused), decisions=decisions)
    post = post_of(body, request.headers)
    try:
        sent = await write_post(hook, post)
    except NotSent as exc:
        failure = error(exc.code, exc.text, retry_after_ms=exc.retry_after_ms)
        raise Refusal(failure, decisions=decisions) from None
    landed = Landed(seq=sent.seq, client_id=post.client_id)
    response = answer(landed, status=HTTPStatus.CREATED)
    tell_limits(response, decisions)
    return response


def _body_of(request: HttpRequest) -> bytes:
    if request.content_type != "application/json":
        text = "Send JSON, with the header `Content-Type: application/json`."
        raise Refusal(error(Code.BINARY, text))
    declared = request.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY_BYTES:
        raise Refusal(_too_large())
    # One that does not tell its size is read no further than is taken.
    body = request.body if declared else request.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise Refusal(_too_large())
    return body


def _too_large() -> Error:
    text = f"The body is too large; at most {MAX_BODY_BYTES} bytes are taken."
    return error(Code.TOO_LARGE, text)
