"""The page: the list of rooms, one room, signing in and out.

A GET writes nothing. The page knows rooms by their titles only; messages, and the
rooms that are made by joining, come over the connection that its script opens.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from headgate.chat.authenticators import NotAuthenticated
from headgate.chat.conf import conf
from headgate.chat.http.descriptor import descriptor
from headgate.chat.models import Room
from headgate.chat.people import Actor, actor_for, new_guest
from headgate.chat.permissions import Deny, can, permissions
from headgate.protocol.codec import is_room_slug
from headgate.web.chat_element import (
    chat_context,
    rooms_context,
    sign_in_url,
    user_of,
)
from headgate.web.headers import guarded

__all__ = ["home", "room", "sign_in", "sign_out"]

MAX_LISTED = 100  # rooms in the list


@guarded
@require_safe
def home(request: HttpRequest) -> HttpResponseBase:
    """Show the rooms; with `?room=` go to one by its name."""
    actor = _actor(request)
    if actor is None:
        return HttpResponseRedirect(sign_in_url(request))
    wanted = request.GET.get("room", "").strip()
    if is_room_slug(wanted):
        return redirect("headgate_web:room", room=wanted)
    context = _context(request, actor) | {"wanted": wanted}
    status = 400 if wanted else 200
    return render(request, "headgate_web/home.html", context, status=status)


@guarded
@require_safe
def room(request: HttpRequest, room: str) -> HttpResponseBase:
    """Show a room.

    Whether it is there, and for this person, the connection says: a guest is known
    to it alone, and joining may make the room.
    """
    actor = _actor(request)
    if actor is None:
        return HttpResponseRedirect(sign_in_url(request))
    context = _context(request, actor)
    found = Room.objects.filter(slug=room).first()
    hidden = found is None or isinstance(can(actor, "watch", found), Deny)
    current = Room(slug=room) if found is None or hidden else found
    if all(listed.slug != room for listed in context["rooms"]):
        context["rooms"].insert(0, current)
    context["room"] = current
    ticket = _descriptor(request, room)
    context |= chat_context(request, room, descriptor=ticket)
    response = render(request, "headgate_web/room.html", context)
    # A page with a ticket must not be kept. One without may be, so that whoever comes
    # back to it finds it as it was.
    kept = {"no_cache": True} if ticket is None else {"no_store": True}
    patch_cache_control(response, private=True, **kept)
    return response


sign_in = guarded(
    LoginView.as_view(
        template_name="headgate_web/sign_in.html",
        next_page=reverse_lazy("headgate_web:home"),
        redirect_authenticated_user=True,
    ),
)
sign_out = guarded(LogoutView.as_view(next_page=reverse_lazy("headgate_web:home")))


def _actor(request: HttpRequest) -> Actor | None:
    """Return who is there, or None where they have to sign in first.

    Any guest will do: which one it is, the browser tells the server later.
    """
    user = user_of(request)
    if user is not None:
        return actor_for(user)
    return new_guest(None) if conf().GUESTS else None


def _context(request: HttpRequest, actor: Actor) -> dict[str, Any]:
    """Return what every page with the list of rooms shows."""
    rooms = permissions().rooms(actor).order_by("slug")[:MAX_LISTED]
    return rooms_context(request) | {
        "actor": actor,
        "rooms": list(rooms),
        "makes_rooms": conf().MAKE_ROOMS,
    }


def _descriptor(request: HttpRequest, room: str) -> dict[str, Any] | None:
    """Return what connects whoever is signed in, without another request.

    A guest is known to the browser alone, and would be somebody new here.
    """
    if user_of(request) is None:
        return None
    try:
        return descriptor(request, [room])
    except NotAuthenticated:  # the project's authenticators know better than the cookie
        return None
