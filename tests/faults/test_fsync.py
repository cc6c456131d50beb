"""On SQLite a message is on the disk before its author is told so.

`kill -9` cannot show that, since what a process has written is the kernel's; only a
loss of power would. So the system calls are looked at.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.e2e.bare import welcomed
from tests.faults import unsafe_server
from tests.faults.conftest import left_out
from tests.faults.strace import Did, steps, unsynced, wrapper
from tests.servers import HeadgateServer

TEXTS = {seq: f"<message {seq}>" for seq in range(1, 31)}


async def send(server: HeadgateServer) -> None:
    """Send messages, each when the one before it is acknowledged."""
    async with welcomed(server.ws_url, "general/") as bare:
        for seq, text in TEXTS.items():
            reply = await bare.ask(cmd="send", id=seq, room="general", text=text)
            assert reply["seq"] == seq


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    if shutil.which("strace") is None:
        left_out("strace is not installed")
    return tmp_path / "trace"


def test_synced_before_it_is_acknowledged(
    serve: Serve,
    trace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", str(wrapper(trace.parent, trace)))
    server = serve("--guests", "--demo")

    asyncio.run(send(server))
    server.stop()

    told, early = unsynced(trace.read_text(), TEXTS)
    assert told == list(TEXTS)
    assert early == []


def test_control_without_syncs_the_check_fails(
    serve: Serve,
    trace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    python = wrapper(trace.parent, trace, str(unsafe_server.__file__))
    monkeypatch.setattr(sys, "executable", str(python))
    server = serve("--guests", "--demo")

    asyncio.run(send(server))
    server.stop()

    told, early = unsynced(trace.read_text(), TEXTS)
    assert told == list(TEXTS)
    assert early == told
    assert any(step.did is Did.WROTE for step in steps(trace.read_text()))


@pytest.mark.parametrize(
    ("order", "in_time"),
    [
        (["write", "sync", "say"], True),
        (["write", "write", "sync begins", "sync returns", "say"], True),
        (["write", "sync begins", "say", "sync returns"], False),
        (["write", "sync", "write", "say"], False),
        (["write", "say", "sync"], False),
        (["sync", "say"], False),
        (["write another", "sync", "say", "write", "sync"], False),
        (["write", "sync of another file", "say"], False),
        (["write", "sync that fails", "say"], False),
    ],
)
def test_the_check_itself(order: list[str], *, in_time: bool) -> None:
    lines = {
        "write": '7 1.0 pwrite64(9</data/chat.sqlite3-wal>, "a<four>b", 8, 32) = 8',
        "write another": '7 1.0 pwrite64(9</data/chat.sqlite3-wal>, "b", 1, 32) = 1',
        "sync": "7 1.0 fdatasync(9</data/chat.sqlite3-wal>) = 0",
        "sync begins": "7 1.0 fdatasync(9</data/chat.sqlite3-wal> <unfinished ...>",
        "sync returns": "7 1.0 <... fdatasync resumed>) = 0",
        "sync of another file": "7 1.0 fdatasync(8</data/chat.sqlite3>) = 0",
        "sync that fails": "7 1.0 fdatasync(9</data/chat.sqlite3-wal>) = -1 EIO (…)",
        "say": '8 1.0 write(5<socket:[1]>, "{\\"reply\\":3,\\"seq\\":4,"..., 9) = 9',
    }
    trace = "\n".join(lines[step] for step in order)

    assert unsynced(trace, {4: "<four>"}) == ([4], [] if in_time else [4])
