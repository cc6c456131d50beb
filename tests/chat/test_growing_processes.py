"""Growing messages between processes: each here is an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from headgate.chat import actions, growing_care, own_texts
from headgate.chat.engine import Engine, close_engine, engine
from headgate.chat.entries import Draft, Ended, Grown, Refused, Written
from headgate.chat.growing import OpenMessage as Out
from headgate.chat.growing import open_message
from headgate.chat.growing_care import GrowingCare
from headgate.chat.growing_ends import cut_left
from headgate.chat.models import Event, GrowingMessage, Room
from headgate.chat.people import Actor
from headgate.live.ports import LogUnavailable
from headgate.protocol.codes import Code
from headgate.protocol.pushes import Edited, Partial
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    guests_fixture,
    in_thread,
    talk_fixture,
)
from tests.redis_server import RedisServer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("guests"),
]

BOT = Actor("b:helper", "Helper")


class Elsewhere:
    """A block of `open_message` on another loop, which does as it is told."""

    def __init__(self, **more: Any) -> None:
        self._more = more
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tell: asyncio.Queue[str | None] | None = None
        self.out: Out | None = None
        self.failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def seq(self) -> int:
        assert self.out is not None, self.failed
        return self.out.seq

    def write(self, text: str | None) -> None:
        """Have a text written; None ends the block."""
        assert self._loop is not None
        assert self._tell is not None
        self._loop.call_soon_threadsafe(self._tell.put_nowait, text)

    def ended(self) -> str | None:
        """Wait for the end of the block, and return how it was."""
        self._thread.join(20)
        assert not self._thread.is_alive()
        if self.failed is not None:
            raise self.failed
        return self.out and self.out.state

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except BaseException as exc:  # noqa: BLE001 - raised again by `ended`
            self.failed = exc
        finally:
            self._ready.set()
            connections.close_all()

    async def _work(self) -> None:
        self._loop, self._tell = asyncio.get_running_loop(), asyncio.Queue()
        try:
            async with open_message("general", BOT, **self._more) as self.out:
                self._ready.set()
                while (text := await self._tell.get()) is not None:
                    await self.out.write(text)
        finally:
            await close_engine()


def text_of(seq: int) -> str:
    return Event.objects.get(seq=seq).text


async def elsewhere(**more: Any) -> Elsewhere:
    return await asyncio.to_thread(lambda: Elsewhere(**more))


@pytest.fixture(name="relay", params=["memory", "redis"])
def relay_fixture(request: pytest.FixtureRequest, settings: Settings) -> str:
    """Have processes tell each other by this relay."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        settings.HEADGATE = {"GUESTS": True, "REDIS": server.url}
    return str(request.param)


@pytest.mark.usefixtures("relay")
async def test_people_see_what_grows_in_another_process(
    room: Room, talk: Talkers, ada: User
) -> None:
    early = await talk(ada)
    writer = await elsewhere()
    await early.push("message")
    text = ""
    for token in ("Привет ", "👋 ", "there"):
        writer.write(token)
        text += token
        have = ""
        while not have.endswith(token):
            partial = await early.push("partial")
            have = text[: partial["at"]] + partial["text"]
            assert text.startswith(have)
    late = await talk()
    assert (await late.push("partial"))["text"] == text
    writer.write(None)

    for talker in (early, late):
        ended = await talker.push("edited")
        assert (ended["text"], ended["state"]) == (text, "done")
    assert await asyncio.to_thread(writer.ended) == "done"


@pytest.mark.usefixtures("relay")
async def test_a_cancel_stops_the_task_in_another_process(
    room: Room, talk: Talkers, ada: User
) -> None:
    asker = await talk(ada)
    question = (await asker.ask("send", room="general", text="why?"))["seq"]
    writer = await elsewhere(reply_to=question)
    writer.write("because")
    while (await asker.push("partial"))["text"] != "because":
        pass

    await asker.ask("cancel", room="general", seq=writer.seq)
    assert await asyncio.to_thread(writer.ended) == "cancelled"
    ended = await asker.push("edited")
    # What was seen is kept, though it was not saved yet.
    assert (ended["text"], ended["state"]) == ("because", "cancelled")


async def test_who_begins_to_watch_in_the_middle_has_no_hole(
    room: Room, talk: Talkers
) -> None:
    """What was saved before is read, and what comes by the relay is added."""
    writer = await elsewhere()
    writer.write("saved ")
    async with asyncio.timeout(60):
        # Nobody tells of a save.
        while await in_thread(text_of, writer.seq) != "saved ":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    late = await talk()
    writer.write("and new")

    have = ""
    while have != "saved and new":
        partial = await late.push("partial")
        assert partial["at"] <= len(have)
        have = have[: partial["at"]] + partial["text"]
        assert "saved and new".startswith(have)
    writer.write(None)
    await asyncio.to_thread(writer.ended)


