"""The page: the list of rooms, one room, signing in and out.

A GET writes nothing. The page knows rooms by their titles only; messages, and the
rooms that are made by joining, come over the WebSocket.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import LoginView, LogoutView, redirect_to_login
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import get_script_prefix, reverse, reverse_lazy
from django.views.decorators.http import require_safe

from headgate.chat.conf import conf
from headgate.chat.models import Room
from headgate.chat.people import Actor, actor_for, new_guest
from headgate.chat.permissions import Deny, can, permissions
from headgate.protocol.codec import is_room_slug
from headgate.web.headers import guarded

__all__ = ["home", "room", "sign_in", "sign_out"]

MAX_LISTED = 100  # rooms in the list


@guarded
@require_safe
def home(request: HttpRequest) -> HttpResponseBase:
    """Show the rooms; with `?room=` go to one by its name."""
    actor = _actor(request)
    if actor is None:
        return _to_sign_in(request)
    wanted = request.GET.get("room", "").strip()
    if is_room_slug(wanted):
        return redirect("headgate_web:room", room=wanted)
    context = _context(actor) | {"wanted": wanted}
    status = 400 if wanted else 200
    return render(request, "headgate_web/home.html", context, status=status)


@guarded
@require_safe
def room(request: HttpRequest, room: str) -> HttpResponseBase:
    """Show a room.

    Whether it is there, and for this person, the WebSocket says: a guest is known
    to it alone, and joining may make the room.
    """
    actor = _actor(request)
    if actor is None:
        return _to_sign_in(request)
    context = _context(actor)
    found = Room.objects.filter(slug=room).first()
    hidden = found is None or isinstance(can(actor, "watch", found), Deny)
    current = Room(slug=room) if found is None or hidden else found
    if all(listed.slug != room for listed in context["rooms"]):
        context["rooms"].insert(0, current)
    context["room"] = current
    context["page"]["room"] = room
    context["page"]["socket"] = f"{get_script_prefix()}ws/chat/"
    return render(request, "headgate_web/room.html", context)


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

    Any guest will do: which one it is, the browser tells the WebSocket.
    """
    if request.user.is_authenticated:
        return actor_for(request.user)
    return new_guest(None) if conf().GUESTS else None


def _to_sign_in(request: HttpRequest) -> HttpResponseBase:
    there = reverse("headgate_web:sign-in")
    return redirect_to_login(request.get_full_path(), there)


def _context(actor: Actor) -> dict[str, Any]:
    """Return what every page with the list of rooms shows."""
    rooms = permissions().rooms(actor).order_by("slug")[:MAX_LISTED]
    return {
        "actor": actor,
        "rooms": list(rooms),
        "makes_rooms": conf().MAKE_ROOMS,
        "page": {
            "guest": actor.user is None,
            "name": actor.name if actor.user else None,
        },
    }
