"""The Python client beside the limits of a real server, as they are by default."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from headgate.client import Client
from headgate.protocol.pushes import Message
from tests.conftest import Serve
from tests.e2e.bare import LIMIT_SECONDS, welcomed
from tests.server.scraping import Scrape, scrape
from tests.steady import SteadyClock

ON = {"HEADGATE_THROTTLING_ENABLED": "yes"}


def refusals(seen: Scrape) -> dict[str, float]:
    """Return how often each policy refused, as the server counts it."""
    name = "headgate_limit_decisions_total"
    return {
        policy: seen.of(name, policy=policy, outcome="refused")
        for policy in seen.values(name, "policy")
    }


async def texts(client: Client, count: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            push = await anext(client)
            if isinstance(push, Message):
                found.append(push.text)
    return found


async def test_a_burst_of_30_is_saved_in_order_with_no_refusal(
    serve: Serve, steady: SteadyClock
) -> None:
    server = serve("--guests", "--demo", "--metrics", environment=ON)
    began = time.monotonic()

    async with Client(server.url, rooms=["general"], name="Ada") as ada:
        sent = await asyncio.gather(*(ada.send("general", f"m{n}") for n in range(30)))
        assert [each.seq for each in sent] == list(range(1, 31))
        assert await texts(ada, 30) == [f"m{n}" for n in range(30)]
        seconds = steady.since(began)

    assert refusals(scrape(server)) == {}
    assert seconds < 25, "10 at once and 1 in a second: 20 s, and not much more"


async def test_somebody_else_behind_the_same_address(serve: Serve) -> None:
    """Guests there draw on the same limits: predictions are wrong, nothing is lost."""
    server = serve(
        "--guests", "--demo", "--metrics", "--limit", "send=5/s:5", environment=ON
    )

    async def disturb() -> None:
        async with welcomed(server.ws_url, "general/") as other:
            for number in range(8):
                said: dict[str, Any] = {"room": "general", "text": f"x{number}"}
                await other.say(cmd="send", id=number + 2, **said)
                await asyncio.sleep(0.1)

    async with Client(server.url, rooms=["general"], name="Ada") as ada:
        disturbing = asyncio.create_task(disturb())
        async with asyncio.timeout(3 * LIMIT_SECONDS):
            sent = await asyncio.gather(
                *(ada.send("general", f"m{n}") for n in range(12))
            )
            await disturbing
        page = await ada.history("general")

    seqs = [each.seq for each in sent]
    assert seqs == sorted(set(seqs))
    own = [each.text for each in page.messages if each.text.startswith("m")]
    assert own == [f"m{n}" for n in range(12)]
    assert sum(refusals(scrape(server)).values()) > 0
