"""Descriptors: whom they are for, and what a client that is nobody yet does."""

from __future__ import annotations

import asyncio

import pytest

from headgate.client import (
    Client,
    ClosedByServer,
    DescriptorRefused,
    RoomRefused,
    Status,
)
from headgate.protocol import commands, pushes
from headgate.protocol.codes import Code
from tests.client.conftest import Visit, Watched
from tests.client.model_server import LIMIT_SECONDS, Fault, Peer, refusal
from tests.client.model_site import ADA, BOB, CONNECT, Answer, ModelSite

COMMENT = "/orders/7/comment"


async def test_a_client_that_nobody_knows_waits_for_an_answer(
    site: ModelSite, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    site.chat.takes_guests = False
    ada = await visit(headers={"Authorization": "Token 1"})
    assert ada.client.user is None
    assert ada.client.state.status is Status.WAITING
    assert "waiting for an HTTP answer" in caplog.text
    reading = asyncio.ensure_future(ada.read(1))

    found = site.descriptor(ADA, "order-7")
    site.connect(COMMENT, found)
    await ada.client.http.post(COMMENT)

    assert ada.client.user == ADA
    assert site.chat.presented() == [None, found["ticket"]]
    assert site.chat.peers[0].rooms == {"order-7"}
    site.chat.write("order-7", "On its way.")
    assert [push.text for push in await reading] == ["On its way."]
    assert len(site.asked_for(CONNECT)) == 1


async def test_a_client_that_was_not_opened_is_opened(site: ModelSite) -> None:
    guest = pushes.Author(id="guest-9", kind="guest", name="Guest")
    for author in (ADA, guest):
        client = Client(site.url)
        site.connect(COMMENT, site.descriptor(author, "order-7"))
        await client.http.post(COMMENT)
        assert client.user == author
        assert client.guest == ("guest-9" if author is guest else None)
        assert (await client.send("order-7", "Where is it?")).seq
        async with client:  # begins with what it has
            assert client.user == author
    assert len(site.chat.requests) == 2


async def test_a_guest_whom_nobody_asked_for_becomes_the_user(
    site: ModelSite, visit: Visit
) -> None:
    ada = await visit(headers={"Authorization": "Token 1"})
    assert ada.client.user.kind == "guest"
    site.connect(COMMENT, site.descriptor(ADA, "order-7"))
    await ada.client.http.post(COMMENT)

    assert ada.client.user == ADA
    assert ada.client.guest is None
    assert ada.times(Status.ONLINE) == 2
    await site.chat.until(lambda: len(site.chat.peers) == 1)
    assert site.chat.peers[0].rooms == {"order-7"}
    joins = [c for c in site.chat.seen if hasattr(c, "room")]
    assert len(joins) == 1  # none of them as the guest


async def test_an_answer_that_comes_before_the_first_welcome(site: ModelSite) -> None:
    """It is for the user, and hello was said as a guest."""
    held: list[tuple[Peer, commands.Command]] = []

    def hold(peer: Peer, command: commands.Command) -> Fault | None:
        if isinstance(command, commands.Hello) and not held:
            held.append((peer, command))
            return Fault.SILENCE
        return None

    site.chat.on_command = hold
    client = Client(site.url, headers={"Authorization": "Token 1"})
    opening = asyncio.ensure_future(client.open())
    await site.chat.until(lambda: held)
    following = asyncio.ensure_future(
        client.attach(site.descriptor(ADA, "order-7")),
    )
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.sleep(0)  # it has looked at who the client is
        site.chat._carry_out(*held[0])
        await asyncio.gather(opening, following)

    assert client.user == ADA
    assert site.chat.peers[-1].rooms == {"order-7"}
    await client.close()


@pytest.mark.parametrize("options", [{"guest": "guest-9"}, {"rooms": ["a"]}])
async def test_but_not_a_guest_who_is_somebody_already(
    site: ModelSite,
    visit: Visit,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, object],
) -> None:
    ada = await visit(**options)
    before = ada.client.user
    site.connect(COMMENT, site.descriptor(ADA, "order-7"))
    await ada.client.http.post(COMMENT)

    assert "for somebody else" in caplog.text
    with pytest.raises(DescriptorRefused, match="somebody else"):
        await ada.client.attach(site.descriptor(ADA, "order-7"))
    assert ada.client.user == before
    assert "order-7" not in site.chat.peers[0].rooms
    assert len(site.chat.requests) == 1


