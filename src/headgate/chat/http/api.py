"""The HTTP API under `/api/v1/`: the commands of the wire, one request each.

Each operation finds out who asks, decodes a command, and answers in the words of the
wire. What is no operation's own the door does for all of them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, re_path
from django.utils.module_loading import autodiscover_modules
from django.views.decorators.http import require_http_methods
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from pydantic import WithJsonSchema

from headgate.chat import storage
from headgate.chat.entries import Known, Written
from headgate.chat.http import examples
from headgate.chat.http.commands import (
    asked,
    body_of,
    connect_of,
    member_change_of,
    number,
    numbers_in,
    room_change_of,
    told,
)
from headgate.chat.http.descriptor import connected, descriptor_for
from headgate.chat.http.docs_page import OwnSwagger
from headgate.chat.http.door import (
    admission,
    admitted,
    answer,
    door,
    present_guest,
)
from headgate.chat.http.failures import failed
from headgate.chat.http.members import (
    change_member,
    find_present,
    members_shown,
    room_to_moderate,
)
from headgate.chat.http.openapi import (
    AUTHOR_ID,
    components,
    described,
    security,
    shown_as,
)
from headgate.chat.http.posting import change, post, saved_at, stop
from headgate.chat.http.reading import (
    events_read,
    messages_read,
    rights_of,
    room_shown,
    rooms_shown,
)
from headgate.chat.http.room_changes import set_slow_mode
from headgate.chat.http.schemas import Limits, Posted
from headgate.chat.identity import Identity, renamed
from headgate.chat.limits_told import limits_told
from headgate.protocol.codec import BadCommand, error, is_author_id, is_room_slug
from headgate.protocol.codes import Code
from headgate.protocol.commands import Cancel, Delete, Edit, History, Join, Send
from headgate.protocol.fields import AUTHOR_ID_RULE, ROOM_RULE

__all__ = ["api"]

_DESCRIPTION = """\
Chat over HTTP, for whoever has no WebSocket. Everything is as over the WebSocket:
rights, limits, errors, and one message for one `client_id`, whichever way it came.

Who asks is known by the project's own authenticators, by the session cookie, or as a
guest by the header `Headgate-Guest`. With a cookie, a request that changes something
needs Django's CSRF token. Every refusal is `application/problem+json`, with the `code`
of the wire.
"""

RoomInPath = Annotated[str, shown_as(History, "room")]
IdInPath = Annotated[str, WithJsonSchema(AUTHOR_ID)]
SeqInPath = Annotated[str, shown_as(Edit, "target")]
_LIMIT = ("limit", "At most so many; 50 if it is left out.")
_FORBIDDEN = (Code.FORBIDDEN, Code.BANNED, Code.NOT_FOUND)
_UNSAFE = (Code.CSRF_FAILED, Code.TOO_LARGE, Code.BINARY, Code.OVERLOADED)


class _Api(NinjaAPI):
    """django-ninja's API, with every URL behind the door."""

    @property
    def urls(self) -> tuple[list[URLResolver | URLPattern], str, str]:
        """Return the URLs; whatever else is below them is a problem too."""
        patterns, app_name, namespace = super().urls
        behind = [
            URLPattern(each.pattern, _behind(each), each.default_args, each.name)
            for each in patterns
            if isinstance(each, URLPattern)
        ]
        return [*behind, re_path("", door(_nothing))], app_name, namespace

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """Return an operation's name for programs: that of its function."""
        return str(operation.view_func.__name__)

    def get_openapi_schema(self, **given: Any) -> OpenAPISchema:
        """Return the description, with the schemas that it refers to."""
        schema = super().get_openapi_schema(**given)
        for operation in (o for p in schema["paths"].values() for o in p.values()):
            # Without those that django-ninja makes up where none is 200.
            operation["responses"] = {
                status: said
                for status, said in operation["responses"].items()
                if "content" in said
            }
        schema["components"] = components()
        schema["security"] = security()
        return schema


