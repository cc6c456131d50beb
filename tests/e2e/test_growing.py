"""A process that dies while somebody writes by it: what is saved stays, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

from headgate.client import Client
from headgate.protocol.pushes import Edited, Message
from tests.conftest import Serve

SAVED_SECONDS = 30.0  # a text is saved every two
CUT_SECONDS = 45.0


async def test_a_killed_process_leaves_what_it_has_saved(serve: Serve) -> None:
    first = serve("--guests")
    second = serve("--guests", share=first)
    async with (
        Client(first.url, rooms=["general"]) as writer,
        Client(second.url, rooms=["general"]) as reader,
    ):

        async def write() -> None:
            async with writer.grow("general") as out:
                await out.write("What was saved stays.")
                await asyncio.Event().wait()

        writing = asyncio.create_task(write())
        begun = await anext(reader)
        assert isinstance(begun, Message)
        assert begun.open
        async with asyncio.timeout(SAVED_SECONDS):
            while True:  # what the other server reads is what was saved
                page = await reader.history("general")
                if page.messages[0].text == "What was saved stays.":
                    break
                await asyncio.sleep(0.1)
        os.kill(first.pid, signal.SIGKILL)
        killed_at = time.monotonic()
        async with asyncio.timeout(CUT_SECONDS):
            push = await anext(reader)
            while not isinstance(push, Edited):
                push = await anext(reader)
        assert (push.target, push.state) == (begun.seq, "cut")
        assert push.text == "What was saved stays."
        assert time.monotonic() - killed_at > 15.0  # its author could have come back
        page = await reader.history("general")
        assert page.messages[0].state == "cut"
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing


async def test_somebody_stops_an_answer_on_another_server(serve: Serve) -> None:
    """Without a relay: who writes is refused, at the next word or save."""
    first = serve("--guests")
    second = serve("--guests", share=first)
    async with (
        Client(first.url, rooms=["general"]) as bot,
        Client(second.url, rooms=["general"]) as asker,
    ):
        asked = await asker.send("general", "why?")

        async def answer() -> str | None:
            async with bot.grow("general", reply_to=asked.seq) as out:
                while True:
                    await out.write("because ")
                    await asyncio.sleep(0.05)
            return out.state

        answering = asyncio.create_task(answer())
        async with asyncio.timeout(30):
            push = await anext(asker)
            while not (isinstance(push, Message) and push.open):
                push = await anext(asker)
            await asker.cancel("general", push.seq)
            assert await answering == "cancelled"
