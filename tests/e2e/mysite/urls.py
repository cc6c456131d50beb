"""URLs: the chat at the root, as the documentation has it."""

from __future__ import annotations

from django.urls import include, path

__all__ = ["urlpatterns"]

urlpatterns = [path("", include("headgate.urls"))]
