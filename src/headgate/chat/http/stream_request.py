"""What a request for the event stream asks for, and whether it may ask from there.

The stream does not go through Django's middleware, so what Django would look at is
looked at here: the host, and which page a browser asks for.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qs

from django.core.handlers.asgi import ASGIRequest

from headgate.chat.http.problems import Refusal
from headgate.chat.identity import GUEST_HEADER
from headgate.chat.origin import header, origin_allowed
from headgate.live.positions import positions_in
from headgate.protocol.codec import error, is_room_slug
from headgate.protocol.codes import Code
from headgate.protocol.commands import Position
from headgate.protocol.fields import MAX_ROOMS, ROOM_RULE

__all__ = ["StreamRequest", "check_source", "read_request"]

logger = logging.getLogger("headgate.stream")

MAX_FIELDS = 2 * MAX_ROOMS  # of the query string

# What browsers say of a request that no other site's page makes.
_OWN_SITE = frozenset({"same-origin", "none"})


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """The rooms asked for, the places of whoever comes back, and what says who it is.

    `positions` is None for somebody who has been nowhere yet.
    """

    rooms: list[str]
    positions: list[Position] | None
    ticket: str | None
    guest: str | None

    def places(self, epochs: dict[str, str]) -> dict[str, Position | None]:
        """Return from where each room is to be fed; None: from now on.

        A place belongs to the one room that has its epoch in `epochs`. A room without
        one gets a place in no epoch: whoever comes back is told to load it afresh.
        """
        if self.positions is None:
            return dict.fromkeys(self.rooms)
        rooms_of = Counter(epochs.values())
        places = {
            place.epoch: place
            for place in self.positions
            if rooms_of[place.epoch or ""] == 1
        }
        nowhere = Position(0, "")
        return {slug: places.get(epochs.get(slug), nowhere) for slug in self.rooms}


def check_source(request: ASGIRequest) -> None:
    """Refuse a page that may not read the stream, before anything is looked up.

    A browser sends cookies with a request whatever page makes it. It names the page's
    Origin where the page could read the answer, and that must be one of ours. Where
    it names none, the page is our own, or one that could not read anything but would
    hold a stream open: browsers tell these two apart.

    Raises:
        Refusal: With `forbidden`.
        DisallowedHost: The host is not in ALLOWED_HOSTS.
    """
    request.get_host()
    scope = request.scope
    origins = header(scope, b"origin")
    sites = header(scope, b"sec-fetch-site")
    own = bool(origins) or _OWN_SITE.issuperset(sites)
    if own and origin_allowed(scope, by_cookie=False):
        return
    # Both sides of the comparison: a proxy that changes the Host is the usual
    # reason. !r keeps line breaks out of the log.
    logger.warning(
        "origin_refused origin=%r site=%r host=%r",
        origins,
        sites,
        header(scope, b"host"),
    )
    text = "This origin may not read the stream. See ALLOWED_ORIGINS."
    raise Refusal(error(Code.FORBIDDEN, text))


def read_request(request: ASGIRequest) -> StreamRequest:
    """Return what is asked for.

    Raises:
        Refusal: With `bad_command` and the field to mend.
    """
    try:
        query = parse_qs(
            request.scope["query_string"].decode("latin-1"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        text = f"The query string is not UTF-8, or has more than {MAX_FIELDS} fields."
        raise Refusal(error(Code.BAD_COMMAND, text)) from None
    return StreamRequest(
        rooms=_rooms(query.get("rooms", [])),
        positions=_positions(request, query.get("last_event_id", [])),
        ticket=_ticket(request),
        guest=request.headers.get(GUEST_HEADER),
    )


def _rooms(given: list[str]) -> list[str]:
    """Return the names of `rooms=a,b&rooms=c`, each once."""
    rooms = list(dict.fromkeys(name for each in given for name in each.split(",")))
    text = None
    if not any(rooms):
        text = "`rooms` is missing: name what to watch, such as ?rooms=general,help."
    elif not all(map(is_room_slug, rooms)):
        text = f"`rooms`: {ROOM_RULE}; names are parted by commas."
    elif len(rooms) > MAX_ROOMS:
        text = f"`rooms` names {len(rooms)} rooms; one stream has at most {MAX_ROOMS}."
    if text is not None:
        raise Refusal(error(Code.BAD_COMMAND, text, field="rooms"))
    return rooms


def _positions(request: ASGIRequest, given: list[str]) -> list[Position] | None:
    """Return the places of a client that comes back, or None.

    The header is newer than the query: browsers keep the URL when they come back.
    """
    said = [*header(request.scope, b"last-event-id"), *given]
    last = next(filter(None, said), None)
    if last is None:
        return None
    try:
        return positions_in(last)
    except ValueError as exc:
        text = f"`last_event_id` is no `id` of the stream: {exc}."
        failure = error(Code.BAD_COMMAND, text, field="last_event_id")
        raise Refusal(failure) from None


def _ticket(request: ASGIRequest) -> str | None:
    """Return the ticket of `Authorization: Ticket …`, if there is one."""
    scheme, _, ticket = request.headers.get("Authorization", "").partition(" ")
    return ticket.strip() if scheme.lower() == "ticket" else None