def _behind(pattern: URLPattern) -> Any:
    """Return a pattern's view behind the door; ninja's own ones take any method."""
    own = {"openapi-json", "openapi-view", "api-root"}
    view = pattern.callback
    return door(require_http_methods(["GET"])(view) if pattern.name in own else view)


async def _nothing(_: HttpRequest) -> HttpResponse:
    raise Http404


api = _Api(
    title="Headgate",
    version="1",
    description=_DESCRIPTION,
    docs=OwnSwagger(),
    # As it is mounted: below the app's own namespace.
    urls_namespace="headgate_chat:headgate_api",
)
for _kind in (Exception, Http404, HttpError, ValidationError):  # all that ninja has
    api.add_exception_handler(_kind, failed)  # type: ignore[arg-type] # never a class


@api.post(
    "/connect",
    **described(
        "Get a ticket to open a WebSocket with",
        {200: ("What it takes to connect.", examples.CONNECTED)},
        *_UNSAFE,
        body=("Connect", examples.CONNECT),
    ),
)
async def connect(request: HttpRequest) -> HttpResponse:
    """Return a descriptor: where to connect, a ticket, and the rooms to join.

    Whether the caller may join them is decided when they do.
    """
    body = body_of(request)
    who = await admission(request)
    wanted = await who.decoded(lambda: connect_of(body))
    await who.admit("connect")
    visitor = renamed(who.identity, wanted.name)
    found = descriptor_for(request, visitor, wanted.rooms)
    return answer(await connected(found, visitor, who.gate))


@api.get(
    "/limits",
    **described(
        "Get what is left of one's limits",
        {200: ("The policies that apply, and what is left.", examples.LIMITS)},
        *_FORBIDDEN,
        query={"room": ("room", "With those of this room, too.")},
    ),
)
async def limits(request: HttpRequest) -> HttpResponse:
    """Return the policies that apply to the caller; to ask costs nothing.

    Commands have one limit for each connection and one for all requests, which is
    told here.
    """
    who = await admission(request)
    rooms = []
    if "room" in request.GET:
        slug = asked(Join, room=request.GET["room"]).room
        rooms = [await storage.read(rights_of, who.actor, slug)]
    return answer(Limits(limits=await limits_told(who.gate, rooms)))


@api.get(
    "/rooms",
    **described(
        "List rooms",
        {200: ("A page of rooms, by their names.", examples.ROOMS)},
        query={
            "after": ("room", "Go on after this room: `next` of the page before."),
            "limit": _LIMIT,
        },
    ),
)
async def list_rooms(request: HttpRequest) -> HttpResponse:
    """Return the rooms that the caller may see, a page at a time."""
    actor = (await admitted(request)).actor
    after = request.GET.get("after")
    if after is not None and not is_room_slug(after):
        raise BadCommand(
            error(Code.BAD_COMMAND, f"`after`: {ROOM_RULE}.", field="after")
        )
    # The limit is that of a page of history.
    limit = asked(History, room="any", **numbers_in(request, "limit")).limit
    shown = await storage.read(rooms_shown, actor, after=after, limit=limit)
    return answer(shown)


@api.get(
    "/rooms/{room}",
    **described(
        "Look at a room",
        {200: ("The room as it stands.", examples.ROOM)},
        *_FORBIDDEN,
    ),
)
async def show_room(request: HttpRequest, room: RoomInPath) -> HttpResponse:
    """Return a room as it stands for the caller. It is not made by that."""
    actor = (await admitted(request)).actor
    slug = asked(Join, room=room).room
    return answer(await storage.read(room_shown, actor, slug))


