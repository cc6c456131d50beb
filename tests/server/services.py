"""Services of a real server: made in its database, called at receivers of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import httpx

from tests.servers import HeadgateServer

__all__ = ["LOCAL", "make_destination", "on_data", "post", "until", "where"]

# Lets a server call the receivers of these tests, which are on this machine.
LOCAL = {"HEADGATE_OUTBOUND_NETWORKS": "127.0.0.0/8"}

_BEGIN = """
import json, pathlib, sys
from headgate.server.options import ServeOptions, _database
from headgate.server.setup import set_up
data, database = sys.argv[1:]
set_up(ServeOptions(
    data=pathlib.Path(data), database=_database(database) if database else None
))
from headgate.chat.models import Room
from headgate.outbound.models import *
"""


def where(server: HeadgateServer) -> list[str]:
    """Return the options that name a server's data."""
    found = ["--data", str(server.data)]
    if server.database_url is not None:
        found += ["--database", server.database_url]
    return found


def on_data(server: HeadgateServer, code: str) -> str:
    """Run code on a server's database, and return what it prints."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            _BEGIN + code,
            str(server.data),
            server.database_url or "",
        ],
        env=os.environ | LOCAL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_destination(
    server: HeadgateServer, name: str, url: str, **columns: object
) -> None:
    """Make a webhook that is told of all messages."""
    given = {"url": url, "events": ["message"], "rooms": ["*"]} | columns
    on_data(server, f"Destination.objects.create(name={name!r}, **{given!r})")


def post(server: HeadgateServer, text: str, room: str = "general") -> None:
    """Write a message, as a guest."""
    there = f"{server.url}/ws/chat/{room}/"
    httpx.post(there, json={"message": text}, timeout=30).raise_for_status()


def until(what: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Wait until something is so."""
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, "it did not come to be so"
        time.sleep(0.05)
