"""CSRF: what must come with a cookie that says who somebody is.

A browser sends the cookie whatever page asks it to. So a request that changes
something needs Django's CSRF token as well, and an Origin, or over https a Referer,
that Django trusts. Whoever is known by other means needs none: no other page can make
a browser send a ticket, a token or a guest's header.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.middleware.csrf import CsrfViewMiddleware

from headgate.chat.http.problems import Refusal
from headgate.protocol.codec import error
from headgate.protocol.codes import Code

__all__ = ["check_csrf"]

logger = logging.getLogger("headgate.csrf")


async def check_csrf(request: HttpRequest) -> None:
    """Hold a request to Django's own rules for CSRF, whatever its middleware is.

    Raises:
        Refusal: With `csrf_failed`; the log line `csrf_refused` says why. With
            `bad_command` where the token may be in a form that cannot be read.
    """
    session: Any = getattr(request, "session", None)
    if settings.CSRF_USE_SESSIONS and session is not None:
        await session.ahas_key("")  # loads it, which Django's check does not await
    check = _Check(_no_view)
    check.process_request(request)
    try:
        refused = check.process_view(request, _no_view, (), {})
    except (MultiPartParserError, SuspiciousOperation) as exc:
        raise Refusal(error(Code.BAD_COMMAND, f"{str(exc).rstrip('.')}.")) from exc
    if refused is not None:
        raise Refusal(error(Code.CSRF_FAILED))


def _no_view(_request: HttpRequest) -> HttpResponse:
    """Stand where Django's middleware has a view; it is never called."""
    raise RuntimeError("the check of CSRF calls no view")


class _Check(CsrfViewMiddleware):
    """Django's check, which says in our log why it refuses."""

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        logger.warning(
            "csrf_refused reason=%r origin=%r host=%r path=%r",
            reason,
            request.headers.get("Origin"),
            request.headers.get("Host"),
            request.path,
        )
        return HttpResponse(status=403)
