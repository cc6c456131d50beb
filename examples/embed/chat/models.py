"""Orders, and the chat that the shop had before: a table of messages."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Order(models.Model):
    """Something that somebody bought."""

    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    what = models.CharField(max_length=200)

    def __str__(self) -> str:
        return f"Order {self.pk}"


class Messages(models.Model):
    """The old chat; `manage.py headgate import` brings it in."""

    chat_id = models.CharField(max_length=50)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True
    )
    message = models.TextField()
    created = models.DateTimeField()

    def __str__(self) -> str:
        return self.message[:50]
