"""What a request for the stream says, taken apart without a server."""

from __future__ import annotations

import contextlib
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from headgate.chat.http.problems import Refusal
from headgate.chat.http.stream_request import StreamRequest, check_source, read_request
from headgate.protocol.codec import is_room_slug
from headgate.protocol.commands import Position
from headgate.protocol.fields import MAX_ROOMS

HUNDRED = [f"r{n}" for n in range(MAX_ROOMS)]


def request(query: str = "", *headers: tuple[str, str], scheme: str = "http") -> Any:
    if not any(name == "host" for name, _ in headers):
        headers = (("host", "testserver"), *headers)
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": scheme,
        "path": "/api/v1/stream",
        "query_string": query.encode(),
        "headers": [
            (name.encode(), value.encode("latin-1")) for name, value in headers
        ],
    }
    return ASGIRequest(scope, BytesIO())


def asked(query: str, *headers: tuple[str, str]) -> StreamRequest:
    return read_request(request(query, *headers))


# --- rooms ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "rooms"),
    [
        ("rooms=general", ["general"]),
        ("rooms=general,help", ["general", "help"]),
        ("rooms=general&rooms=help", ["general", "help"]),
        ("rooms=b,a&rooms=c,b,b", ["b", "a", "c"]),
        ("rooms=general%2Chelp", ["general", "help"]),
        ("x=1&rooms=Order-7.b_c&y", ["Order-7.b_c"]),
        ("rooms=" + "a" * 64, ["a" * 64]),
        ("rooms=" + ",".join(HUNDRED), HUNDRED),
        ("&".join(f"rooms={name}" for name in HUNDRED), HUNDRED),
        ("rooms=" + ",".join(HUNDRED * 2), HUNDRED),
    ],
)
def test_rooms_are_named_with_commas_or_again(query: str, rooms: list[str]) -> None:
    assert asked(query).rooms == rooms


@pytest.mark.parametrize(
    "query",
    [
        "",
        "rooms",
        "rooms=",
        "rooms=,",
        "rooms=&rooms=",
        "Rooms=general",
        "rooms=general,",
        "rooms=,general",
        "rooms=a b",
        "rooms=a%00b",
        "rooms=a%0A",
        "rooms=a/b",
        "rooms=.hidden",
        "rooms=" + "a" * 65,
        "rooms=g%C3%A9n",
        "rooms=general@7",
        "rooms=" + ",".join([*HUNDRED, "one-more"]),
    ],
)
def test_rooms_that_cannot_be_are_refused(query: str) -> None:
    with pytest.raises(Refusal) as refused:
        asked(query)
    assert (refused.value.error.code, refused.value.error.field) == (
        "bad_command",
        "rooms",
    )


@pytest.mark.parametrize(
    "query",
    ["rooms=%FF", "rooms=general&" + "&".join(["x=1"] * 1000), "a=%80&rooms=general"],
)
def test_a_query_that_cannot_be_read_is_refused(query: str) -> None:
    with pytest.raises(Refusal) as refused:
        asked(query)
    assert refused.value.error.code == "bad_command"


# --- the last event id ------------------------------------------------------------

LAST = ("last-event-id", "aa-7.bb-9")


@pytest.mark.parametrize(
    ("query", "headers", "positions"),
    [
        ("", [], None),
        ("", [("last-event-id", "")], None),
        ("&last_event_id=", [], None),
        ("", [LAST], [Position(7, "aa"), Position(9, "bb")]),
        ("&last_event_id=cc-1", [], [Position(1, "cc")]),
        # Browsers that come back keep the URL, and the header is newer.
        ("&last_event_id=cc-1", [LAST], [Position(7, "aa"), Position(9, "bb")]),
        ("&last_event_id=cc-1", [("last-event-id", "")], [Position(1, "cc")]),
    ],
)
def test_where_somebody_was_is_in_the_header_or_the_query(
    query: str,
    headers: list[tuple[str, str]],
    positions: list[Position] | None,
) -> None:
    assert asked("rooms=general" + query, *headers).positions == positions


