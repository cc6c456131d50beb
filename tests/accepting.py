"""Closing a server of asyncio without losing a connection that is just being taken."""

from __future__ import annotations

import asyncio

__all__ = ["stop_accepting"]

# A connection that was taken has its transport, its protocol and its task in the next
# turns of the loop.
TURNS = 3


async def stop_accepting(server: asyncio.Server) -> None:
    """Close a server; those who are connected stay so, and are with their task.

    `Server.close` alone fails connections that were taken a moment ago and have no
    transport yet (Python 3.11): nobody closes their sockets.
    """
    loop = asyncio.get_running_loop()
    for sock in server.sockets:
        loop.remove_reader(sock.fileno())
    for _ in range(TURNS):
        await asyncio.sleep(0)
    server.close()
