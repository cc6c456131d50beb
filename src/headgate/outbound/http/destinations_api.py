"""The operations of the HTTP API about a room's destinations and their deliveries."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from django.http import HttpRequest, HttpResponse
from pydantic import WithJsonSchema

from headgate.chat import storage
from headgate.chat.http.api import RoomInPath, api
from headgate.chat.http.commands import asked, body_of, numbers_in
from headgate.chat.http.door import admitted, answer
from headgate.chat.http.openapi import also_describe, described
from headgate.chat.http.problems import Refusal
from headgate.chat.people import Actor
from headgate.outbound.http import deliveries, destinations, examples, schemas
from headgate.outbound.http.refusals import FORBIDDEN, UNSAFE
from headgate.outbound.http.wanted import wanted
from headgate.outbound.models import Delivery
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.commands import History, Join

__all__ = [
    "change_destination",
    "delete_destination",
    "drop_deliveries",
    "list_deliveries",
    "list_destinations",
    "make_destination",
    "replay_deliveries",
    "rotate_secret",
    "send_test",
    "show_destination",
]

NameInPath = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": schemas.NAME_PATTERN})
]
_STATE = {"type": "string", "enum": list(Delivery.State.values)}
_ID = {"type": "string", "format": "uuid"}

also_describe(
    schemas.DeliveriesChosen,
    schemas.DeliveriesShown,
    schemas.DestinationChange,
    schemas.DestinationMade,
    schemas.DestinationShown,
    schemas.DestinationsShown,
    schemas.DestinationWanted,
    schemas.HowMany,
    schemas.OwedTest,
    schemas.SecretMade,
)


def _check_bare(request: HttpRequest) -> None:
    """Refuse a form where nothing is asked for: looking for a CSRF token reads it."""
    if request.content_type not in {"", "text/plain", "application/json"}:
        raise Refusal(error(Code.BINARY, "This takes no body: send none."))


async def _who(request: HttpRequest, room: str) -> tuple[Actor, str]:
    """Return who asks, which is counted to them, and the room's slug."""
    actor = (await admitted(request)).actor
    return actor, asked(Join, room=room).room


@api.get(
    "/rooms/{room}/destinations",
    **described(
        "List a room's destinations",
        {200: ("The webhooks that are told of the room.", examples.DESTINATIONS)},
        *FORBIDDEN,
    ),
)
async def list_destinations(request: HttpRequest, room: RoomInPath) -> HttpResponse:
    """Return the destinations of a room; for its owners."""
    actor, slug = await _who(request, room)
    return answer(await storage.read(destinations.destinations_shown, actor, slug))


@api.post(
    "/rooms/{room}/destinations",
    **described(
        "Make a destination",
        {201: ("It is made; the secret is shown this once.", examples.MADE)},
        *FORBIDDEN,
        *UNSAFE,
        Code.ID_CONFLICT,
        body=("DestinationWanted", examples.WANTED),
    ),
)
async def make_destination(request: HttpRequest, room: RoomInPath) -> HttpResponse:
    """Have a webhook told of what happens in a room, from now on; for its owners.

    A room has at most ten. Each call is signed as in Standard Webhooks, with the
    secret that the answer shows.
    """
    body = body_of(request)
    actor, slug = await _who(request, room)
    given = wanted(schemas.DestinationWanted, body)
    made = await storage.change(destinations.make_destination, actor, slug, given)
    response = answer(made, status=HTTPStatus.CREATED)
    response["Location"] = f"{request.path}/{made.name}"
    return response


@api.get(
    "/rooms/{room}/destinations/{name}",
    **described(
        "Look at a destination",
        {200: ("The destination as it stands.", examples.DESTINATION)},
        *FORBIDDEN,
    ),
)
async def show_destination(
    request: HttpRequest, room: RoomInPath, name: NameInPath
) -> HttpResponse:
    """Return whether it is called, what it is owed and what its calls took."""
    actor, slug = await _who(request, room)
    shown = destinations.destination_shown
    return answer(await storage.read(shown, actor, slug, name))


@api.patch(
    "/rooms/{room}/destinations/{name}",
    **described(
        "Change, pause or enable a destination",
        {200: ("The destination as it stands now.", examples.PAUSED)},
        *FORBIDDEN,
        *UNSAFE,
        body=("DestinationChange", examples.PAUSE),
    ),
)
async def change_destination(
    request: HttpRequest, room: RoomInPath, name: NameInPath
) -> HttpResponse:
    """Change what is given; what is owed already goes out by what holds then."""
    body = body_of(request)
    actor, slug = await _who(request, room)
    given = wanted(schemas.DestinationChange, body)
    change = destinations.change_destination
    return answer(await storage.change(change, actor, slug, name, given))


