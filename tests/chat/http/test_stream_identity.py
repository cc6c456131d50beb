"""Who reads an event stream, and from where."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from pytest_django import Settings

from headgate.chat.authenticators import NotAuthenticated
from headgate.chat.engine import Engine
from headgate.chat.people import actor_for, new_guest
from headgate.chat.tickets import issue_ticket
from headgate.live.ports import LogUnavailable
from tests.chat.http.stream_reader import (  # noqa: F401 - fixtures are found by name
    HOST,
    Readers,
    stream_fixture,
)
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    guests_fixture,
    in_thread,
    session_of,
    talk_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("room"),
]

OWN = (b"origin", b"http://testserver")
OTHER = (b"origin", b"https://app.example")
FOREIGN = (b"origin", b"https://evil.example")
ALLOWED = {"ALLOWED_ORIGINS": ["http://testserver", "https://app.example"]}
CROSS_SITE = (b"sec-fetch-site", b"cross-site")
SAME_ORIGIN = (b"sec-fetch-site", b"same-origin")


def ticket(user: User, origin: str = "") -> tuple[bytes, bytes]:
    made = issue_ticket(actor_for(user), lives_seconds=30, origin=origin)
    return (b"authorization", f"Ticket {made}".encode())


# --- who --------------------------------------------------------------------------


async def test_a_ticket_says_who_and_is_good_once(stream: Readers, ada: User) -> None:
    header = ticket(ada)
    reader = await stream(headers=[header])
    again = await stream.raw(headers=[header])

    welcome = reader.heard[0].said
    assert welcome["user"]["name"] == "Ada Lovelace"
    assert (again.status, again.problem["code"]) == (401, "ticket_refused")
    # Who came with a ticket needs another one to come back.
    another = f"Ticket {welcome['ticket']}".encode()
    back = await stream(headers=[(b"authorization", another)])
    assert back.heard[0].said["user"] == welcome["user"]


async def test_a_ticket_wins_over_a_cookie(
    stream: Readers, ada: User, grace: User
) -> None:
    reader = await stream("general", ada, headers=[ticket(grace)])
    assert reader.heard[0].said["user"]["name"] == "Grace"


@pytest.mark.parametrize("value", ["Ticket", "Ticket nonsense", "ticket a.b.c"])
async def test_a_ticket_that_does_not_hold_is_no_guest(
    stream: Readers, settings: Settings, ada: User, value: str
) -> None:
    settings.HEADGATE = {"GUESTS": True}
    header = (b"authorization", value.encode())
    reader = await stream.raw("general", ada, headers=[header])
    assert (reader.status, reader.problem["code"]) == (401, "ticket_refused")


async def test_a_malformed_request_leaves_the_ticket_good(
    stream: Readers, ada: User
) -> None:
    header = ticket(ada)
    assert (await stream.raw(".x", headers=[header])).status == 400
    assert (await stream(headers=[header])).status == 200


async def test_a_pages_ticket_is_for_its_origin(
    stream: Readers, settings: Settings, ada: User
) -> None:
    settings.HEADGATE = ALLOWED
    other = ticket(ada, "https://app.example")
    assert (await stream.raw(headers=[other, OWN])).status == 401
    reader = await stream(headers=[other, OTHER])
    assert reader.heard[0].said["user"]["name"] == "Ada Lovelace"


async def test_a_ticket_in_the_url_is_nobodys(stream: Readers, ada: User) -> None:
    made = issue_ticket(actor_for(ada), lives_seconds=30)
    reader = await stream.raw(query={"ticket": made})
    assert (reader.status, reader.problem["code"]) == (401, "unauthenticated")


async def test_tickets_are_not_logged(
    stream: Readers, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    name, value = ticket(ada)
    for _ in range(2):
        await stream.raw(headers=[(name, value), FOREIGN])
        await stream.raw(headers=[(name, value)])
    assert value.decode().removeprefix("Ticket ") not in caplog.text


async def test_a_ticket_stays_good_while_the_database_is_away(
    stream: Readers, chat: Engine, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = ticket(ada)

    async def away(*_: Any, **__: Any) -> None:
        raise LogUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(chat.reader, "run", away)
        assert (await stream.raw(headers=[header])).status == 503
    assert (await stream(headers=[header])).status == 200


async def test_guests_come_in_where_they_are_taken(
    stream: Readers, settings: Settings
) -> None:
    reader = await stream.raw()
    assert (reader.status, reader.problem["code"]) == (401, "unauthenticated")
    assert "www-authenticate" in reader.headers

    settings.HEADGATE = {"GUESTS": True}
    first = await stream()
    token = first.heard[0].said["guest"]
    second = await stream(headers=[(b"headgate-guest", token.encode())])
    other = await stream()
    assert second.heard[0].said["user"] == first.heard[0].said["user"]
    assert other.heard[0].said["user"] != first.heard[0].said["user"]
    assert "ticket" not in second.heard[0].said


@pytest.mark.usefixtures("guests")
async def test_a_guests_ticket_is_the_same_guest(stream: Readers) -> None:
    guest = new_guest("Gus")
    made = issue_ticket(guest, lives_seconds=30)
    reader = await stream(headers=[(b"authorization", f"Ticket {made}".encode())])
    assert reader.heard[0].said["user"]["id"] == guest.key


def by_badge(asked: HttpRequest | dict[str, Any]) -> User | None:
    """Know people by a header of the project's own."""
    if isinstance(asked, HttpRequest):
        badge = asked.headers.get("X-Badge")
    else:
        badge = dict(asked["headers"]).get(b"x-badge", b"").decode()
    if badge == "stale":
        raise NotAuthenticated("The badge has run out.")
    return User.objects.filter(username=badge).first() if badge else None


