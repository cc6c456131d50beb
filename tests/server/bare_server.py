"""A server with a tiny application, on uvicorn's protocol or on ours.

    python -m tests.server.bare_server uvicorn|headgate

The rest is as `headgate serve` has it. `/echo` answers texts and bytes with
themselves, and `/busy` accepts and receives nothing more.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

import django
import uvicorn


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve one WebSocket."""
    await receive()
    await send({"type": "websocket.accept"})
    if scope["path"] == "/busy":
        await asyncio.Event().wait()
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def main() -> None:
    """Serve until the process is ended."""
    ws: Any = "websockets-sansio"
    if sys.argv[1] == "headgate":
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
        django.setup()
        from headgate.server.websocket_protocol import ChatWebSocketProtocol

        ws = ChatWebSocketProtocol
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        application,
        http="httptools",
        ws=ws,
        ws_max_size=64 * 1024,
        ws_per_message_deflate=False,
        ws_ping_interval=25,
        ws_ping_timeout=20,
        lifespan="off",
        log_level="warning",
    )
    listening.listen(2048)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
