"""permessage-deflate is off: who offers it is served without."""

from __future__ import annotations

import json

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.conftest import Serve
from tests.server.hostile import FIN, TEXT, Hostile, client_frame

OFFER = "permessage-deflate; client_max_window_bits; server_no_context_takeover"


async def test_a_client_that_offers_it_is_served_without(serve: Serve) -> None:
    server = serve("--guests", "--demo")
    async with connect(
        f"{server.ws_url}/ws/chat/",
        subprotocols=[Subprotocol("headgate.v1")],
        compression="deflate",
    ) as socket:
        await socket.send('{"cmd":"hello","id":1}')
        answer = json.loads(await socket.recv())

        assert socket.request is not None
        assert (
            "permessage-deflate" in socket.request.headers["Sec-WebSocket-Extensions"]
        )
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        assert socket.protocol.extensions == []
        assert answer["push"] == "welcome"


@pytest.mark.parametrize("offer", [OFFER, f"{OFFER}, permessage-deflate", "x-unknown"])
def test_the_answer_to_the_handshake_names_none(serve: Serve, offer: str) -> None:
    server = serve("--guests", "--demo")
    port = int(server.url.rpartition(":")[2])
    lines = (
        f"Sec-WebSocket-Extensions: {offer}\r\nSec-WebSocket-Protocol: headgate.v1\r\n"
    )
    with Hostile(port, "/ws/chat/", more=lines) as client:
        client.send(client_frame(FIN | TEXT, b'{"cmd":"hello","id":1}'))
        _, answer = next(client.frames())

    assert b"sec-websocket-extensions" not in client.head.lower()
    assert json.loads(answer)["push"] == "welcome"
