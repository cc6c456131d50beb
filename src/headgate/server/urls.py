"""The URLs of the stand-alone server: the page, signing in, the admin, health."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

__all__ = ["urlpatterns"]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("headgate.urls")),
]
