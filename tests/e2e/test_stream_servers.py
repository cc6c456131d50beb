"""The event stream on servers beside ours: it flows, resumes, and ends with them."""

from __future__ import annotations

import contextlib
import time
from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bare import welcomed
from tests.e2e.other_servers import KINDS, Kind, OtherServer, Site, make_site
from tests.e2e.streams import streaming
from tests.steady import SteadyClock

STOP_SECONDS = 8.0  # where streams would hold it up for longer than a test waits

# Those that differ in how they answer requests.
STREAMING = [
    kind for kind in KINDS if kind.name not in {"uvicorn-wsproto", "daphne-runserver"}
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The project's database, made once."""
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(params=STREAMING, ids=lambda kind: kind.name)
def server(
    request: pytest.FixtureRequest, site: Site, tmp_path: Path
) -> Iterator[OtherServer]:
    """A server of each kind."""
    kind: Kind = request.param
    with contextlib.closing(OtherServer(kind, site, tmp_path)) as server:
        server.start()
        yield server


async def test_it_flows_resumes_and_ends(
    server: OtherServer, site: Site, steady: SteadyClock
) -> None:
    signed_in = {"Cookie": site.cookie}
    async with welcomed(server.ws_url, "kitchen/") as ada:
        async with streaming(server, "kitchen", headers=signed_in) as first:
            await ada.ask(cmd="send", id=1, room="kitchen", text="one")
            assert (await first.named("message")).said["seq"] == 1
        await ada.ask(cmd="send", id=2, room="kitchen", text="two")

    async with streaming(
        server, "kitchen", headers=signed_in, last_id=first.last_id
    ) as back:
        assert (await back.named("message")).said["seq"] == 2
        assert back.heard[0].said["user"]["name"] == "Ada"
        if server.kind.name in {"uvicorn", "gunicorn"}:
            begun = time.monotonic()
            await to_thread(server.stop)
            await back.over()  # raises where the answer was cut off
            assert steady.since(begun) < STOP_SECONDS