@pytest.mark.parametrize("last", ["7", "aa", "aa-7,bb-9", "aa-7.", "a a-7", "-" * 9000])
@pytest.mark.parametrize("in_header", [True, False])
def test_a_last_event_id_that_cannot_be_is_refused(
    last: str,
    in_header: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    headers = [("last-event-id", last)] if in_header else []
    query = {} if in_header else {"last_event_id": last}
    with pytest.raises(Refusal) as refused:
        asked(urlencode({"rooms": "general", **query}), *headers)
    assert (refused.value.error.code, refused.value.error.field) == (
        "bad_command",
        "last_event_id",
    )


EPOCHS = {"a": "aa", "b": "bb", "c": "cc"}
NOWHERE = Position(0, "")


@pytest.mark.parametrize(
    ("rooms", "last", "places"),
    [
        ("a,b", "aa-1.bb-2", [Position(1, "aa"), Position(2, "bb")]),
        ("b,a", "aa-1.bb-2", [Position(2, "bb"), Position(1, "aa")]),
        ("b", "aa-1.bb-2", [Position(2, "bb")]),
        # Another epoch, and a room that was not asked for before.
        ("a,b", "old-1.bb-2", [NOWHERE, Position(2, "bb")]),
        ("a,c,b", "aa-1.bb-2", [Position(1, "aa"), NOWHERE, Position(2, "bb")]),
        ("a,unknown", "aa-1", [Position(1, "aa"), NOWHERE]),
    ],
)
def test_a_place_belongs_to_the_room_with_its_epoch(
    rooms: str, last: str, places: list[Position]
) -> None:
    found = asked(f"rooms={rooms}&last_event_id={last}").places(EPOCHS)
    assert list(found) == rooms.split(",")
    assert list(found.values()) == places


@pytest.mark.parametrize("last", ["xx-1.cc-2", "xx-1.xx-2.cc-2"])
def test_a_place_that_may_be_anothers_is_none(last: str) -> None:
    found = asked(f"rooms=a,b,c&last_event_id={last}").places(
        {"a": "xx", "b": "xx", "c": "cc"},
    )
    assert found == {"a": NOWHERE, "b": NOWHERE, "c": Position(2, "cc")}


def test_whoever_comes_for_the_first_time_is_fed_from_now_on() -> None:
    assert asked("rooms=a,b").places({}) == {"a": None, "b": None}


# --- who --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "ticket"),
    [
        ("Ticket abc.def", "abc.def"),
        ("ticket abc", "abc"),
        ("TICKET  abc ", "abc"),
        ("Ticket", ""),
        ("Bearer abc", None),
        ("Token abc", None),
        ("abc", None),
        ("", None),
    ],
)
def test_a_ticket_is_an_authorization(value: str, ticket: str | None) -> None:
    assert asked("rooms=a", ("authorization", value)).ticket == ticket


def test_a_ticket_in_the_url_is_none() -> None:
    assert asked("rooms=a&ticket=abc").ticket is None


# --- from where -------------------------------------------------------------------

OWN = ("origin", "http://testserver")
OTHER = ("origin", "https://app.example")
FOREIGN = ("origin", "https://evil.example")
SITES = ("same-origin", "same-site", "cross-site", "none")


def site(value: str) -> tuple[str, str]:
    return ("sec-fetch-site", value)


@pytest.mark.parametrize(
    "headers",
    [
        [],  # a program, or an old browser on a page of ours
        [site("same-origin")],  # EventSource on a page of ours
        [site("none")],  # typed into the address bar
        [OWN],
        [OWN, site("same-origin")],
        [OTHER, site("cross-site")],
        [OTHER, site("same-site")],
        [OTHER],
    ],
)
def test_own_pages_allowed_ones_and_programs_may_ask(
    settings: Settings, headers: list[tuple[str, str]]
) -> None:
    settings.HEADGATE = {
        "ALLOWED_ORIGINS": ["http://testserver", "https://app.example"]
    }
    check_source(request("", *headers))


@pytest.mark.parametrize(
    "headers",
    [
        [FOREIGN],
        *[[FOREIGN, site(value)] for value in SITES],
        [("origin", "null")],
        [("origin", "null"), site("cross-site")],
        [("origin", "https://testserver")],
        [("origin", "http://testserver:8000")],
        [("origin", "http://testserver.evil.example")],
        [OWN, OWN],
        [OWN, FOREIGN],
        # An <img> or a fetch without CORS, on another site or another part of ours.
        [site("cross-site")],
        [site("same-site")],
        [site("same-origin"), site("cross-site")],
        [site("nonsense")],
    ],
)
def test_a_page_that_could_not_read_may_not_ask(
    headers: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Refusal) as refused:
        check_source(request("", *headers))
    assert refused.value.error.code == "forbidden"
    assert "origin_refused" in caplog.text
    assert "testserver" in caplog.text


@pytest.mark.parametrize("host", ["evil.example", "testserver.evil.example", "a b", ""])
def test_another_host_is_not_ours(host: str) -> None:
    # A name that somebody else points at this server: to its pages we are at home.
    headers = [("host", host), site("same-origin")]
    with pytest.raises(DisallowedHost):
        check_source(request("", *headers))


@given(
    st.binary(max_size=80) | st.text("rooms=last_eventid&,.-%0aF+", max_size=80),
    st.dictionaries(
        st.sampled_from(
            ["host", "origin", "sec-fetch-site", "last-event-id", "authorization"],
        ),
        st.text(st.characters(max_codepoint=255), max_size=40),
    ),
)
def test_whatever_is_asked_is_read_or_refused(
    query: bytes | str, headers: dict[str, str]
) -> None:
    asked = request("", *headers.items())
    asked.scope["query_string"] = query if isinstance(query, bytes) else query.encode()
    with contextlib.suppress(Refusal, DisallowedHost):
        check_source(asked)
    with contextlib.suppress(Refusal):
        found = read_request(asked)
        assert found.rooms
        assert all(map(is_room_slug, found.rooms))
