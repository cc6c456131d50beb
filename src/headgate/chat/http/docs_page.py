"""The page that shows the API's description, from files of our own.

Swagger UI comes with django-ninja, whose files Django serves where `ninja` is among
INSTALLED_APPS. Nothing is ever loaded from elsewhere, and the page says so to browsers.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from django.apps import apps
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from ninja import NinjaAPI, Swagger

__all__ = ["OwnSwagger"]

_MISSING = """\
The page that shows this API needs files that come with django-ninja.
Add "ninja" to INSTALLED_APPS in the project's settings, and load this page again.
The description itself is at {url}
"""


class OwnSwagger(Swagger):
    """Swagger UI, without a look at any other server."""

    def __init__(self) -> None:
        # The badge of a validator would be loaded from its maker's server.
        super().__init__({"validatorUrl": None})

    def render_page(
        self, request: HttpRequest, api: NinjaAPI, **kwargs: Any
    ) -> HttpResponse:
        """Show the page, or say what is missing for it."""
        url = self.get_openapi_url(api, kwargs)
        if not apps.is_installed("ninja"):
            text = _MISSING.format(url=url)
            return HttpResponse(text, status=501, content_type="text/plain")
        shown = {
            "swagger_settings": json.dumps(self.settings | {"url": url}),
            "api": api,
            "add_csrf": True,  # so that whoever is signed in can try things out
        }
        response = render(request, "ninja/swagger.html", shown)
        response["Content-Security-Policy"] = _policy()
        response["X-Content-Type-Options"] = "nosniff"
        response["Referrer-Policy"] = "same-origin"
        response["Cache-Control"] = "no-store"  # a CSRF token is in it
        return response


def _policy() -> str:
    """Return the Content-Security-Policy, with the place of the static files."""
    parts = urlsplit(static("ninja/swagger-ui.css"))
    files = f"{parts.scheme}://{parts.netloc}" if parts.netloc else "'self'"
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {files}",
            f"style-src {files}",
            f"img-src {files} data:",
            "connect-src 'self'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ],
    )
