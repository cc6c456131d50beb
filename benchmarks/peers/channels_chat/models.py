"""One table, as in the recipe."""

from __future__ import annotations

from django.db import models


class Messages(models.Model):
    """A message that was said in a chat."""

    chat_id = models.CharField(max_length=100)
    message = models.TextField()
    created = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.message