@api.patch(
    "/rooms/{room}",
    **described(
        "Set a room's slow mode",
        {200: ("The room as it stands now.", examples.SLOW_ROOM)},
        *_FORBIDDEN,
        *_UNSAFE,
        body=("RoomChange", examples.SLOW_MODE),
    ),
)
async def change_room(request: HttpRequest, room: RoomInPath) -> HttpResponse:
    """Have people wait between two messages; for moderators, who need not wait.

    From 1 second to 6 hours, or 0 for no slow mode. Whoever is there is told by a
    `room` push.
    """
    body = body_of(request)
    actor = (await admitted(request)).actor
    slug = asked(Join, room=room).room
    wanted = room_change_of(body)
    return answer(await storage.read(set_slow_mode, actor, slug, wanted.slow_mode_ms))


@api.get(
    "/rooms/{room}/members",
    **described(
        "List who moderates, is muted or banned",
        {200: ("A page of people, by their ids.", examples.MEMBERS)},
        *_FORBIDDEN,
        query={
            "after": (AUTHOR_ID, "Go on after this id: `next` of the page before."),
            "limit": _LIMIT,
        },
    ),
)
async def list_members(request: HttpRequest, room: RoomInPath) -> HttpResponse:
    """Return those who stand out in a room, a page at a time; for its moderators.

    In a room of members those are all of them.
    """
    actor = (await admitted(request)).actor
    slug = asked(Join, room=room).room
    after = request.GET.get("after")
    if after is not None and not is_author_id(after):
        raise BadCommand(
            error(Code.BAD_COMMAND, f"`after`: {AUTHOR_ID_RULE}.", field="after")
        )
    limit = asked(History, room="any", **numbers_in(request, "limit")).limit
    found = await storage.read(members_shown, actor, slug, after=after, limit=limit)
    return answer(found)


@api.patch(
    "/rooms/{room}/members/{id}",
    **described(
        "Mute or ban somebody, or let them go",
        {200: ("How they stand now.", examples.MUTED)},
        *_FORBIDDEN,
        *_UNSAFE,
        body=("MemberChange", examples.MUTE),
    ),
)
async def moderate_member(
    request: HttpRequest,
    room: RoomInPath,
    id: IdInPath,  # noqa: A002 - the wire's word
) -> HttpResponse:
    """Say whether somebody may write in a room, and whether they may be there.

    For moderators, about those who do not moderate the room; an owner may do it to
    moderators, too. Everybody in the room is told by a `membership` push.
    """
    body = body_of(request)
    actor = (await admitted(request)).actor
    slug = asked(Join, room=room).room
    wanted = member_change_of(body)
    room_id = await storage.read(room_to_moderate, actor, slug)
    here = find_present(room_id, id)
    return answer(await storage.read(change_member, actor, room_id, id, wanted, here))


@api.get(
    "/rooms/{room}/messages",
    **described(
        "Read messages as they are now",
        {200: ("A page of messages, in ascending order.", examples.MESSAGES)},
        *_FORBIDDEN,
        query={
            "before": ("before", "The last ones before this seq."),
            "after": ("after", "The first ones after this seq."),
            "limit": _LIMIT,
        },
    ),
)
async def list_messages(request: HttpRequest, room: RoomInPath) -> HttpResponse:
    """Return a page of messages: the last ones, or those before or after a seq.

    `head` is the room's last event when they were read: whoever joins with
    `after: head` misses nothing.
    """
    actor = (await admitted(request, "history")).actor
    where = numbers_in(request, "before", "after", "limit")
    command = asked(History, room=room, **where)
    return answer(await storage.read(messages_read, actor, command))