async def test_a_descriptor_of_another_user_is_refused(
    site: ModelSite, visit: Visit
) -> None:
    ada = await visit()
    await ada.client.attach(site.descriptor(ADA))
    assert ada.client.user == ADA
    bobs = site.descriptor(BOB, "order-7", user={"id": BOB.id})
    with pytest.raises(DescriptorRefused):
        await ada.client.attach(bobs)
    adas = site.descriptor(ADA, "order-7", user={"id": ADA.id})
    await ada.client.attach(adas)
    assert site.chat.peers[-1].rooms == {"order-7"}


async def test_a_room_of_a_descriptor_that_is_not_for_us(
    site: ModelSite, visit: Visit
) -> None:
    site.chat.refused["secret"] = refusal(Code.NOT_FOUND)
    ada = await visit()
    with pytest.raises(RoomRefused, match="secret"):
        await ada.client.attach(site.descriptor(ada.client.user, "a", "secret"))
    assert site.chat.peers[0].rooms == {"a"}


async def test_a_call_of_a_client_that_nobody_knows_tries_again(
    site: ModelSite, visit: Visit
) -> None:
    site.chat.takes_guests = False
    ada = await visit()
    site.chat.takes_guests = True  # as after a sign-in that set the cookie
    async with asyncio.timeout(LIMIT_SECONDS):
        await ada.client.join("a")
    assert ada.client.user is not None


async def test_and_says_why_it_cannot(site: ModelSite, visit: Visit) -> None:
    site.chat.takes_guests = False
    ada = await visit()
    with pytest.raises(ClosedByServer, match="Sign in first"):
        await ada.client.join("a")
    with pytest.raises(ClosedByServer):
        await ada.read(1)
    site.connect(COMMENT, site.descriptor(ADA, "order-7"))
    assert (await ada.client.http.post(COMMENT)).status_code == 201
    assert len(site.chat.requests) == 2  # the end is the end


async def test_http_may_know_who_the_websocket_does_not(site: ModelSite) -> None:
    site.chat.takes_guests = False
    body = site.descriptor(ADA, user={"id": ADA.id})
    site.answers[CONNECT].append(Answer(body=body))
    watched = Watched(site.url, rooms=["a"], headers={"Authorization": "Token 1"})
    async with asyncio.timeout(LIMIT_SECONDS), watched.client as client:
        assert client.user == ADA
        assert site.chat.peers[0].rooms == {"a"}
    assert site.asked[0].headers["authorization"] == "Token 1"
    assert site.chat.presented() == [None, body["ticket"]]


async def test_joining_goes_on_when_the_connection_is_lost_meanwhile(
    site: ModelSite, visit: Visit
) -> None:
    ada = await visit(rooms=["a"])
    site.chat.cut_all()
    site.connect(COMMENT, site.descriptor(ada.client.user, "order-7"))
    await ada.client.http.post(COMMENT)

    assert site.chat.peers[0].rooms == {"a", "order-7"}


async def test_closing_while_an_answer_is_followed(site: ModelSite) -> None:
    client = Client(site.url)
    site.chat.refused_handshakes = [(503, {"Retry-After": "60"})] * 9
    site.connect(COMMENT, site.descriptor(ADA, "order-7"))
    posting = asyncio.ensure_future(client.http.post(COMMENT))
    await site.chat.until(lambda: site.chat.requests)
    await client.close()
    async with asyncio.timeout(LIMIT_SECONDS):
        assert (await posting).status_code == 201
