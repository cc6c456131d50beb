"""The paths over HTTP."""

from __future__ import annotations

from django.urls import path
from views import page, say

urlpatterns = [path("", page), path("chat/<str:chat_id>/", say)]
