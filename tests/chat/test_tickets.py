"""Tickets: good once, for one person, for a short time, and for nobody else's page."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.core import signing
from django.core.cache import caches
from django.db import OperationalError
from pytest_django import Settings

from headgate.chat import tickets, used_tickets
from headgate.chat.people import Actor, actor_for, guest_token, new_guest
from headgate.chat.tickets import (
    TICKET_SECONDS,
    WELCOME_TICKET_SECONDS,
    TicketRefused,
    issue_ticket,
    redeem_ticket,
)
from headgate.chat.used_tickets import UsedTickets
from headgate.live.ports import LogUnavailable
from tests.chat.http.browsers import Browsers, browse_fixture  # noqa: F401
from tests.chat.talker import Ended, Talkers, guests_fixture, in_thread, talk_fixture  # noqa: F401
from tests.conftest import _left_out
from tests.processes import spawn, stop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

PAGE = "https://chat.example"
THOUSAND = 1000
SHARED = "shared"


def ticket_for(who: Any, origin: str = "") -> str:
    """Return a ticket as an HTTP answer has it."""
    return issue_ticket(actor_for(who), lives_seconds=TICKET_SECONDS, origin=origin)


async def holder(ticket: str, origin: str = "") -> str | None:
    """Return whose ticket it is, or None where it is refused."""
    try:
        return (await redeem_ticket(ticket, origin=origin)).key
    except TicketRefused:
        return None


async def redeemed_at_once(ticket: str) -> int:
    """Return how many of a thousand who bring it at once get in."""
    holders = await asyncio.gather(*[holder(ticket) for _ in range(THOUSAND)])
    return THOUSAND - holders.count(None)


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of this test's own."""
    if shutil.which("redis-server") is None:
        _left_out("Redis is not installed")
    socket = tmp_path / "redis"
    server = spawn(
        ["redis-server", "--port", "0", "--unixsocket", socket, "--save", ""],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    try:
        until = time.monotonic() + 20
        while not socket.is_socket() and time.monotonic() < until:
            time.sleep(0.01)
        yield f"unix://{socket}"
    finally:
        caches.close_all()
        stop(server, signal.SIGTERM, limit_seconds=10)


# --- whose it is ---------------------------------------------------------------


async def test_it_says_who(chat: None, ada: User, room: None) -> None:
    session = Actor(f"u:{ada.pk}", "Ada Lovelace", ada, session="digest")

    actor = await redeem_ticket(issue_ticket(session, lives_seconds=5))

    assert (actor.key, actor.name) == (f"u:{ada.pk}", "Ada Lovelace")
    assert (actor.user, actor.session) == (ada, "digest")


async def test_it_says_which_guest(chat: None, guests: None) -> None:
    zoe = new_guest("Zoe")

    assert await redeem_ticket(ticket_for(zoe)) == zoe


async def test_where_guests_are_taken_no_more(
    chat: None, guests: None, settings: Settings
) -> None:
    ticket = ticket_for(new_guest("Zoe"))
    settings.HEADGATE = {"GUESTS": False}

    assert await holder(ticket) is None


async def test_another_name_counts_from_now_on(chat: None, ada: User) -> None:
    ticket = ticket_for(ada)
    ada.first_name = "Augusta"
    await ada.asave()

    assert (await redeem_ticket(ticket)).name == "Augusta Lovelace"


async def test_each_is_for_one_person(chat: None, ada: User, grace: User) -> None:
    one, two = ticket_for(ada), ticket_for(grace)

    assert [await holder(one), await holder(two)] == [f"u:{ada.pk}", f"u:{grace.pk}"]


async def test_claims_of_one_under_the_signature_of_another(
    chat: None, ada: User, grace: User
) -> None:
    one, two = (ticket.split(".") for ticket in (ticket_for(ada), ticket_for(grace)))

    assert await holder(f"{one[0]}.{two[1]}") is None
    assert await holder(".".join(one)) == f"u:{ada.pk}"


async def test_it_wins_over_the_cookie_of_another(
    talk: Talkers, room: None, ada: User, grace: User
) -> None:
    talker = await talk(grace, room=None, ticket=ticket_for(ada))

    assert talker.welcome["user"]["id"] == f"u:{ada.pk}"


# --- once ----------------------------------------------------------------------


async def test_twice(chat: None, ada: User) -> None:
    ticket = ticket_for(ada)

    assert [await holder(ticket) for _ in range(3)] == [f"u:{ada.pk}", None, None]


async def test_a_thousand_times_at_once(chat: None, ada: User) -> None:
    assert await redeemed_at_once(ticket_for(ada)) == 1


async def test_a_thousand_times_at_once_with_a_shared_cache(
    chat: None, ada: User, settings: Settings, redis_url: str
) -> None:
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
        SHARED: {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": redis_url,
        },
    }
    settings.HEADGATE = {"TICKET_CACHE": SHARED}

    assert await redeemed_at_once(ticket_for(ada)) == 1
    assert await holder(ticket_for(ada)) == f"u:{ada.pk}"


