"""Bots that have a token, and so may connect from elsewhere, in any language.

The token stands in `Authorization: Bearer hgb_…` of HTTP requests and handshakes, and
is shown once: only a digest of it is kept. It is looked up with each request, so that
a bot that is disabled, or has another token, comes in no more.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.db.models.signals import post_delete, post_save

from headgate.chat.access import access_changed
from headgate.chat.people import Actor, clean_name
from headgate.chat.token_people import TokenPeople, know
from headgate.outbound.models import Bot

__all__ = ["bot_actor", "follow_bots", "make_bot"]

_PREFIX = "hgb_"
_TOKEN_BYTES = 32
_MAX_TITLE = 150  # characters, of the column
# Of a token's digest, kept with a connection: it ends when the bot has another token.
_SESSION_CHARACTERS = 32


def make_bot(name: str, title: str = "") -> str:
    """Make a bot that connects from elsewhere, and return its token.

    The token is not kept, so note it now. For a bot that is there it makes another
    one: the old one is good no more, and what was opened with it is closed.

    Args:
        name: Lower case letters, digits, `_` and `-`; at most 60. Its key is `b:name`.
        title: The name that people see; for a bot that is there, empty leaves it.

    Raises:
        ValidationError: The name or the title is none.
    """
    token = f"{_PREFIX}{secrets.token_urlsafe(_TOKEN_BYTES)}"
    using = router.db_for_write(Bot)
    with transaction.atomic(using=using):
        found = Bot.objects.using(using).select_for_update().filter(name=name).first()
        made = found or Bot(name=name)
        made.title = title or made.title
        made.token_digest = _digest(token)
        made.clean_fields()
        if not name.islower():
            raise ValidationError({"name": "Write lower case letters."})
        if name.startswith("hook-"):
            text = "Names that begin with hook- are those of incoming webhooks."
            raise ValidationError({"name": text})
        made.save(using=using)
    return token


def bot_actor(row: Bot) -> Actor:
    """Return as whom a bot acts."""
    session = row.token_digest[:_SESSION_CHARACTERS]
    title = clean_name(row.title, _MAX_TITLE)
    return Actor(f"b:{row.name}", title or row.name, session=session)


def follow_bots() -> None:
    """Know bots by their tokens, and cut those that are disabled, from now on."""
    know(TokenPeople(_PREFIX, "b:", _by_token, _is_good))
    post_save.connect(_changed, Bot, dispatch_uid="headgate.bot_saved")
    post_delete.connect(_changed, Bot, dispatch_uid="headgate.bot_deleted")


def _changed(instance: Bot, **_: Any) -> None:
    access_changed(bot_actor(instance))


def _by_token(token: str) -> Actor | None:
    row = Bot.objects.filter(token_digest=_digest(token), enabled=True).first()
    return None if row is None else bot_actor(row)


def _is_good(actor: Actor) -> bool:
    """Return whether what a bot came in with is still good."""
    name = actor.key.removeprefix("b:")
    row = Bot.objects.filter(name=name, enabled=True).first()
    return row is not None and bot_actor(row).session == actor.session


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