async def test_without_a_relay_the_end_is_found_out(
    room: Room, talk: Talkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Project code tells nobody who does not watch the room; no save is waited for."""
    monkeypatch.setattr(own_texts, "SAVE_SECONDS", 1000.0)
    monkeypatch.setattr(own_texts, "TOUCH_SECONDS", 1000.0)
    async with open_message("general", BOT) as out:
        await out.write("x")
        await in_thread(actions.delete_message, "general", out.seq, by=BOT)
        await asyncio.Event().wait()
    assert out.state == "cancelled"


# --- silence ----------------------------------------------------------------------


async def written(chat: Engine, room: Room, text: str = "so far") -> int:
    """Begin a message that no process cares for, as after a crash."""
    draft = Draft(room.pk, BOT, text, details={"open": True})
    verdict = await chat.journal.write(draft)
    assert isinstance(verdict, Written)
    return verdict.push.seq


def silent_for(seconds: float) -> None:
    """Have nothing been heard of any author for so long."""
    GrowingMessage.objects.update(alive_at=Now() - timedelta(seconds=seconds))


async def looked(chat: Engine, first: int, last: int) -> None:
    """Look for silent messages, every five seconds of a clock of this test."""
    chat._care._timer.cancel()
    for now in range(first, last + 1, 5):
        await chat._care.end_silent(now)


@pytest.mark.database
async def test_what_nobody_cares_for_is_cut(
    room: Room, talk: Talkers, chat: Engine
) -> None:
    """Its mark is 15 s old when it is seen, and stands still for 15 s more."""
    reader = await talk()
    seq = await written(chat, room)
    await looked(chat, 100, 200)
    await in_thread(silent_for, 16)
    await looked(chat, 205, 215)
    assert await in_thread(GrowingMessage.objects.count) == 1
    await looked(chat, 220, 220)

    ended = await reader.push("edited")
    assert (ended["target"], ended["text"], ended["state"]) == (seq, "so far", "cut")
    assert await in_thread(GrowingMessage.objects.count) == 0


@pytest.mark.database
async def test_what_grows_here_is_not_cut(
    room: Room,
    transactional_db: None,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its mark is old where the journal could not write for long."""
    monkeypatch.setattr(own_texts, "SAVE_SECONDS", 1000.0)
    monkeypatch.setattr(own_texts, "TOUCH_SECONDS", 1000.0)
    async with open_message("general", BOT) as out:
        await in_thread(silent_for, 31)
        await looked(chat, 100, 130)
        await out.write("here")
    assert out.state == "done"


@pytest.mark.database
async def test_what_is_heard_of_again_is_not_cut(
    room: Room, transactional_db: None, chat: Engine
) -> None:
    """As after an outage: all marks are old, and get new ones by and by."""
    seq = await written(chat, room)
    await in_thread(silent_for, 300)
    await looked(chat, 100, 110)
    await chat.journal.write(Grown(room.pk, BOT, seq))
    await looked(chat, 115, 200)
    assert await in_thread(GrowingMessage.objects.count) == 1


@pytest.mark.database
async def test_an_outage_is_no_silence(
    room: Room,
    transactional_db: None,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody can be heard of while the database is away, so all begins anew."""
    await written(chat, room)
    await in_thread(silent_for, 300)
    await looked(chat, 100, 110)

    async def away(*_: Any) -> Any:
        raise LogUnavailable("away")

    with monkeypatch.context() as outage:
        outage.setattr(chat.reader, "run", away)
        await chat._care._look()
    await looked(chat, 115, 125)
    assert await in_thread(GrowingMessage.objects.count) == 1
    await looked(chat, 130, 130)
    assert await in_thread(GrowingMessage.objects.count) == 0


@pytest.mark.database
@pytest.mark.parametrize("hours", [-1, 1])
async def test_the_clocks_of_hosts_may_differ(
    room: Room,
    transactional_db: None,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
    hours: int,
) -> None:
    """A process whose clock is wrong writes, and others find its message alive."""
    now = timezone.now
    with monkeypatch.context() as wrong:
        wrong.setattr(timezone, "now", lambda: now() + timedelta(hours=hours))
        seq = await written(chat, room)
        await chat.journal.write(Grown(room.pk, BOT, seq, "so far and on"))
    await looked(chat, 100, 140)
    assert await in_thread(GrowingMessage.objects.count) == 1

    await in_thread(silent_for, 16)
    with monkeypatch.context() as wrong:
        wrong.setattr(timezone, "now", lambda: now() + timedelta(hours=hours))
        await looked(chat, 145, 160)
    assert await in_thread(GrowingMessage.objects.count) == 0


@pytest.mark.database
async def test_who_comes_back_late_is_marked_at_once(
    room: Room, talk: Talkers, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_texts, "SAVE_SECONDS", 1000.0)
    writer = await talk(ada)
    begun = await writer.ask("send", room="general", text="", open=True)
    await talk.end(writer)
    await asyncio.sleep(0.1)
    await in_thread(silent_for, 29)
    again = await talk(ada)
    more = {"room": "general", "seq": begun["seq"], "at": 0, "text": "x"}
    assert "error" not in await again.ask("append", **more)

    recent = Now() - timedelta(seconds=20)
    marks = GrowingMessage.objects.filter(alive_at__gt=recent)
    async with asyncio.timeout(30):
        while not await in_thread(marks.exists):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


@pytest.mark.database
async def test_a_mark_that_an_older_version_left_goes(
    room: Room, transactional_db: None, chat: Engine
) -> None:
    seq = await written(chat, room)
    await in_thread(Event.objects.filter(seq=seq).update, text="", details=None)
    await in_thread(silent_for, 31)
    await looked(chat, 100, 115)
    assert await in_thread(GrowingMessage.objects.count) == 0
    assert await in_thread(Event.objects.count) == 1


@pytest.mark.database
async def test_one_process_alone_ends_it(
    room: Room, transactional_db: None, chat: Engine
) -> None:
    await written(chat, room)
    await in_thread(silent_for, 31)
    cares = [
        GrowingCare(chat.node.hub, chat.reader, cut_left, chat.own_texts.is_written)
        for _ in range(5)
    ]
    for now in range(100, 116, 5):
        await asyncio.gather(*(care.end_silent(now) for care in cares))
    for care in cares:
        await care.close()

    found = await in_thread(lambda: list(Event.objects.values_list("kind", flat=True)))
    assert found == ["message", "edited"]


@pytest.mark.database
async def test_who_was_heard_of_in_between_goes_on(
    room: Room, transactional_db: None, chat: Engine
) -> None:
    seq = await written(chat, room)
    await in_thread(silent_for, 31)
    seen = await in_thread(GrowingMessage.objects.get)
    await chat.journal.write(Grown(room.pk, BOT, seq))

    ended = Ended(room.pk, BOT, seq, "cut", alive_at=seen.alive_at)
    verdict = await chat.journal.write(ended)
    assert isinstance(verdict, Refused)
    assert verdict.error.code == Code.GROWING


@pytest.mark.database
async def test_a_saved_text_never_gets_shorter(
    room: Room, transactional_db: None, chat: Engine
) -> None:
    seq = await written(chat, room)
    for text in ("so far and on", "so", "so far"):
        await chat.journal.write(Grown(room.pk, BOT, seq, text))
    verdict = await chat.journal.write(Ended(room.pk, BOT, seq, "done", "so far"))

    assert isinstance(verdict, Written)
    assert isinstance(verdict.push, Edited)
    assert verdict.push.text == "so far and on"


async def test_what_is_read_is_not_read_again_at_once(
    room: Room, talk: Talkers, chat: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await talk()
    seq = await written(chat, room, "")
    reads: list[Any] = []
    run = chat.reader.run

    async def counted(function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        reads.append(function)
        return await run(function, *args, **more)

    monkeypatch.setattr(chat.reader, "run", counted)
    for at in range(100, 120):
        told = Partial(room="general", seq=seq, at=at, text="x")
        engine()._heard_partial(room.pk, told)
        await asyncio.sleep(0.001)
    assert len(reads) == 1


async def test_a_text_whose_beginning_could_not_be_read_is_read_again(
    room: Room, chat: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing_care, "READ_SECONDS", 0.0)
    run, read_again = chat.reader.run, asyncio.Event()
    failures = [ZeroDivisionError]

    async def fails_once(function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        if function is growing_care.growing_at:
            if failures:
                raise failures.pop()
            read_again.set()
        return await run(function, *args, **more)

    async with Talkers() as talk:
        reader = await talk()
        seq = await written(chat, room, "so far")
        await reader.push("message")
        monkeypatch.setattr(chat.reader, "run", fails_once)
        told = Partial(room="general", seq=seq, at=6, text=" and on")
        async with asyncio.timeout(30):
            while not read_again.is_set():
                chat._heard_partial(room.pk, told)
                await asyncio.sleep(0)
        text = ""
        while text != "so far and on":
            partial = await reader.push("partial")
            text = text[: partial["at"]] + partial["text"]
        (fault,) = talk.faults
        assert f"growing_read_failed room={room.pk} seq={seq}" in fault
        talk.faults.clear()


@pytest.mark.parametrize("most", ["MOST_OWN", "MOST_OF_ONE"])
async def test_what_cannot_begin_here_is_refused(
    room: Room, talk: Talkers, ada: User, monkeypatch: pytest.MonkeyPatch, most: str
) -> None:
    monkeypatch.setattr(f"headgate.chat.own_texts.{most}", 1)
    writer = await talk(ada)
    first = await writer.ask("send", room="general", text="", open=True)
    second = await writer.ask("send", room="general", text="", open=True)
    more = {"room": "general", "at": 0, "text": "x"}
    assert "error" not in await writer.ask("append", seq=first["seq"], **more)
    assert await writer.refusal("append", seq=second["seq"], **more) == "overloaded"
