"""The HTTP URLs of Headgate, for a project's `include("headgate.urls")`."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

__all__ = ["urlpatterns"]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("headgate.web.urls")),
]
