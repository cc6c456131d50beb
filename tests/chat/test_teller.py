"""Calling handlers beside the connections: faults, queues, the end."""

from __future__ import annotations

import asyncio
import logging

import pytest
from django.contrib.auth.models import User

import headgate
from headgate.chat import teller
from headgate.chat.engine import Engine, close_engine
from headgate.chat.hooks import RoomEvent
from headgate.chat.models import Room
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    SECONDS,
    Talkers,
    talk_fixture,
)
from tests.chat.told import (  # noqa: F401 - fixtures are found by name
    Told,
    no_handlers_fixture,
    told_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_handlers"),
]


async def test_one_that_raises_is_logged_and_called_again(
    talk: Talkers, told: Told, room: Room, ada: User, chat: Engine
) -> None:
    @headgate.on("message")
    def fails(event: RoomEvent) -> None:
        raise ZeroDivisionError if event.seq == 1 else SystemExit

    @headgate.on("message")
    async def fails_too(event: RoomEvent) -> None:
        if event.seq == 1:
            raise asyncio.CancelledError
        raise SystemExit

    told.hear("message")
    talker = await talk(ada)
    for _ in range(2):
        assert "seq" in await talker.ask("send", room="general", text="hi")
    await told.of(2)
    for line in chat.teller._lines.values():
        await line.told()

    assert sum("handler_failed" in fault for fault in talk.faults) == 3
    assert sum("fails_too" in fault.splitlines()[0] for fault in talk.faults) == 1
    talk.faults.clear()


def test_without_connections_one_that_raises_is_logged_too(
    told: Told, room: Room, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    @headgate.on("message")
    def fails(event: RoomEvent) -> None:
        raise ZeroDivisionError

    told.hear("message")
    assert headgate.send_message(room, ada, "hi").seq == 1
    assert len(told.sync) == 1
    assert "handler_failed" in caplog.text


async def test_one_that_is_too_slow_misses_events_and_delays_nobody(
    talk: Talkers,
    told: Told,
    room: Room,
    ada: User,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "headgate.hooks")
    monkeypatch.setattr(teller, "MAX_WAITING", 5)
    free, heard = asyncio.Event(), []

    @headgate.on("message")
    async def slow(event: RoomEvent) -> None:
        await free.wait()
        heard.append(event.seq)

    told.hear("message")
    talker = await talk(ada)
    for count in range(1, 21):
        await talker.ask("send", room="general", text="hi")
        await told.of(count)
    assert caplog.text.count("handler_too_slow") == 1
    free.set()
    for line in chat.teller._lines.values():
        await line.told()
    assert heard == [1, 2, 3, 4, 5, 6]  # one was at work, and five waited
    assert "dropped=14" in caplog.text

    await talker.ask("send", room="general", text="hi")
    await told.of(21)
    for line in chat.teller._lines.values():
        await line.told()
    assert heard[-1] == 21
    assert caplog.text.count("handler_back") == 1


async def test_one_that_hangs_does_not_keep_the_server(
    room: Room, ada: User, chat: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teller, "CLOSE_SECONDS", 0.05)
    begun = asyncio.Event()

    @headgate.on("message")
    async def hangs(event: RoomEvent) -> None:
        begun.set()
        await asyncio.Event().wait()

    await headgate.asend_message(room, ada, "hi")
    await begun.wait()
    async with asyncio.timeout(SECONDS):
        await close_engine()


async def test_what_was_written_is_told_before_the_end(
    told: Told, room: Room, ada: User, chat: Engine
) -> None:
    heard = []

    @headgate.on("message")
    async def takes_its_time(event: RoomEvent) -> None:
        await asyncio.sleep(0.01)
        heard.append(event.seq)

    told.hear("message")
    for n in range(10):
        await headgate.asend_message(room, ada, f"m{n}")
    await close_engine()

    assert len(told.sync) == len(told.asynchronous) == len(heard) == 10