@api.post(
    "/rooms/{room}/messages",
    **described(
        "Post a message",
        {
            201: ("It is saved.", examples.POSTED),
            200: ("It was saved before, by this `client_id`.", examples.POSTED),
        },
        *_FORBIDDEN,
        *_UNSAFE,
        Code.MUTED,
        Code.ID_CONFLICT,
        body=("SendBody", examples.SEND),
    ),
)
async def post_message(request: HttpRequest, room: RoomInPath) -> HttpResponse:
    """Write a message; the answer comes when it is saved.

    The same `client_id` again gives the first seq, whichever door it came by.
    """
    body = body_of(request)
    who = await admission(request)
    # By requests nothing grows: `open` is a field that is not known here.
    command = await who.decoded(lambda: told(Send, body, room=room, open=False))
    verdict = await post(who, command)
    response = _saved(who.identity, verdict, command.client_id)
    if isinstance(verdict, Written):
        response.status_code = HTTPStatus.CREATED
        response["Location"] = f"{request.path}/{verdict.push.seq}"
    return response


@api.patch(
    "/rooms/{room}/messages/{seq}",
    **described(
        "Edit a message",
        {200: ("The edit's place in the log.", examples.CHANGED)},
        *_FORBIDDEN,
        *_UNSAFE,
        Code.MUTED,
        body=("EditBody", examples.EDIT),
    ),
)
async def edit_message(
    request: HttpRequest, room: RoomInPath, seq: SeqInPath
) -> HttpResponse:
    """Replace the text of a message.

    An edit that changes nothing gives the earlier seq.
    """
    body = body_of(request)
    who = await admission(request)
    command = await who.decoded(lambda: told(Edit, body, room=room, target=number(seq)))
    return _saved(who.identity, await change(who, command))


@api.delete(
    "/rooms/{room}/messages/{seq}",
    **described(
        "Delete a message",
        {200: ("The deletion's place in the log.", examples.CHANGED)},
        *_FORBIDDEN,
        Code.CSRF_FAILED,
        Code.OVERLOADED,
        Code.MUTED,
    ),
)
async def delete_message(
    request: HttpRequest, room: RoomInPath, seq: SeqInPath
) -> HttpResponse:
    """Delete a message: its text is blanked, its seq stays.

    What is deleted already gives the first deletion's seq.
    """
    who = await admission(request)
    command = await who.decoded(lambda: asked(Delete, room=room, target=number(seq)))
    return _saved(who.identity, await change(who, command))


@api.post(
    "/rooms/{room}/messages/{seq}/cancel",
    **described(
        "End a growing message",
        {200: ("The end's place in the log.", examples.CHANGED)},
        *_FORBIDDEN,
        Code.NOT_GROWING,
        Code.CSRF_FAILED,
        Code.OVERLOADED,
    ),
)
async def cancel_message(
    request: HttpRequest, room: RoomInPath, seq: SeqInPath
) -> HttpResponse:
    """End a message that somebody's program is still writing, with what it has.

    Its author may, those who may delete it, and the author of the message it answers.
    """
    who = await admission(request)
    command = await who.decoded(lambda: asked(Cancel, room=room, seq=number(seq)))
    return _saved(who.identity, await stop(who, command))


@api.get(
    "/rooms/{room}/events",
    **described(
        "Read events as they happened",
        {200: ("A page of events, in ascending order.", examples.EVENTS)},
        *_FORBIDDEN,
        query={
            "after": ("after", "After this seq; from the first on if it is left out."),
            "to": ("to", "Up to this seq; up to the last if it is left out."),
            "limit": _LIMIT,
        },
    ),
)
async def list_events(request: HttpRequest, room: RoomInPath) -> HttpResponse:
    """Return events between two seqs: what fills a `gap`."""
    actor = (await admitted(request, "history")).actor
    where = numbers_in(request, "after", "to", "limit")
    command = asked(History, room=room, of="events", **where)
    return answer(await storage.read(events_read, actor, command))


def _saved(
    identity: Identity,
    verdict: Written | Known,
    client_id: str | None = None,
) -> HttpResponse:
    """Return where an event stands, and for a guest who they are."""
    seq, at = saved_at(verdict)
    response = answer(Posted(seq=seq, at=at, client_id=client_id))
    return present_guest(response, identity)


autodiscover_modules("headgate_api")  # where other apps add operations of theirs