@api.delete(
    "/rooms/{room}/destinations/{name}",
    **described(
        "Delete a destination",
        {200: ("It is gone.", examples.ONE)},
        *FORBIDDEN,
        Code.CSRF_FAILED,
    ),
)
async def delete_destination(
    request: HttpRequest, room: RoomInPath, name: NameInPath
) -> HttpResponse:
    """Delete a destination, and all that it is owed."""
    actor, slug = await _who(request, room)
    delete = destinations.delete_destination
    return answer(await storage.change(delete, actor, slug, name))


@api.post(
    "/rooms/{room}/destinations/{name}/test",
    **described(
        "Send a test",
        {201: ("A call is owed, with the type `test`.", examples.TEST)},
        *FORBIDDEN,
        Code.CSRF_FAILED,
        Code.BINARY,
        Code.ID_CONFLICT,
    ),
)
async def send_test(
    request: HttpRequest, room: RoomInPath, name: NameInPath
) -> HttpResponse:
    """Owe a call that tells nothing; it is made and retried like any other."""
    _check_bare(request)
    actor, slug = await _who(request, room)
    test = destinations.send_test
    owed = await storage.change(test, actor, slug, name)
    return answer(owed, status=HTTPStatus.CREATED)


@api.post(
    "/rooms/{room}/destinations/{name}/secrets",
    **described(
        "Make a new secret",
        {201: ("The new secret, shown this once.", examples.SECRET)},
        *FORBIDDEN,
        Code.CSRF_FAILED,
        Code.BINARY,
    ),
)
async def rotate_secret(
    request: HttpRequest, room: RoomInPath, name: NameInPath
) -> HttpResponse:
    """Sign with a new secret, and with the one before, until the next is made."""
    _check_bare(request)
    actor, slug = await _who(request, room)
    made = await storage.change(destinations.rotate_secret, actor, slug, name)
    return answer(made, status=HTTPStatus.CREATED)


@api.get(
    "/rooms/{room}/destinations/{name}/deliveries",
    **described(
        "List deliveries",
        {200: ("A page of deliveries, the newest first.", examples.DELIVERIES)},
        *FORBIDDEN,
        query={
            "state": (_STATE, "Only those that are in this state."),
            "before": (_ID, "Go on after this one: `next` of the page before."),
            "limit": ("limit", "At most so many; 50 if it is left out."),
        },
    ),
)
async def list_deliveries(
    request: HttpRequest, room: RoomInPath, name: NameInPath
) -> HttpResponse:
    """Return what was and is owed to a destination, a page at a time."""
    actor, slug = await _who(request, room)
    # The limit is that of a page of history.
    limit = asked(History, room="any", **numbers_in(request, "limit")).limit
    found = await storage.read(
        deliveries.deliveries_shown,
        actor,
        slug,
        name,
        state=request.GET.get("state"),
        before=request.GET.get("before"),
        limit=limit,
    )
    return answer(found)


@api.post(
    "/rooms/{room}/destinations/{name}/deliveries/replay",
    **described(
        "Replay deliveries that were given up",
        {200: ("So many are owed again.", examples.SOME)},
        *FORBIDDEN,
        *UNSAFE,
        body=("DeliveriesChosen", examples.CHOSEN),
    ),
)
async def replay_deliveries(
    request: HttpRequest, room: RoomInPath, name: NameInPath
) -> HttpResponse:
    """Owe again what was given up: those named by `ids`, or all of them.

    They keep their ids, by which a receiver knows what it had already.
    """
    body = body_of(request)
    actor, slug = await _who(request, room)
    chosen = wanted(schemas.DeliveriesChosen, body)
    replay = deliveries.replay_deliveries
    return answer(await storage.change(replay, actor, slug, name, chosen))


@api.post(
    "/rooms/{room}/destinations/{name}/deliveries/drop",
    **described(
        "Drop deliveries",
        {200: ("So many are owed no more.", examples.SOME)},
        *FORBIDDEN,
        *UNSAFE,
        body=("DeliveriesChosen", examples.CHOSEN),
    ),
)
async def drop_deliveries(
    request: HttpRequest, room: RoomInPath, name: NameInPath
) -> HttpResponse:
    """Owe no more what is due or was given up: those named by `ids`, or all of them."""
    body = body_of(request)
    actor, slug = await _who(request, room)
    chosen = wanted(schemas.DeliveriesChosen, body)
    drop = deliveries.drop_deliveries
    return answer(await storage.change(drop, actor, slug, name, chosen))