async def test_the_project_may_know_people_in_its_own_way(
    stream: Readers, settings: Settings, ada: User, grace: User
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": [f"{__name__}.by_badge"], "GUESTS": True}
    reader = await stream("general", ada, headers=[(b"x-badge", b"grace")])
    assert reader.heard[0].said["user"]["name"] == "Grace"
    without = await stream("general", ada)
    assert without.heard[0].said["user"]["name"] == "Ada Lovelace"
    stale = await stream.raw("general", ada, headers=[(b"x-badge", b"stale")])
    assert (stale.status, stale.problem["detail"]) == (401, "The badge has run out.")


# --- from where -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 200),
        ([SAME_ORIGIN], 200),
        ([OWN], 200),
        ([OTHER, CROSS_SITE], 200),
        ([FOREIGN, CROSS_SITE], 403),
        ([CROSS_SITE], 403),
        ([(b"origin", b"null"), CROSS_SITE], 403),
        ([OWN, FOREIGN], 403),
    ],
)
@pytest.mark.parametrize("by", ["cookie", "ticket", "guest"])
async def test_pages_of_foreign_origins_may_not_read(
    stream: Readers,
    settings: Settings,
    ada: User,
    by: str,
    headers: list[tuple[bytes, bytes]],
    status: int,
) -> None:
    settings.HEADGATE = ALLOWED | {"GUESTS": by == "guest"}
    more = [ticket(ada)] if by == "ticket" else []
    user = ada if by == "cookie" else None
    reader = await stream.raw("general", user, headers=[*headers, *more])

    assert reader.status == status
    if status == 403:
        assert reader.problem["code"] == "forbidden"
        assert "access-control-allow-origin" not in reader.headers
        await reader.over()


async def test_pages_of_allowed_origins_may_read_the_answer(
    stream: Readers, settings: Settings, ada: User
) -> None:
    settings.HEADGATE = ALLOWED
    for rooms, status in (("general", 200), ("nowhere", 404), (".x", 400)):
        reader = await stream.raw(rooms, ada, headers=[OTHER])
        assert reader.status == status
        assert reader.headers["access-control-allow-origin"] == "https://app.example"
        assert reader.headers["access-control-allow-credentials"] == "true"
        assert reader.headers["vary"] == "Origin"
    without = await stream.raw("general", ada)
    assert "access-control-allow-origin" not in without.headers
    assert without.headers["vary"] == "Origin"


async def test_a_page_may_ask_before_it_sends_its_headers(
    stream: Readers, settings: Settings
) -> None:
    settings.HEADGATE = ALLOWED
    preflight = await stream.raw(headers=[OTHER], method="OPTIONS")
    foreign = await stream.raw(headers=[FOREIGN], method="OPTIONS")

    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "GET" in preflight.headers["access-control-allow-methods"]
    taken = preflight.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "headgate-guest", "last-event-id"} <= set(taken)
    assert "access-control-allow-origin" not in foreign.headers


async def test_another_host_is_not_ours(stream: Readers, settings: Settings) -> None:
    settings.HEADGATE = {"GUESTS": True}
    reader = await stream.ask(
        "rooms=general", [(b"host", b"evil.example"), SAME_ORIGIN]
    ).begun()
    assert reader.status == 400
    assert reader.problem["code"] == "bad_command"


async def test_a_name_behind_a_proxy_is_believed_where_the_project_says_so(
    stream: Readers, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True}
    settings.ALLOWED_HOSTS = ["chat.example"]
    headers = [(b"host", b"internal:8000"), (b"x-forwarded-host", b"chat.example")]
    assert (await stream.ask("rooms=general", headers).begun()).status == 400
    settings.USE_X_FORWARDED_HOST = True
    assert (await stream.ask("rooms=general", headers).begun()).status == 200


async def test_a_session_is_not_touched(stream: Readers, ada: User) -> None:
    key = await in_thread(session_of, ada)
    reader = await stream(headers=[(b"cookie", f"sessionid={key}".encode())])
    assert "set-cookie" not in reader.headers
    guest = await stream.raw(headers=[(b"cookie", b"sessionid=nonsense")])
    assert guest.status == 401
