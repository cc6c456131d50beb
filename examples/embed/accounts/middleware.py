"""A middleware as many projects have them: synchronous, and using the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.models import User

EVERY = timedelta(minutes=5)


class SeenMiddleware:
    """Notes when somebody was last seen."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Note it, at most every five minutes."""
        user, now = request.user, timezone.now()
        if isinstance(user, User) and (
            user.last_seen is None or now - user.last_seen > EVERY
        ):
            User.objects.filter(pk=user.pk).update(last_seen=now)
        return self.get_response(request)
