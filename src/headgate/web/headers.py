"""What the page tells browsers to forbid: a second wall behind escaping."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from headgate.chat.profiles import has_profiles

__all__ = ["guarded"]

View = Callable[..., HttpResponseBase]


def guarded(view: View) -> View:
    """Return a view whose answers carry the page's security headers.

    They are set here and not by middleware, so that the page is as safe in any
    project, and the project's other views stay as they are.
    """

    @wraps(view)
    def guarded_view(
        request: HttpRequest,
        *args: Any,
        **kwargs: Any,
    ) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response["Content-Security-Policy"] = _policy(request.get_host())
        response["X-Content-Type-Options"] = "nosniff"
        response["Referrer-Policy"] = "same-origin"
        return response

    return guarded_view


def _policy(host: str) -> str:
    """Return the Content-Security-Policy; `host` is one of ALLOWED_HOSTS."""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            # The project says where people's pictures are.
            "img-src 'self' https:" if has_profiles() else "img-src 'self'",
            # Not every browser counts WebSockets to the own host as 'self'.
            f"connect-src 'self' ws://{host} wss://{host}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            # The script sets text as text only; this turns a slip into an error, and
            # leaves it no way to call a string trusted.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ],
    )
