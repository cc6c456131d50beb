"""Moderating over HTTP: what the tests of it share."""

from __future__ import annotations

from typing import Any

import httpx
from django.contrib.auth.models import User

from headgate.chat import actions
from headgate.chat.models import Event, Member, Room
from tests.chat.http.browsers import Browsers
from tests.chat.talker import in_thread

__all__ = ["MEMBERS", "change", "events", "key", "moderator", "row", "writes"]

MEMBERS = "/api/v1/rooms/general/members"


def key(user: User) -> str:
    return f"u:{user.pk}"


def writes(room: Room | str, who: Any, text: str = "hi") -> Any:
    return actions.send_message(room, who, text)


def row(who: str) -> Member | None:
    return Member.objects.filter(room__slug="general", author_key=who).first()


def events() -> list[tuple[str, str]]:
    """Return what was done to whom in the room, as the log has it."""
    rows = Event.objects.filter(kind=Event.Kind.MEMBERSHIP).order_by("seq")
    return [(each.details["change"], each.details["member"]["id"]) for each in rows]


async def moderator(browse: Browsers, user: User, role: str = "moderator") -> Any:
    """Return the browser of somebody who moderates the room from now on."""
    await in_thread(actions.add_member, "general", user, role=role)
    return await browse(user)


async def change(browser: httpx.AsyncClient, who: str, **wanted: Any) -> httpx.Response:
    return await browser.patch(f"{MEMBERS}/{who}", json=wanted)
