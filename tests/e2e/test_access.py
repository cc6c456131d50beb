"""What ends somebody's access reaches the sockets of every process in two seconds."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import pytest

from headgate.protocol.codes import Close
from tests.conftest import Serve
from tests.e2e.accounts import PASSWORD, make_account
from tests.e2e.bare import Bare, plain, welcomed
from tests.e2e.browser import Browser
from tests.e2e.project import Project, project
from tests.e2e.wire import wire
from tests.servers import HeadgateServer
from tests.steady import BUSY_SECONDS, SteadyClock

SEEN_SECONDS = 2.0
LATE_SECONDS = SEEN_SECONDS + BUSY_SECONDS


CutOff = Callable[..., Awaitable[None]]


def signed_in(server: HeadgateServer, name: str = "ada") -> Browser:
    """Return a browser that has signed in."""
    browser = Browser(server)
    browser.sign_in(name)
    return browser


def socket(
    server: HeadgateServer,
    browser: Browser,
    path: str = "general/",
) -> contextlib.AbstractAsyncContextManager[Bare]:
    """Open a WebSocket as a page in a browser does."""
    return welcomed(server.ws_url, path, origin=server.url, cookie=browser.cookie)


@pytest.fixture
def cut_off(steady: SteadyClock) -> CutOff:
    """Wait until sockets are closed, in time, and with the reason before it."""

    async def wait(since: float, close: Close, code: str, *bares: Bare) -> None:
        for bare in bares:
            assert await bare.closed() == close
            assert steady.since(since) < LATE_SECONDS
            reason = bare.heard[-1]
            assert (reason["reply"], reason["error"]["code"]) == (None, code)

    return wait


async def test_signing_out_closes_the_sockets_of_that_session_everywhere(
    serve: Serve,
    steady: SteadyClock,
    cut_off: CutOff,
    database_url: str | None,
) -> None:
    first = serve("--demo", database_url=database_url)
    second = serve(share=first)
    make_account(first, "ada")
    laptop, phone = signed_in(first), signed_in(first)

    async with (
        socket(first, laptop) as here,
        socket(second, laptop) as there,
        socket(second, phone) as other,
        plain(
            second.ws_url,
            "general/",
            origin=second.url,
            cookie=laptop.cookie,
        ) as simple,
    ):
        await other.ask(cmd="send", id=1, room="general", text="before")
        for bare in (here, there):
            assert (await bare.hear())["text"] == "before"
        await asyncio.to_thread(laptop.sign_out)
        since = time.monotonic()
        await cut_off(since, Close.ACCESS_REVOKED, "unauthenticated", here, there)
        assert await simple.closed() == Close.ACCESS_REVOKED
        assert steady.since(since) < LATE_SECONDS
        assert simple.heard[-1]["error"] == "unauthenticated"

        reply = await other.ask(cmd="send", id=2, room="general", text="after")
        assert reply["seq"] == 2
        for bare in (here, there):
            assert len(bare.heard) == 3  # the welcome, a message, the reason


async def test_a_new_password_has_all_sockets_come_back_with_a_good_session(
    serve: Serve,
    cut_off: CutOff,
    database_url: str | None,
) -> None:
    first = serve("--demo", database_url=database_url)
    second = serve(share=first)
    make_account(first, "ada")
    laptop, phone = signed_in(first), signed_in(first)
    async with socket(first, laptop) as here, socket(second, phone) as there:
        await asyncio.to_thread(laptop.change_password, "another that is long enough")
        since = time.monotonic()
        await cut_off(since, Close.IDENTITY_CHANGED, "unauthenticated", here, there)

    async with socket(second, laptop) as back:
        assert back.heard[0]["user"]["kind"] == "user"
    with pytest.raises(RuntimeError, match="unauthenticated"):
        async with socket(second, phone):
            pass


async def make_accounts(shop: Project, *names: str) -> None:
    """Make accounts, by project code since that is faster than the command."""
    for name in names:
        await shop.run(f"User.objects.create_user({name!r}, password={PASSWORD!r})")


# By the name of the user that each is for.
ENDS = {
    "ada": """
