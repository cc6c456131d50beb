"""CORS: which pages of other origins may read what the chat answers.

The same origins may that may open a WebSocket: `ALLOWED_ORIGINS`, exactly. Others get
no header of CORS at all, and so their browsers keep the answer from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers

from headgate.chat.http.descriptor import CONNECT_HEADER
from headgate.chat.identity import GUEST_HEADER
from headgate.chat.origin import header, origin_allowed

__all__ = ["EXPOSED", "cors_headers", "let_read", "preflight_headers", "scope_of"]

# What pages may read of an answer besides its body, and send besides their own.
EXPOSED = (
    f"{CONNECT_HEADER}, {GUEST_HEADER}, Location, RateLimit, RateLimit-Policy, "
    "Retry-After"
)
_TAKEN = f"Authorization, Content-Type, {GUEST_HEADER}, Last-Event-ID, X-CSRFToken"
# How long a browser may remember what a preflight said, in seconds: so long a page
# can go on asking after its origin was taken from the list.
_MAX_AGE = "600"


def cors_headers(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of an answer that say whether a page may read it.

    Args:
        scope: An ASGI scope, or any mapping with its `headers` (pairs of bytes, names
            in lower case) and its `scheme`.

    Returns:
        `Vary: Origin` always, and the rest where the request has one Origin and it is
        allowed. Where an answer has a `Vary` already, join the two.
    """
    headers = {"Vary": "Origin"}
    if header(scope, b"origin") and origin_allowed(scope, by_cookie=False):
        headers |= {
            "Access-Control-Allow-Origin": header(scope, b"origin")[0],
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": EXPOSED,
        }
    return headers


def preflight_headers(scope: Mapping[str, Any], methods: str) -> dict[str, str]:
    """Return the headers of the answer to an OPTIONS request, to be sent with 204.

    Args:
        scope: As `cors_headers` takes it.
        methods: What the path takes, such as `"GET, POST"`.
    """
    headers = cors_headers(scope) | {"Allow": methods}
    if "Access-Control-Allow-Origin" in headers:
        del headers["Access-Control-Expose-Headers"]  # belongs to answers
        headers |= {
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": _TAKEN,
            "Access-Control-Max-Age": _MAX_AGE,
        }
    return headers


def let_read(request: HttpRequest, response: HttpResponseBase) -> None:
    """Put the headers of CORS into the answer of a view."""
    for name, value in cors_headers(scope_of(request)).items():
        if name == "Vary":
            patch_vary_headers(response, [value])
        else:
            response[name] = value


def scope_of(request: HttpRequest) -> Mapping[str, Any]:
    """Return a request's scope; of one that came by WSGI, what stands for it."""
    scope = getattr(request, "scope", None)
    if scope is not None:
        return dict(scope)
    return {
        "scheme": request.scheme,
        "headers": [
            (name.lower().encode(), value.encode("latin-1", "replace"))
            for name, value in request.headers.items()
        ],
    }
