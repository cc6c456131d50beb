from __future__ import annotations

import socket
from typing import Any

import pytest

from headgate.client import HandshakeRefused
from headgate.client.cookies import in_jar
from headgate.client.dial import Dial, addresses
from headgate.client.errors import Lost
from headgate.client.pacing import Pacing
from tests.client.model_server import ModelServer


async def opened(server: ModelServer, **options: Any) -> Any:
    return await Dial(url=addresses(server.url).socket, **options).open(
        lambda: None, Pacing()
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h", ("ws://h/ws/chat/", "http://h", "http://h")),
        ("https://H:443/", ("wss://H:443/ws/chat/", "https://H:443/", "https://h")),
        ("ws://h:80", ("ws://h:80/ws/chat/", "http://h:80", "http://h")),
        (
            "wss://h:80/a/b/",
            ("wss://h:80/a/b/ws/chat/", "https://h:80/a/b/", "https://h:80"),
        ),
        (
            "http://u:p@h:8000",
            ("ws://u:p@h:8000/ws/chat/", "http://u:p@h:8000", "http://h:8000"),
        ),
        (
            "http://[::1]:8000",
            ("ws://[::1]:8000/ws/chat/", "http://[::1]:8000", "http://[::1]:8000"),
        ),
    ],
)
def test_addresses(url: str, expected: tuple[str, str, str]) -> None:
    assert addresses(url) == expected


@pytest.mark.parametrize(
    "url", ["", "h:8000", "ftp://h", "http://", "http://h/?a=1", "http://h/#a"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match=r"must not|is no"):
        addresses(url)


async def test_the_handshake_says_who_and_from_where(server: ModelServer) -> None:
    headers, jar = in_jar(server.url, {"X-A": "1"}, {"sessionid": "s"})
    connection = await opened(server, origin="http://o", headers=headers, jar=jar)
    await connection.close()

    sent = server.requests[0].headers
    assert sent["Origin"] == "http://o"
    assert sent["Cookie"] == "sessionid=s"
    assert sent["X-A"] == "1"
    assert sent["Sec-WebSocket-Protocol"] == "headgate.v1"
    assert server.requests[0].path == "/ws/chat/"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 426])
async def test_a_no_is_final(server: ModelServer, status: int) -> None:
    server.refused_handshakes = [(status, {})]
    with pytest.raises(HandshakeRefused) as caught:
        await opened(server)
    assert caught.value.status == status


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_a_later_is_not(server: ModelServer, status: int) -> None:
    server.refused_handshakes = [(status, {"Retry-After": "7"})]
    with pytest.raises(Lost) as caught:
        await opened(server)
    assert caught.value.retry_in_seconds == 7


async def test_an_odd_retry_after_is_no_hint(server: ModelServer) -> None:
    server.refused_handshakes = [(503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00"})]
    with pytest.raises(Lost) as caught:
        await opened(server)
    assert caught.value.retry_in_seconds == 0


async def test_a_server_that_does_not_speak_the_protocol(server: ModelServer) -> None:
    server.subprotocol = False
    with pytest.raises(HandshakeRefused, match=r"headgate\.v1"):
        await opened(server)


async def test_a_server_that_is_away() -> None:
    with socket.socket() as bound:  # bound but not listening: refuses
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(Lost, match=r"could not connect: Connection refused$"):
            await Dial(url=f"ws://127.0.0.1:{port}/").open(lambda: None, Pacing())


async def test_a_server_that_accepts_and_says_nothing() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        dial = Dial(url=f"ws://127.0.0.1:{port}/", open_timeout_seconds=0.05)
        with pytest.raises(Lost, match="timed out"):
            await dial.open(lambda: None, Pacing())
