"""The URLs to which services post."""

from __future__ import annotations

from django.urls import path

from headgate.outbound.http.incoming_view import incoming

__all__ = ["urlpatterns"]

urlpatterns = [path("hooks/<str:key>/", incoming, name="headgate-incoming")]
