"""Coming back with a ticket, and what is left where there is none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.client import ClosedByServer, IdentityChanged, Status
from headgate.protocol import commands, pushes
from headgate.protocol.codes import Close, Code
from tests.client.conftest import Visit
from tests.client.model_server import (
    LIMIT_SECONDS,
    Fault,
    ModelServer,
    Peer,
    refusal,
)
from tests.client.model_site import ADA, BOB, CONNECT, Answer, ModelSite


@pytest.fixture
async def ada(site: ModelSite, visit: Visit) -> Any:
    """A user who is known by ticket alone, watching a room."""
    site.chat.takes_guests = False
    site.chat.gives_tickets = True
    watched = await visit()
    await watched.client.attach(site.descriptor(ADA, "a"))
    return watched


async def came_back(chat: ModelServer, times: int) -> None:
    await chat.until(lambda: len(chat.requests) > times and chat.peers)


async def test_each_return_has_a_ticket_of_its_own(site: ModelSite, ada: Any) -> None:
    for n in range(1, 4):
        site.chat.cut_all()
        site.chat.write("a", str(n))
        assert [push.text for push in await ada.read(1)] == [str(n)]

    presented = site.chat.presented()[1:]
    assert len(set(presented)) == len(presented) == 4
    assert None not in presented
    assert ada.client.user == ADA
    assert len(site.asked_for(CONNECT)) == 1  # of the time when it was nobody


async def test_a_cookie_is_needed_only_where_a_ticket_is_refused(
    site: ModelSite, visit: Visit
) -> None:
    site.chat.gives_tickets = True
    ada = await visit(rooms=["a"])
    site.chat.tickets.clear()
    site.chat.cut_all()
    await ada.until(Status.ONLINE, times=2)

    first, second, third = site.chat.presented()
    assert (first, third) == (None, None)
    assert second is not None
    waits = [s for s in ada.states if s.status is Status.WAITING]
    assert len(waits) == 2
    assert ada.client.user.id == "guest-1"  # the same guest again
    assert site.asked == []


async def test_it_comes_back_at_once_then(site: ModelSite, visit: Visit) -> None:
    site.chat.gives_tickets = True
    ada = await visit(min_backoff_seconds=0.05, max_backoff_seconds=60.0)
    ada.client._link._backoff._random = lambda: 1.0
    site.chat.tickets.clear()
    site.chat.cut_all()
    await ada.until(Status.ONLINE, times=2)

    ends = [s.reason for s in ada.states if s.status is Status.WAITING]
    assert "4004" in ends[1]
    # The ceiling doubled once: the second wait was none.
    assert ada.client._link._backoff._ceiling_seconds == pytest.approx(0.1)


async def test_a_ticket_that_came_to_nothing_is_not_shown_again(
    site: ModelSite, visit: Visit
) -> None:
    site.chat.gives_tickets = True
    ada = await visit(rooms=["a"])
    faults = [Fault.DROP]
    site.chat.on_command = lambda _, command: (
        faults.pop() if isinstance(command, commands.Hello) and faults else None
    )
    site.chat.cut_all()
    await ada.until(Status.ONLINE, times=2)

    presented = site.chat.presented()
    assert presented[1] is not None
    assert presented[2] is None


async def test_one_that_could_not_be_looked_at_is(site: ModelSite, ada: Any) -> None:
    away = [refusal(Code.UNAVAILABLE, retry_after_ms=1)]
    site.chat.on_command = lambda _, command: (
        away.pop() if isinstance(command, commands.Hello) and away else None
    )
    site.chat.cut_all()
    await ada.until(Status.ONLINE, times=2)

    presented = site.chat.presented()
    assert presented[2] == presented[3]
    assert ada.client.user == ADA


async def test_one_that_did_not_arrive_is_shown_again(
    site: ModelSite, ada: Any
) -> None:
    site.chat.refused_handshakes = [(503, {}), (429, {})]
    site.chat.cut_all()
    await ada.until(Status.ONLINE, times=2)

    presented = site.chat.presented()
    assert presented[2] == presented[3] == presented[4] is not None
    assert ada.client.user == ADA


async def test_the_ticket_of_a_server_that_goes(site: ModelSite, ada: Any) -> None:
    parting = site.chat.ticket_for(ADA)
    site.chat.push_all(pushes.GoingAway(reconnect_in_ms=1, ticket=parting))
    await ada.client.ping()
    await site.chat.peers[0].socket.close(1012)
    await came_back(site.chat, 2)

    assert site.chat.presented()[2] == parting


async def test_after_4003_it_shows_its_cookies(site: ModelSite, visit: Visit) -> None:
    site.chat.gives_tickets = True
    ada = await visit(rooms=["a"], cookies={"sessionid": "s"})
    error = refusal(Code.UNAUTHENTICATED)
    site.chat.peers[0].refuse(error, Close.IDENTITY_CHANGED, None)
    await ada.until(Status.ONLINE, times=2)

    assert site.chat.presented() == [None, None]
    assert site.chat.requests[1].headers["Cookie"] == "sessionid=s"


async def test_without_a_ticket_it_asks_for_one(site: ModelSite, ada: Any) -> None:
    body = site.descriptor(ADA, user={"id": ADA.id})
    site.answers[CONNECT].append(Answer(body=body))
    forget_tickets(site)
    site.chat.write("a", "while away")

    assert [push.text for push in await ada.read(1)] == ["while away"]
    assert site.chat.presented()[-1] == body["ticket"]
    assert ada.times(Status.ONLINE) == 2


@pytest.mark.parametrize("status", [429, 503, 500])
async def test_and_waits_as_long_as_it_is_told(
    site: ModelSite, ada: Any, status: int
) -> None:
    site.answers[CONNECT] = [
        Answer(status, {"Retry-After": "1"}),
        Answer(body=site.descriptor(ADA, user={"id": ADA.id})),
    ]
    loop = asyncio.get_running_loop()
    began = loop.time()
    forget_tickets(site)
    await ada.until(Status.ONLINE, times=2)

    assert loop.time() - began >= 1
    reasons = [s.reason for s in ada.states if s.status is Status.WAITING]
    assert f"HTTP {status} instead of a ticket" in reasons


@pytest.mark.parametrize("status", [401, 403, 404, 302])
async def test_a_no_is_the_end(site: ModelSite, ada: Any, status: int) -> None:
    site.answers[CONNECT].append(Answer(status))
    forget_tickets(site)
    with pytest.raises(ClosedByServer, match="Sign in first"):
        await ada.read(1)
    assert ada.client.state.status is Status.CLOSED


async def test_a_ticket_of_somebody_else_is_the_end(site: ModelSite, ada: Any) -> None:
    bobs = Answer(body=site.descriptor(BOB, user={"id": BOB.id}))
    site.answers[CONNECT].append(bobs)
    forget_tickets(site)
    with pytest.raises(IdentityChanged, match="u:2"):
        await ada.read(1)
    assert bobs.body["ticket"] not in site.chat.presented()


async def test_so_is_one_that_does_not_say_whose_it_is(
    site: ModelSite, ada: Any
) -> None:
    bobs = Answer(body=site.descriptor(BOB))
    site.answers[CONNECT].append(bobs)
    forget_tickets(site)
    with pytest.raises(IdentityChanged):
        await ada.read(1)
    assert site.chat.presented()[-1] == bobs.body["ticket"]
    assert ada.client.user == ADA


async def test_a_user_who_would_be_a_guest_asks_for_a_ticket(
    site: ModelSite, ada: Any
) -> None:
    site.chat.takes_guests = True
    body = site.descriptor(ADA, user={"id": ADA.id})
    site.answers[CONNECT].append(Answer(body=body))
    forget_tickets(site)
    await ada.until(Status.ONLINE, times=2)
    assert ada.client.user == ADA

    forget_tickets(site)
    with pytest.raises(IdentityChanged, match="guest"):
        await ada.read(1)


async def test_tickets_that_do_not_help_are_asked_for_ever_more_slowly(
    site: ModelSite, ada: Any
) -> None:
    bad = site.descriptor(ADA, user={"id": ADA.id})
    site.answers[CONNECT] = [Answer(body=bad) for _ in range(4)]
    backoff = ada.client._link._backoff
    next_delay, waits = backoff.next_delay, []

    def noted(at_least: float = 0.0) -> float:
        waits.append(next_delay(at_least))
        return waits[-1]

    backoff.next_delay = noted
    site.chat.tickets.clear()
    site.chat.cut_all()
    with pytest.raises(ClosedByServer):
        await ada.read(1)

    assert len(site.asked_for(CONNECT)) == 1 + 4 + 1
    # After the cut, and before each time of asking but the first.
    assert len(waits) == 1 + 4


async def test_the_text_of_a_no_at_the_door_is_heard(
    site: ModelSite, visit: Visit
) -> None:
    """Said before hello, and closed: hello may find nobody there any more."""
    site.chat.gives_tickets = True
    ada = await visit(rooms=["a"])

    def deaf(peer: Peer, command: commands.Command) -> Fault | None:
        return Fault.SILENCE if peer.ticket is not None else None

    site.chat.on_command = deaf
    site.chat.tickets.clear()
    site.chat.cut_all()
    async with asyncio.timeout(LIMIT_SECONDS):
        await ada.until(Status.ONLINE, times=2)
    reasons = [s.reason for s in ada.states if s.status is Status.WAITING]
    assert "4004" in reasons[1]


def forget_tickets(site: ModelSite) -> None:
    """Cut everybody off, and have only those tickets be good that are to be asked."""
    asked = {each.body["ticket"] for each in site.answers[CONNECT] if each.body}
    for ticket in set(site.chat.tickets) - asked:
        del site.chat.tickets[ticket]
    site.chat.cut_all()
