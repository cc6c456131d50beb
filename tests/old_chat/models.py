"""Tables that look like those of other chats."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models


class Chat(models.Model):
    """A room of the old chat."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=200)
    slug = models.CharField(max_length=80, blank=True)

    class Meta:
        app_label = "old_chat"

    def __str__(self) -> str:
        return self.name


class Messages(models.Model):
    """A message with about everything that tables have."""

    id = models.BigAutoField(primary_key=True)
    chat = models.ForeignKey(Chat, null=True, on_delete=models.CASCADE)
    place = models.CharField(max_length=200, blank=True)
    message = models.TextField(null=True)  # noqa: DJ001 - as tables are
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL
    )
    nick = models.CharField(max_length=200, blank=True)
    number = models.IntegerField(default=0)
    created = models.DateTimeField(null=True)
    day = models.DateField(null=True)

    class Meta:
        app_label = "old_chat"

    def __str__(self) -> str:
        return self.message or ""


class NoteManager(models.Manager["Note"]):
    """Notes that are not hidden."""

    def get_queryset(self) -> models.QuerySet[Note]:
        return super().get_queryset().filter(hidden=False)


class Note(models.Model):
    """A text and hardly anything else, with a primary key that is no number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    text = models.TextField()
    hidden = models.BooleanField(default=False)

    objects = NoteManager()

    class Meta:
        app_label = "old_chat"

    def __str__(self) -> str:
        return self.text
