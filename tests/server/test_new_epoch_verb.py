"""`headgate new-epoch`: after a restored backup nobody who comes back misses any."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from headgate.client import Client
from headgate.protocol.pushes import Reset
from tests.conftest import Serve
from tests.servers import run_headgate
from tests.small_project import SmallProject
from tests.steady import BUSY_SECONDS

LIMIT_SECONDS = 30 + BUSY_SECONDS


def copy(file: Path, to: Path) -> None:
    """Copy a database that is in use, as `sqlite3 … .backup` does."""
    with (
        contextlib.closing(sqlite3.connect(file)) as source,
        contextlib.closing(sqlite3.connect(to)) as target,
    ):
        source.backup(target)


async def write(client: Client, *texts: str) -> None:
    for text in texts:
        await client.send("general", text)


async def texts_of(client: Client) -> list[str]:
    page = await client.history("general", limit=50)
    return [each.text for each in page.messages]


async def test_whoever_comes_back_is_told_to_load_the_room(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve("--guests")
    backup = tmp_path / "backup.sqlite3"
    async with (
        asyncio.timeout(LIMIT_SECONDS),
        Client(server.url, rooms=["general"], name="Ada") as ada,
    ):
        await write(ada, "one", "two")
        copy(server.sqlite_file, backup)
        await write(ada, "lost", "lost too")
        assert await texts_of(ada) == ["one", "two", "lost", "lost too"]

        assert server.stop() == 0
        for each in server.data.glob("chat.sqlite3*"):
            each.unlink()
        copy(backup, server.sqlite_file)
        done = run_headgate("new-epoch", "--data", server.data)
        assert done.returncode == 0
        assert done.stdout == (
            "1 room has begun a new epoch. Whoever comes back loads them afresh.\n"
        )
        server.restart()
        # Others write as much as was lost, and more, before Ada is back.
        async with Client(server.url, rooms=["general"], name="Bo") as other:
            await write(other, "three", "four", "five")
        async for told in ada:
            if isinstance(told, Reset):
                break
        assert await texts_of(ada) == ["one", "two", "three", "four", "five"]


def test_in_a_project(project: SmallProject) -> None:
    done = project.manage("headgate", "new-epoch", code=0)
    assert done.stdout.startswith("0 rooms have begun a new epoch.")


def test_where_there_is_nothing(tmp_path: Path) -> None:
    done = run_headgate("new-epoch", "--data", tmp_path / "nothing")
    assert done.returncode == 4
    assert "There is no server's data in" in done.stderr
    assert not (tmp_path / "nothing").exists()