ada = User.objects.get(username="ada")
ada.is_active = False
ada.save()
""",
    "bob": 'User.objects.get(username="bob").delete()',
    "cyd": """
cyd = User.objects.get(username="cyd")
User.objects.filter(username="cyd").update(is_active=False)
headgate.access_changed(user=cyd)
""",
}


async def test_accounts_that_project_code_ends(
    serve: Serve,
    cut_off: CutOff,
    database_url: str | None,
) -> None:
    server = serve("--demo", database_url=database_url)
    async with contextlib.AsyncExitStack() as stack:
        shop = await stack.enter_async_context(project(server))
        await make_accounts(shop, *ENDS, "grace")
        bares = {
            name: await stack.enter_async_context(
                socket(server, await asyncio.to_thread(signed_in, server, name)),
            )
            for name in (*ENDS, "grace")
        }

        for code in ENDS.values():
            await shop.begin()
            await shop.run(code)
            await shop.roll_back()
        with contextlib.suppress(TimeoutError):  # longer than notices are looked for
            await bares["ada"].hear(SEEN_SECONDS)

        for name, code in ENDS.items():
            await bares[name].ask(cmd="ping", id=1)
            since = await shop.run(code)
            await cut_off(since, Close.ACCESS_REVOKED, "forbidden", bares[name])
        await bares["grace"].ask(cmd="ping", id=1)


async def test_a_slow_transaction_and_a_fast_one(
    serve: Serve,
    cut_off: CutOff,
    database_url: str | None,
) -> None:
    """On PostgreSQL the slow one's notice has the lower id, and comes later."""
    server = serve("--demo", database_url=database_url)
    end = "User.objects.get(username={!r}).delete()"
    async with project(server) as slow, project(server) as fast:
        await make_accounts(fast, "ada", "bob")
        both = [
            await asyncio.to_thread(signed_in, server, name) for name in ("ada", "bob")
        ]
        async with socket(server, both[0]) as ada, socket(server, both[1]) as bob:
            await slow.begin()
            await slow.run(end.format("ada"))
            if database_url is not None:  # SQLite lets one write after the other
                since = await fast.run(end.format("bob"))
                await cut_off(since, Close.ACCESS_REVOKED, "forbidden", bob)
            await ada.ask(cmd="ping", id=1)
            since = await slow.commit()
            await cut_off(since, Close.ACCESS_REVOKED, "forbidden", ada)


AWAY_SECONDS = 4.0
# Comparing heads once a second, and opening its connection again.
BACK_SECONDS = 3.0 + BUSY_SECONDS


async def test_a_server_that_was_cut_off_from_its_database(
    serve: Serve,
    steady: SteadyClock,
    postgres_url: str,
) -> None:
    first = serve("--demo", database_url=postgres_url)
    async with project(first) as shop, wire(first.database_url or "") as cable:
        await make_accounts(shop, "ada", "bob")
        second = HeadgateServer(first.data, database_url=cable.url)
        try:
            await asyncio.to_thread(second.start)
            laptop = await asyncio.to_thread(signed_in, first, "ada")
            other = await asyncio.to_thread(signed_in, first, "bob")
            async with socket(second, laptop) as ada, socket(second, other) as bob:
                cable.cut()
                await asyncio.to_thread(laptop.sign_out)
                await shop.run(
                    "User.objects.filter(username='bob').update(is_active=False)",
                )
                with contextlib.suppress(TimeoutError):
                    await ada.hear(AWAY_SECONDS)
                assert len(ada.heard) == len(bob.heard) == 1

                cable.mend()
                mended_at = time.monotonic()
                assert await ada.closed() == Close.ACCESS_REVOKED
                # Noted by nobody: all are looked at again.
                assert await bob.closed() == Close.ACCESS_REVOKED
                assert steady.since(mended_at) < BACK_SECONDS
        finally:
            await asyncio.to_thread(second.stop)
