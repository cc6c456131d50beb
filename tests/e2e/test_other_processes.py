"""What other processes write is seen: project code, and a second server."""

from __future__ import annotations

import asyncio
import contextlib

from headgate.client import Client
from headgate.protocol.pushes import Message
from tests.conftest import Serve
from tests.e2e.bare import LIMIT_SECONDS, Bare, welcomed
from tests.e2e.project import project
from tests.steady import BUSY_SECONDS, SteadyClock

SEEN_SECONDS = 2.0  # between a commit elsewhere and its push here


async def test_project_code_is_seen_and_rolled_back_code_never(
    serve: Serve,
    steady: SteadyClock,
    database_url: str | None,
) -> None:
    server = serve("--guests", "--demo", database_url=database_url)

    async with (
        project(server) as shop,
        welcomed(server.ws_url, "general/") as ada,
        welcomed(server.ws_url, "help/") as bob,
    ):
        await shop.begin()
        sent = await shop.send("general", "Order 7 is paid.")
        await shop.send("help", "Order 7 asks.")
        assert sent["seq"] == 1
        with contextlib.suppress(TimeoutError):  # longer than heads are compared
            await ada.hear(SEEN_SECONDS)
        assert ada.heard[1:] == []
        committed_at = await shop.commit()
        for bare in (ada, bob):
            seen = await bare.hear()
            assert steady.since(committed_at) < SEEN_SECONDS + BUSY_SECONDS
            assert (seen["seq"], seen["author"]["kind"]) == (1, "system")
        assert ada.heard[-1]["text"] == "Order 7 is paid."

        await shop.begin()
        assert (await shop.send("general", "Order 8 is paid."))["seq"] == 2
        await shop.roll_back()
        await shop.begin()
        await shop.begin()
        assert (await shop.send("general", "Order 9 is paid."))["seq"] == 2
        await shop.roll_back()  # the savepoint alone
        assert (await shop.send("general", "Order 10 is paid."))["seq"] == 2
        committed_at = await shop.commit()
        seen = await ada.hear()
        assert steady.since(committed_at) < SEEN_SECONDS + BUSY_SECONDS
        assert (seen["seq"], seen["text"]) == (2, "Order 10 is paid.")

        # What the server writes itself goes on right behind, and finds no hole.
        reply = await ada.ask(cmd="send", id=1, room="general", text="Thanks.")
        assert reply["seq"] == 3
        page = await ada.ask(cmd="history", id=2, room="general", of="events")
        texts = [event["text"] for event in page["events"]]
        assert texts == ["Order 7 is paid.", "Order 10 is paid.", "Thanks."]


ROOMS = ("general", "help")
MESSAGES = 60  # per writer and room


async def write(client: Client, room: str, name: str) -> dict[int, str]:
    """Send one message after the other; return the texts by their seqs."""
    texts = [f"{name} {number}" for number in range(MESSAGES)]
    return {(await client.send(room, text)).seq: text for text in texts}


Seen = dict[str, list[tuple[int, str]]]


async def read(client: Client, upto: int) -> Seen:
    """Return the messages of each room in the order in which a client gave them."""
    seen: Seen = {room: [] for room in ROOMS}
    async with asyncio.timeout(LIMIT_SECONDS):
        while any(not rows or rows[-1][0] < upto for rows in seen.values()):
            push = await anext(client)
            if isinstance(push, Message):
                seen[push.room].append((push.seq, push.text))
    return seen


async def listen(bare: Bare, upto: int) -> Seen:
    """The same off the wire: our client would mend holes and leave out doubles."""
    seen: Seen = {room: [] for room in ROOMS}
    async with asyncio.timeout(LIMIT_SECONDS):
        while any(not rows or rows[-1][0] < upto for rows in seen.values()):
            push = await bare.hear()
            if push["push"] == "message":
                seen[push["room"]].append((push["seq"], push["text"]))
    return seen


async def test_two_servers_on_one_database(
    serve: Serve,
    database_url: str | None,
) -> None:
    first = serve("--guests", "--demo", database_url=database_url)
    second = serve("--guests", share=first)
    last = MESSAGES * 4

    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        bares = [
            await enter(welcomed(server.ws_url, resume=dict.fromkeys(ROOMS, 0)))
            for server in (first, second)
        ]
        listening = [asyncio.create_task(listen(bare, last)) for bare in bares]
        clients = [
            await enter(Client(server.url, rooms=ROOMS))
            for server in (first, first, second, second)
        ]
        written = await asyncio.gather(
            *(
                write(client, room, f"{number}")
                for number, client in enumerate(clients)
                for room in ROOMS
            ),
        )
        seen = await asyncio.gather(*(read(client, last) for client in clients))
        seen += await asyncio.gather(*listening)

    for number, room in enumerate(ROOMS):
        expected: dict[int, str] = {}
        for texts in written[number :: len(ROOMS)]:
            expected |= texts
        assert sorted(expected) == list(range(1, last + 1))
        for each in seen:
            assert each[room] == sorted(expected.items())
