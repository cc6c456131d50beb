"""Incoming webhooks: a service posts into a room, as a bot of that room.

A webhook is signed unless somebody chose otherwise: then its URL is all one needs to
post, so whoever reads it in a log may.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from django.db import router, transaction
from msgspec import Meta, Struct

from headgate.chat.actions import (
    NotSent,
    Sent,
    add_member,
    asend_message,
    remove_member,
)
from headgate.chat.models import Member, Room
from headgate.chat.people import Actor, clean_name
from headgate.contrib.throttle import Throttle
from headgate.limits.decision import Verdict
from headgate.limits.policy import Policy
from headgate.outbound.models import IncomingWebhook
from headgate.outbound.signatures import ID, new_secret, verify
from headgate.protocol.codec import BadCommand, error
from headgate.protocol.codes import Code
from headgate.protocol.fields import MAX_CLIENT_ID, MAX_INTEGER, ClientId, Format

__all__ = [
    "Post",
    "counted",
    "delete_hook",
    "hook_actor",
    "hook_of",
    "is_wanted",
    "make_hook",
    "post_of",
    "write_post",
]

POLICY = "incoming"

_MAX_NAME = 150  # characters, of the column
_UNNAMED = "Webhook"  # of whose name nothing can be seen
_KEY_BYTES = 30  # 40 characters in a URL: 240 bits, of which these tell the row
_SHOWN_CHARACTERS = 12
# PostgreSQL takes no U+0000, which a URL may hold.
_is_key = re.compile(r"[A-Za-z0-9_-]+").fullmatch


class Post(Struct, kw_only=True):
    """What a service posts; what else its JSON has is passed over."""

    text: str | None = None
    message: str | None = None  # the same, as plain mode says it
    format: Format = "plain"
    data: dict[str, Any] | None = None
    reply_to: Annotated[int, Meta(ge=1, le=MAX_INTEGER)] | None = None
    client_id: ClientId | None = None


_decode = msgspec.json.Decoder(Post).decode


def make_hook(
    room: Room,
    name: str,
    *,
    signed: bool = True,
    rate: str = "30/min:10",
    created_by: str = "",
) -> IncomingWebhook:
    """Make an incoming webhook; in a room that is not public its bot is a member.

    Args:
        room: Into which it posts.
        name: Of its bot, as people see it; what hides or turns round text is left out.
        signed: Whether each post must be signed, with the row's only secret.
        rate: How often it may post.
        created_by: The key of whoever made it.
    """
    with transaction.atomic(using=router.db_for_write(IncomingWebhook)):
        made = IncomingWebhook.objects.create(
            room=room,
            name=_shown(name),
            key=secrets.token_urlsafe(_KEY_BYTES),
            secrets=[new_secret()] if signed else [],
            rate=rate,
            created_by=created_by,
        )
        if room.kind != Room.Kind.PUBLIC:
            add_member(room, hook_actor(made))
    return made


def delete_hook(hook: IncomingWebhook) -> None:
    """Delete an incoming webhook, and take its bot out of the room."""
    bot = hook_actor(hook)
    members = Member.objects.filter(room=hook.room, author_key=bot.key)
    with transaction.atomic(using=router.db_for_write(IncomingWebhook)):
        if members.exists():
            remove_member(hook.room, bot)
        hook.delete()


def hook_actor(hook: IncomingWebhook) -> Actor:
    """Return the bot as which a webhook posts; other bots do not answer it."""
    # Cleaned again: others than `make_hook` write rows, too.
    return Actor(f"b:hook-{hook.pk}", _shown(hook.name))


def _shown(name: str) -> str:
    return clean_name(name, _MAX_NAME) or _UNNAMED


def hook_of(key: str) -> IncomingWebhook | None:
    """Return the webhook of a key; it takes as long for one that is nearly right."""
    if len(key) <= _SHOWN_CHARACTERS or not _is_key(key):
        return None
    found = IncomingWebhook.objects.select_related("room").filter(
        key__startswith=key[:_SHOWN_CHARACTERS], enabled=True
    )
    given, right = key.encode(), None
    for each in found:
        if hmac.compare_digest(each.key.encode(), given):
            right = each
    return right


def is_wanted(
    hook: IncomingWebhook, headers: Mapping[str, str], body: bytes, now: float
) -> None:
    """Check the signature of a post, where it must have one; raises `NotSigned`."""
    if hook.secrets:
        verify(hook.secrets, headers, body, now)


async def counted(hook: IncomingWebhook) -> Verdict | None:
    """Count a post against the webhook's rate; None where nothing is limited."""
    return await _throttle(hook.rate).adecide(f"{{h:{hook.pk}}}")


def post_of(body: bytes, headers: Mapping[str, str]) -> Post:
    """Return what a post says, with a `client_id` wherever there is one.

    Raises:
        BadCommand: It is nothing that can be posted.
    """
    try:
        post = _decode(body)
    except msgspec.ValidationError as exc:
        raise BadCommand(error(Code.BAD_COMMAND, f"{exc}.")) from None
    except (msgspec.MsgspecError, RecursionError, ValueError):
        text = 'The body is no JSON: send {"text": "…"}.'
        raise BadCommand(error(Code.BAD_COMMAND, text)) from None
    if (post.text is None) == (post.message is None):
        text = 'Send one of `text` and `message`, such as {"text": "…"}.'
        raise BadCommand(error(Code.BAD_COMMAND, text, field="text"))
    call_id = headers.get(ID)
    if post.client_id is None and call_id:
        # The id stays the same when the service tries again: so it is one message.
        if len(call_id) > MAX_CLIENT_ID:
            call_id = hashlib.sha256(call_id.encode()).hexdigest()
        post.client_id = call_id
    return post


async def write_post(hook: IncomingWebhook, post: Post) -> Sent:
    """Write a post into the webhook's room; raises `NotSent`."""
    try:
        return await asend_message(
            hook.room,
            hook_actor(hook),
            post.text or post.message or "",
            client_id=post.client_id,
            format=post.format,
            data=post.data,
            reply_to=post.reply_to,
        )
    except NotSent as exc:
        if exc.code is not Code.NOT_FOUND:
            raise
        text = (
            "The webhook's bot is no member of its room any more: add it, or make "
            "another webhook."
        )
        raise NotSent(error(exc.code, text)) from None


@lru_cache(maxsize=1024)
def _throttle(rate: str) -> Throttle:
    return Throttle([Policy(POLICY, rate, key="webhook")])
