"""The HTTP URLs of Headgate, for a project's `include("headgate.urls")`.

The page is among them where `headgate.web` is installed, and what services post to
where `headgate.outbound` is.
"""

from __future__ import annotations

from django.apps import apps
from django.urls import URLPattern, URLResolver, include, path

__all__ = ["urlpatterns"]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("headgate.chat.http.urls")),
]
if apps.is_installed("headgate.outbound"):
    urlpatterns.append(path("", include("headgate.outbound.http.incoming_urls")))
if apps.is_installed("headgate.web"):
    urlpatterns.append(path("", include("headgate.web.urls")))
