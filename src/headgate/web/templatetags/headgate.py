"""`{% load headgate %}{% headgate_chat "general" %}`: a chat in any template."""

from __future__ import annotations

from typing import Any

from django import template
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, TemplateSyntaxError

from headgate.chat.models import Room
from headgate.protocol.codec import is_room_slug
from headgate.protocol.fields import ROOM_RULE
from headgate.web.chat_element import chat_context

__all__ = ["headgate_chat", "register"]

register = template.Library()


@register.inclusion_tag("headgate_web/embedded.html", takes_context=True)
def headgate_chat(context: Context, room: Any) -> dict[str, Any]:
    """Show a room's chat: its style, the element, and the script that brings it up.

    Nothing is written, and no room is made: whether it is there, and for this person,
    the connection says. Whoever would have to sign in first gets a link to that. More
    than one on a page is fine; browsers run the script once.

    Args:
        context: The template's; it needs the request.
        room: A slug, or a `Room`.

    Raises:
        TemplateSyntaxError: `room` is neither.
        ImproperlyConfigured: There is no request in the context, or the chat's URLs
            are not among the project's.
    """
    request = getattr(context, "request", None) or context.get("request")
    if request is None:
        raise ImproperlyConfigured(
            "{% headgate_chat %} needs the request: render the template with "
            "render(request, …), or put it into the context as `request`.",
        )
    return chat_context(request, _slug_of(room))


def _slug_of(room: Any) -> str:
    slug = room.slug if isinstance(room, Room) else room
    if isinstance(slug, str) and is_room_slug(slug):
        return slug
    if slug in {"", None}:  # what Django makes of a variable that is not there
        raise TemplateSyntaxError(
            "{% headgate_chat %} got no room: pass a slug, such as "
            '{% headgate_chat "general" %}, or a Room. Is the variable in the context?',
        )
    raise TemplateSyntaxError(
        f"{{% headgate_chat %}} got {room!r}, which names no room: pass a slug or a "
        f"Room, such as that of headgate.room_for(order). {ROOM_RULE}.",
    )