ANOTHER_PROCESS = """
import asyncio, sys
from django.conf import settings
settings.configure(
    SECRET_KEY="only for tests",
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "headgate.chat",
    ],
    CACHES={"shared": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": sys.argv[1],
    }},
    HEADGATE={"TICKET_CACHE": "shared", "GUESTS": True},
)
import django
django.setup()
from headgate.chat.tickets import TicketRefused, redeem_ticket

async def main():
    got_in = 0
    for ticket in sys.stdin.read().split():
        try:
            await redeem_ticket(ticket)
            got_in += 1
        except TicketRefused:
            pass
    print(got_in)

asyncio.run(main())
"""


async def test_processes_that_share_a_cache_take_each_once(
    guests: None, redis_url: str
) -> None:
    given = "\n".join(ticket_for(new_guest(None)) for _ in range(50))

    async def process() -> int:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            ANOTHER_PROCESS,
            redis_url,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        out, _ = await child.communicate(given.encode())
        return int(out)

    assert sum(await asyncio.gather(*[process() for _ in range(3)])) == 50


async def test_a_shared_cache_that_is_away_leaves_the_ticket_good(
    chat: None,
    ada: User,
    settings: Settings,
    redis_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shared = {"BACKEND": "django.core.cache.backends.redis.RedisCache"}
    settings.CACHES = {
        "default": {**shared, "LOCATION": redis_url},
        SHARED: {**shared, "LOCATION": f"{redis_url}-gone"},
    }
    settings.HEADGATE = {"TICKET_CACHE": SHARED}
    ticket = ticket_for(ada)

    with pytest.raises(LogUnavailable):
        await redeem_ticket(ticket)

    assert "ticket_cache_away cache='shared'" in caplog.text
    assert ticket not in caplog.text
    settings.HEADGATE = {"TICKET_CACHE": "default"}
    assert await holder(ticket) == f"u:{ada.pk}"


async def test_what_is_remembered_is_bounded(
    chat: None, guests: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(used_tickets, "MAX_REMEMBERED", 3)
    monkeypatch.setattr(used_tickets, "_used", UsedTickets())
    given = [ticket_for(new_guest(None)) for _ in range(5)]

    holders = [await holder(ticket) for ticket in given]

    # Rather nobody than somebody twice.
    assert [found is not None for found in holders] == [True] * 3 + [False] * 2
    assert [await holder(ticket) for ticket in given] == [None] * 5


def test_what_is_too_old_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 1_000_000.0

        def time(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(used_tickets, "time", clock)
    used = UsedTickets()
    for nonce in range(1000):
        clock.now += 1
        assert used.add(nonce, clock.now + WELCOME_TICKET_SECONDS)
        assert not used.add(nonce, clock.now + WELCOME_TICKET_SECONDS)

    kept = sum(map(len, used._buckets.values()))
    assert WELCOME_TICKET_SECONDS <= kept <= WELCOME_TICKET_SECONDS + 120


# --- for a short time ----------------------------------------------------------


async def test_late(chat: None, ada: User) -> None:
    ticket = issue_ticket(actor_for(ada), lives_seconds=-0.002)

    assert await holder(ticket) is None


async def test_late_by_the_time_the_database_answers(
    chat: None, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = ticket_for(ada)
    late = iter([False, True])
    monkeypatch.setattr(tickets, "_is_late", lambda _: next(late))

    assert await holder(ticket) is None


async def test_the_lives_are_as_promised() -> None:
    assert (TICKET_SECONDS, WELCOME_TICKET_SECONDS) == (30.0, 600.0)


# --- for whose account is still good -------------------------------------------


async def test_after_deactivation(chat: None, ada: User) -> None:
    ticket = ticket_for(ada)
    ada.is_active = False
    await ada.asave()

    assert await holder(ticket) is None


async def test_after_deletion(chat: None, ada: User) -> None:
    ticket = ticket_for(ada)
    await ada.adelete()

    assert await holder(ticket) is None


async def test_after_a_change_of_password(chat: None, ada: User) -> None:
    ticket = ticket_for(ada)
    await in_thread(ada.set_password, "another one")
    await ada.asave()

    assert await holder(ticket) is None
    assert await holder(ticket_for(ada)) == f"u:{ada.pk}"


async def test_after_logout(browse: Browsers, ada: User) -> None:
    browser, other = await browse(ada), await browse(ada)
    mine, theirs = [
        (await each.post("/api/v1/connect", json={})).json()["ticket"]
        for each in (browser, other)
    ]

    await browser.post("/sign-out/")

    assert await holder(mine) is None
    assert await holder(theirs) == f"u:{ada.pk}"  # another session of hers


async def test_a_database_that_is_away_leaves_the_ticket_good(
    chat: None, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("away")

    ticket = ticket_for(ada)
    with monkeypatch.context() as patched:
        patched.setattr("django.db.models.query.QuerySet.first", away)
        with pytest.raises(LogUnavailable):
            await redeem_ticket(ticket)

    assert await holder(ticket) == f"u:{ada.pk}"


# --- for one page --------------------------------------------------------------

ORIGINS = [
    # what the ticket is for, who brings it, whether it is good
    (PAGE, PAGE, True),
    (PAGE, "https://evil.example", False),
    (PAGE, "http://chat.example", False),
    (PAGE, "https://chat.example:8443", False),
    (PAGE, "null", False),
    (PAGE, "", True),  # a program; a browser always tells
    ("", PAGE, True),  # a program got it, and hands it to a page
    ("", "", True),
]


@pytest.mark.parametrize(("made_for", "brought_by", "good"), ORIGINS)
async def test_origins(
    chat: None,
    ada: User,
    made_for: str,
    brought_by: str,
    good: bool,  # noqa: FBT001
) -> None:
    ticket = ticket_for(ada, made_for)

    assert (await holder(ticket, brought_by) is not None) is good
    # One that was refused for its page is still good for the right one.
    assert (await holder(ticket, made_for) is not None) is not good


# --- signed here ---------------------------------------------------------------


async def test_an_older_secret_is_good_while_it_is_a_fallback(
    chat: None, ada: User, settings: Settings
) -> None:
    one, two = ticket_for(ada), ticket_for(ada)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"

    assert await holder(one) == f"u:{ada.pk}"
    settings.SECRET_KEY_FALLBACKS = []
    assert await holder(two) is None


def forged(ada: User) -> dict[str, str]:
    """Return what is no ticket, by what is wrong with it."""
    claims, signature = ticket_for(ada).split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    said[1] += 1000
    longer = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    signer = signing.Signer(salt="headgate.ticket", sep=".")
    return {
        "empty": "",
        "dot": ".",
        "dots": "...",
        "unsigned": claims,
        "signature alone": f".{signature}",
        "claims alone": f"{claims}.",
        "longer life": f"{longer}.{signature}",
        "cut": f"{claims}.{signature[:-1]}",
        "grown": f"{claims}.{signature}A",
        "other salt": signing.Signer(salt="other", sep=".").sign_object(said),
        "guest": guest_token(new_guest("Zoe")),
        "session": signing.dumps({"_auth_user_id": str(ada.pk)}),
        "no claims": signer.sign("x"),
        "too few claims": signer.sign_object(said[:3]),
        "too many claims": signer.sign_object([*said, 1]),
        "an object": signer.sign_object({"key": f"u:{ada.pk}"}),
        "a bomb": signer.sign_object(["0" * 1_000_000], compress=True),
        "unicode": "ü.ö",
        "surrogate": "\ud800.\udfff",
        "nul": "\x00.\x00",
        "2049 characters": "A" * 2049,
        "a million": "A." * 500_000,
    }


FORGED = [
    "empty", "dot", "dots", "unsigned", "signature alone", "claims alone",
    "longer life", "cut", "grown", "other salt", "guest", "session", "no claims",
    "too few claims", "too many claims", "an object", "a bomb", "unicode", "surrogate",
    "nul", "2049 characters", "a million",
]  # fmt: skip


@pytest.mark.parametrize("kind", FORGED)
async def test_forged(chat: None, ada: User, kind: str) -> None:
    assert await holder(forged(ada)[kind]) is None


async def test_over_2048_characters_though_signed(chat: None, guests: None) -> None:
    fits = Actor("g:1", "x" * 1200)
    over = Actor("g:1", "x" * 1600)
    sizes = [len(ticket_for(each)) for each in (fits, over)]
    assert sizes[0] <= 2048 < sizes[1]

    assert await holder(ticket_for(fits)) == "g:1"
    assert await holder(ticket_for(over)) is None


# --- kept to themselves --------------------------------------------------------


async def test_a_ticket_may_be_a_subprotocol(ada: User) -> None:
    # RFC 9110, section 5.6.2: what a header field may name
    token = set("!#$%&'*+-.^_`|~") | {chr(c) for c in range(128) if chr(c).isalnum()}

    assert set(ticket_for(ada, PAGE)) <= token


async def test_nothing_of_it_is_logged(
    browse: Browsers,
    talk: Talkers,
    ada: User,
    room: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    browser = await browse(ada)
    answer: httpx.Response = await browser.post("/api/v1/connect", json={})
    ticket = answer.json()["ticket"]
    await talk(None, room=None, ticket=ticket)
    with pytest.raises(Ended):
        await talk(None, room=None, ticket=ticket)  # used

    assert caplog.records
    for part in ticket.split("."):
        assert part not in caplog.text
    assert ticket not in str(answer.request.url)
    assert ticket not in answer.json()["url"]
