"""What tests of access that ends have in common: how it is noted, and what follows."""

from __future__ import annotations

import asyncio

import pytest

from headgate.chat import access
from headgate.chat.engine import Engine
from headgate.protocol.codes import Close
from tests.chat.talker import Said, Talker

__all__ = [
    "SEEN_SECONDS",
    "changes_followed",
    "cut_off",
    "process_fixture",
    "still_there",
]

SEEN_SECONDS = 2.0


@pytest.fixture(name="process", params=["here", "elsewhere"])
def process_fixture(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Have it noted in this process, or in one that gives this one no hint."""
    if request.param == "elsewhere":
        monkeypatch.setattr(access, "hint_access", lambda: None)
    return str(request.param)


async def cut_off(talker: Talker, close: Close, code: str) -> list[Said]:
    """Wait for a close with its reason before it; return what came before both."""
    async with asyncio.timeout(SEEN_SECONDS):
        ended = await talker.closed()
    heard, talker.pushes = talker.pushes, []
    reason = heard.pop()
    assert ended.code == close
    assert reason["reply"] is None
    assert reason["error"]["code"] == code
    return heard


async def still_there(*talkers: Talker) -> None:
    """Look whether they are answered, once all that was noted was looked at."""
    for talker in talkers:
        await talker.ask("ping")


async def changes_followed(chat: Engine, count: int = 1) -> None:
    """Wait until notices about access were read and followed."""
    async with asyncio.timeout(SEEN_SECONDS):
        while chat.standing.changes < count:  # noqa: ASYNC110 - it says nothing
            await asyncio.sleep(0.01)
        await chat.standing._recheck.idle.wait()
