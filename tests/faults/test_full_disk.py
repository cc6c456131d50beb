"""A disk that is full: refusals that say to try again, and no false acknowledgement."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bare import Bare, welcomed
from tests.servers import HeadgateServer

ROOMY = 64 * 1024 * 1024
LEFT = 256 * 1024  # bytes to write before the disk is full


class SmallDisk:
    """A folder on a file system of its own, which can be made full and larger.

    Where that may not be mounted, the size of the server's files is limited; then a
    write fails with another error, which SQLite takes for one of the disk.
    """

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder = folder
        self.mounted = mounted

    def make_full(self, server: HeadgateServer) -> None:
        """Leave very little room."""
        if self.mounted:
            files = [path for path in self.folder.rglob("*") if path.is_file()]
            used = sum(path.stat().st_blocks * 512 for path in files)
            self._remount(used + LEFT)
        else:
            wal = server.sqlite_file.with_name("chat.sqlite3-wal")
            self._limit(server, wal.stat().st_size + LEFT)

    def make_room(self, server: HeadgateServer) -> None:
        """Give it room again."""
        if self.mounted:
            self._remount(ROOMY)
        else:
            self._limit(server, resource.RLIM_INFINITY)

    def _remount(self, size: int) -> None:
        options = f"remount,size={size}"
        subprocess.run(["mount", "-o", options, str(self.folder)], check=True)

    def _limit(self, server: HeadgateServer, size: int) -> None:
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.fixture(params=["a full file system", "a limit on the size of files"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk that can be made full; without the right to mount, the second kind."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "headgate", str(folder)]
    wanted = request.param == "a full file system" and os.geteuid() == 0
    mounted = wanted and subprocess.run(mount, check=False).returncode == 0
    try:
        yield SmallDisk(folder, mounted=mounted)
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def running(server: HeadgateServer) -> Iterator[HeadgateServer]:
    server.start()
    try:
        yield server
    finally:
        if server.running:
            server.stop()
        sys.stderr.write(server.stderr)


class Sender:
    """Sends one message after the other and knows which are acknowledged."""

    def __init__(self, bare: Bare) -> None:
        self.acknowledged: dict[int, str] = {}
        self.refused: dict[str, int] = {}
        self._bare = bare
        self._number = 0

    async def send(self, client_id: str, size: int) -> bool:
        """Return whether it was saved; a refusal must say when to try again."""
        self._number += 1
        text = client_id.ljust(size, ".")
        said = {"room": "general", "client_id": client_id, "text": text}
        reply = await self._bare.ask(cmd="send", id=self._number, **said)
        if "error" not in reply:
            assert reply["seq"] not in self.acknowledged
            self.acknowledged[reply["seq"]] = text
            return True
        assert reply["error"]["code"] == "unavailable"
        assert reply["error"]["client_id"] == client_id
        assert 0 < reply["error"]["retry_after_ms"] <= 5000
        self.refused[client_id] = size
        return False


async def test_disk_full(disk: SmallDisk) -> None:
    server = HeadgateServer(disk.folder / "data", ["--guests", "--demo"])

    with running(server):
        async with (
            welcomed(server.ws_url, "general/") as watcher,
            welcomed(server.ws_url) as bare,
        ):
            sender = Sender(bare)
            assert await sender.send("first", 100)
            disk.make_full(server)
            number = 0
            while await sender.send(f"large-{number}", 8000):
                number += 1
                assert number < 1000, "the disk does not fill"
            for number in range(20):
                await sender.send(f"more-{number}", 4000)
            assert len(sender.refused) > 10

            # What is there can still be read.
            page = await bare.ask(cmd="history", id=10_000, room="general", limit=1)
            assert page["head"] == max(sender.acknowledged)

            disk.make_room(server)
            again, sender.refused = sender.refused, {}
            for client_id, size in again.items():
                assert await sender.send(client_id, size), "there is room again"
            last = max(sender.acknowledged)
            await watcher.hear_until(lambda said: said.get("seq") == last)

    seen = {said["seq"]: said["text"] for said in watcher.heard if "seq" in said}
    assert list(seen) == list(range(1, last + 1))
    assert seen == sender.acknowledged
    with contextlib.closing(sqlite3.connect(server.sqlite_file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = "SELECT seq, text FROM headgate_chat_event ORDER BY seq"
        assert dict(database.execute(rows)) == sender.acknowledged
