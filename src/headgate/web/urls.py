"""The URLs of the page."""

from __future__ import annotations

from django.urls import path

from headgate.chat.http import converters  # noqa: F401 - registers what the paths use
from headgate.web import views

__all__ = ["app_name", "urlpatterns"]

app_name = "headgate_web"

urlpatterns = [
    path("", views.home, name="home"),
    path("chat/<headgate_room:room>/", views.room, name="room"),
    path("sign-in/", views.sign_in, name="sign-in"),
    path("sign-out/", views.sign_out, name="sign-out"),
]
