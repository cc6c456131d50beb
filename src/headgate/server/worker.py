"""A worker: one of several processes that serve, as it sees its supervisor.

The supervisor (`headgate.server.workers`) starts it with the same command line, and
leaves it two sockets: the one that all listen on, and one between the two of them. By
that the worker says when it takes connections, and hears when it is to end. Its end is
that of the supervisor: whatever happened to it, nobody serves on without being watched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.server.chat_server import ChatServer  # which needs Django set up

__all__ = ["LISTENING", "NOW", "STOP", "VARIABLE", "Worker", "worker_here"]

# Number, listening socket and control socket, as `2:5:7`: for this process alone.
VARIABLE = "HEADGATE_WORKER"

LISTENING = b"L"  # from the worker: it takes connections
STOP = b"S"  # to the worker: send everybody away, and end
NOW = b"N"  # to the worker: end without waiting for anybody


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker was given."""

    number: int
    listening: socket.socket
    control: socket.socket

    def is_listening(self, server: ChatServer) -> None:
        """Tell the supervisor, and heed it from now on; called on the event loop."""
        loop = asyncio.get_running_loop()

        def hear() -> None:
            try:
                said = self.control.recv(16)
            except BlockingIOError:
                return
            except OSError:
                said = b""
            if NOW in said:
                server.hurry()
            server.stop()
            if not said:
                loop.remove_reader(self.control)  # the supervisor is gone

        self.control.setblocking(False)
        loop.add_reader(self.control, hear)
        with contextlib.suppress(OSError):  # it is gone, which `hear` is told
            self.control.send(LISTENING)


def worker_here(environment: MutableMapping[str, str]) -> Worker | None:
    """Return what this process is as a worker; None where it is none.

    The variable is taken away: whatever this process starts is no worker.
    """
    given = environment.pop(VARIABLE, "")
    if not given:
        return None
    number, listening, control = map(int, given.split(":"))
    for inherited in (listening, control):
        os.set_inheritable(inherited, False)
    return Worker(
        number, socket.socket(fileno=listening), socket.socket(fileno=control)
    )
