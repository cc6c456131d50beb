"""How long an event loop has an engine, and what is left of it afterwards."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from headgate.chat.actions import NotSent
from headgate.chat.engine import close_engine, engine, started_engine
from headgate.chat.growing import open_message
from headgate.chat.models import Message
from headgate.chat.people import Actor

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("room"),
]

BOT = Actor("b:helper", "Helper")


def threads() -> set[threading.Thread]:
    """Return the threads of engines that run by now."""
    found = threading.enumerate()
    return {each for each in found if each.name.startswith("headgate-")}


async def say(text: str = "so far") -> int:
    async with open_message("general", BOT) as out:
        await out.write(text)
    return out.seq


async def test_a_message_outside_a_server_leaves_nothing_behind() -> None:
    before = threads()
    seq = await say()

    assert started_engine() is None
    assert threads() <= before
    found = await Message.objects.aget(seq=seq)
    assert (found.text, found.details.get("open")) == ("so far", None)


async def test_messages_of_one_loop_share_it_until_the_last_has_ended() -> None:
    async with open_message("general", BOT):
        shared = started_engine()
        assert shared is not None
        await say()
        assert started_engine() is shared

    assert started_engine() is None


async def test_one_that_cannot_begin_leaves_nothing_behind() -> None:
    before = threads()
    with pytest.raises(NotSent):
        async with open_message("nowhere", BOT):
            pass

    assert started_engine() is None
    assert threads() <= before


async def test_one_whose_task_is_cancelled_leaves_nothing_behind() -> None:
    before, begun = threads(), asyncio.Event()

    async def wait() -> None:
        async with open_message("general", BOT):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert started_engine() is None
    assert threads() <= before


async def test_whoever_serves_connections_keeps_it() -> None:
    async with open_message("general", BOT):
        kept = engine()  # somebody has connected meanwhile
    assert started_engine() is kept
    await say()
    assert started_engine() is kept

    await close_engine()


async def _leave() -> None:
    engine()


def test_one_whose_loop_was_closed_goes_with_the_next_that_starts() -> None:
    before = threads()
    asyncio.run(_leave())
    left = threads() - before
    assert left

    async def start() -> None:
        engine()
        await close_engine()

    asyncio.run(start())

    gc.collect()  # so that nobody has to wait for it
    for thread in left:
        thread.join(60)
        assert not thread.is_alive()
