"""The operations of the HTTP API about a room's incoming webhooks."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from django.http import HttpRequest, HttpResponse
from pydantic import WithJsonSchema

from headgate.chat import storage
from headgate.chat.http.api import RoomInPath, api
from headgate.chat.http.commands import asked, body_of, number
from headgate.chat.http.door import admitted, answer
from headgate.chat.http.openapi import also_describe, described
from headgate.chat.http.problems import Refusal
from headgate.outbound.http import examples, hooks, schemas
from headgate.outbound.http.refusals import FORBIDDEN, UNSAFE
from headgate.outbound.http.wanted import wanted
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.commands import Join

__all__ = ["delete_incoming", "list_incoming", "make_incoming"]

IdInPath = Annotated[str, WithJsonSchema({"type": "integer", "minimum": 1})]

also_describe(schemas.HookMade, schemas.HooksShown, schemas.HookWanted)


@api.get(
    "/rooms/{room}/incoming",
    **described(
        "List a room's incoming webhooks",
        {200: ("The URLs that post into the room.", examples.HOOKS)},
        *FORBIDDEN,
    ),
)
async def list_incoming(request: HttpRequest, room: RoomInPath) -> HttpResponse:
    """Return the incoming webhooks of a room; for its owners."""
    actor = (await admitted(request)).actor
    slug = asked(Join, room=room).room
    found = await storage.read(hooks.hooks_shown, actor, slug, _urls(request))
    return answer(found)


@api.post(
    "/rooms/{room}/incoming",
    **described(
        "Make an incoming webhook",
        {201: ("It is made; URL and secret are shown this once.", examples.HOOK_MADE)},
        *FORBIDDEN,
        *UNSAFE,
        Code.ID_CONFLICT,
        body=("HookWanted", examples.HOOK_WANTED),
    ),
)
async def make_incoming(request: HttpRequest, room: RoomInPath) -> HttpResponse:
    """Make a URL that posts into a room; for its owners.

    Each post must be signed with the secret, as in Standard Webhooks, unless `signed`
    is false: then whoever knows the URL may post.
    """
    body = body_of(request)
    actor = (await admitted(request)).actor
    slug = asked(Join, room=room).room
    given = wanted(schemas.HookWanted, body)
    make = hooks.make_room_hook
    made = await storage.change(make, actor, slug, given, _urls(request))
    return answer(made, status=HTTPStatus.CREATED)


@api.delete(
    "/rooms/{room}/incoming/{id}",
    **described(
        "Delete an incoming webhook",
        {200: ("It is gone; its URL posts no more.", examples.ONE)},
        *FORBIDDEN,
        Code.CSRF_FAILED,
    ),
)
async def delete_incoming(
    request: HttpRequest,
    room: RoomInPath,
    id: IdInPath,  # noqa: A002 - as members have it
) -> HttpResponse:
    """Delete an incoming webhook. What it posted stays."""
    actor = (await admitted(request)).actor
    slug = asked(Join, room=room).room
    wanted_id = number(id)
    if not isinstance(wanted_id, int):
        raise Refusal(error(Code.NOT_FOUND))
    return answer(await storage.change(hooks.delete_hook, actor, slug, wanted_id))


def _urls(request: HttpRequest) -> Callable[[str], str]:
    """Return what makes the URL of a hook from its key, as this request sees it."""
    from django.urls import reverse

    def url_of(key: str) -> str:
        return request.build_absolute_uri(reverse("headgate-incoming", args=[key]))

    return url_of
