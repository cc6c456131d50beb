"""Servers that want a password or allow less; and no password in any log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from headgate.relay import open_relay
from headgate.relay.redis import RedisRelay
from headgate.relay.redis.failures import ServerRefused, reason
from tests.accepting import stop_accepting
from tests.redis_server import RedisServer
from tests.relay.ears import Ears, eventually, linked

SECRET = "s3cr3t-of-the-url"


@pytest.fixture
def user(redis_server: RedisServer) -> Iterator[str]:
    """The name of a user of the server who may do everything with the secret."""
    with redis_server.client() as client:
        command: Any = client.execute_command
        command(
            "ACL", "SETUSER", "relay", "reset", "on", f">{SECRET}", "~*", "&*", "+@all"
        )
        yield "relay"
        command("ACL", "DELUSER", "relay")


def url_of(server: RedisServer, password: str = SECRET) -> str:
    return f"redis://relay:{password}@127.0.0.1:{server.port}/2"


async def test_by_user_and_password(redis_server: RedisServer, user: str) -> None:
    ears = Ears()
    relay = RedisRelay(url_of(redis_server), ears, namespace="test")
    publisher = RedisRelay(redis_server.url, Ears(), namespace="test")
    await linked(relay, ears, "a")
    publisher.publish("a", b"1")

    await ears.hears(("a", b"1"))
    with redis_server.client() as client:
        assert [each["user"] for each in client.client_list(_type="pubsub")].count(
            user
        ) == 1
    await relay.close()
    await publisher.close()


async def test_a_wrong_password_is_told_without_it(
    redis_server: RedisServer, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    relay = RedisRelay(url_of(redis_server, f"{SECRET}2"), Ears(), namespace="test")
    await eventually(lambda: relay.away)
    await relay.close()

    assert "relay_away connection=" in caplog.text
    assert "AuthenticationError" in caplog.text
    assert SECRET not in caplog.text


def test_a_refusal_is_its_first_word() -> None:
    refused = ServerRefused.of(f"ERR unknown command, beginning with: {SECRET}")

    assert reason(refused) == "ServerRefused:ERR"
    assert SECRET not in str(refused)


@pytest.fixture
async def quoting_port() -> AsyncIterator[int]:
    """A server that knows no command, and quotes what it was sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            quoted = data.replace(b"\r\n", b" ")
            writer.write(b"-ERR unknown command, beginning with: %b\r\n" % quoted)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    await stop_accepting(server)
    await server.wait_closed()


async def test_a_server_that_quotes_what_it_was_sent_is_not_quoted(
    quoting_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"redis://:{SECRET}@127.0.0.1:{quoting_port}/0"
    relay = RedisRelay(url, Ears(), namespace="test")
    await eventually(lambda: relay.away)
    await relay.close()

    assert "relay_away connection=" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}/@127.0.0.1/0",  # a stroke that was not quoted
        f"http://:{SECRET}@127.0.0.1/0",
        f"redis://:{SECRET}@127.0.0.1/0?unknown={SECRET}",
        f"redis://:x@127.0.0.1/0?socket_timeout={SECRET}",
        SECRET,
    ],
)
async def test_a_url_that_cannot_be_used_is_refused_without_quoting_it(
    url: str,
) -> None:
    with pytest.raises(ValueError, match="The URL of Redis cannot be used") as refused:
        open_relay(url, "test", Ears())

    assert SECRET not in str(refused.value)
    assert refused.value.__suppress_context__


async def test_a_fault_of_ours_is_logged_once_and_leaves_no_connection(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as a password that cannot be encoded, when it is connected already."""
    url = f"redis://:\udc80@127.0.0.1:{redis_server.port}/0"
    with redis_server.client() as client:
        found: Any = client.info("stats")
        before = found["total_connections_received"]
        relay = RedisRelay(url, Ears(), namespace="test")

        def tried() -> bool:
            now: Any = client.info("stats")
            return bool(now["total_connections_received"] >= before + 6)

        await eventually(tried)
        await relay.close()
        await eventually(lambda: len(client.client_list()) == 1)
    names = [each.getMessage().split()[0] for each in caplog.records]
    assert names == ["relay_away", "relay_failed", "relay_failed"]


@pytest.mark.parametrize("option", ["protocol=3", "max_connections=1", "client_name=x"])
async def test_options_of_the_url_change_nothing_that_is_ours(
    redis_server: RedisServer, option: str
) -> None:
    ears = Ears()
    relay = RedisRelay(f"{redis_server.url}?{option}", ears, namespace="test")
    publisher = RedisRelay(f"{redis_server.url}?{option}", Ears(), namespace="test")
    await linked(relay, ears, "a")
    publisher.publish("a", b"1")

    await ears.hears(("a", b"1"))
    assert not relay.reconnects
    await relay.close()
    await publisher.close()


async def test_who_may_not_use_the_channels_is_away_and_says_so_once(
    redis_server: RedisServer, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "headgate.relay")
    ears = Ears()
    with redis_server.client() as client:
        command: Any = client.execute_command
        command("ACL", "SETUSER", user, "resetchannels", "&other:*")
        relay = RedisRelay(url_of(redis_server), ears, namespace="test")
        relay.watch("a")
        calls = redis_server.calls
        await eventually(lambda: calls("auth") >= 8)  # four trials of each connection
        assert relay.away
        assert len(caplog.records) == 1
        assert "ServerRefused:NOPERM" in caplog.text
        command("ACL", "SETUSER", user, "&test:*")

    await ears.doubts_all(["a"])
    await eventually(lambda: not relay.away)
    assert [each.getMessage().split()[0] for each in caplog.records] == [
        "relay_away",
        "relay_back",
    ]
    await relay.close()
