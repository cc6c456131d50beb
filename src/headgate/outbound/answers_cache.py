"""Answers of a bot that are said again for an equal question, without calling it.

They are kept in Django's cache framework, under a digest of the key: what people ask
stands in no name of a key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from django.core.cache import caches

from headgate.chat.hooks import RoomEvent

__all__ = ["Answer", "AnswersCache"]

# What a bot said, one after the other: arguments of `Reply.send`.
Answer = list[dict[str, Any]]


class AnswersCache:
    """The answers of one bot.

    Args:
        bot: Its name.
        key_of: Returns a key for a message, or None where it has to be asked.
        seconds: How long an answer is kept.
        name: The name in CACHES.
    """

    def __init__(
        self,
        bot: str,
        key_of: Callable[[RoomEvent], str | None],
        seconds: float,
        name: str,
    ) -> None:
        self._bot = bot
        self._key_of = key_of
        self._seconds = seconds
        self._name = name

    def key(self, event: RoomEvent) -> str | None:
        """Return under which name the answer to a message is kept, or None."""
        given = self._key_of(event)
        if given is None:
            return None
        digest = hashlib.sha256(f"{self._bot}\0{given}".encode()).hexdigest()
        return f"headgate.answer.{digest}"

    async def get(self, key: str) -> Answer | None:
        """Return what was said, or None."""
        found: Answer | None = await caches[self._name].aget(key)
        return found

    async def keep(self, key: str, answer: Answer) -> None:
        """Keep what was said."""
        await caches[self._name].aset(key, answer, self._seconds)
