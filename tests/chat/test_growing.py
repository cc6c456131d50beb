"""`open_message`: what project code and bots write, as they write it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat import actions, before_send, growing, journal, own_texts
from headgate.chat.actions import NotSent
from headgate.chat.before_send import MessageDraft, Reject
from headgate.chat.engine import Engine, close_engine, started_engine
from headgate.chat.entries import Ended, Grown, Refused
from headgate.chat.growing import open_message
from headgate.chat.models import Event, Message, Room
from headgate.chat.people import Actor
from headgate.chat.permissions import Allow, Deny, Permissions
from headgate.protocol.codes import Code
from headgate.protocol.pushes import Membership
from tests.chat.scenes import group
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    guests_fixture,
    in_thread,
    talk_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests", "room"),
]

BOT = Actor("b:helper", "Helper")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `BEFORE_SEND` answer in time on a busy machine, too."""
    monkeypatch.setattr(before_send, "LIMIT_SECONDS", 5.0)


def message(seq: int) -> Message:
    return Message.objects.get(room__slug="general", seq=seq)


async def test_a_block_that_ends_is_done(talk: Talkers, ada: User) -> None:
    reader = await talk()
    async with open_message("general", BOT, data={"a": 1}) as out:
        begun = await reader.push("message")
        for token in ("one ", "two ", "three"):
            await out.write(token)
        assert (out.seq, out.text, out.state) == (begun["seq"], "one two three", None)

    ended = await reader.push("edited")
    assert (ended["text"], ended["state"]) == ("one two three", "done")
    assert (ended["format"], ended["data"]) == ("markdown", {"a": 1})
    assert out.state == "done"
    assert begun["author"]["kind"] == "bot"


async def test_an_exception_cuts_it_and_stays(talk: Talkers) -> None:
    outs: list[Any] = []

    async def fail() -> None:
        async with open_message("general", BOT) as out:
            outs.append(out)
            await out.write("so far")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert outs[0].state == "cut"
    found = await in_thread(message, outs[0].seq)
    assert (found.text, found.details["state"]) == ("so far", "cut")


async def test_who_cancels_it_stops_the_task(talk: Talkers, ada: User) -> None:
    asker = await talk(ada)
    question = (await asker.ask("send", room="general", text="why?"))["seq"]
    begun = asyncio.Event()
    seen: list[str] = []

    async def answer() -> str:
        async with open_message("general", BOT, reply_to=question) as out:
            await out.write("because")
            seen.append(str(out.seq))
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("stopped")
                raise
        await asyncio.sleep(0)  # nothing of the cancellation is left
        return str(out.state)

    task = asyncio.create_task(answer())
    await begun.wait()
    await asker.ask("cancel", room="general", seq=int(seen[0]))

    async with asyncio.timeout(60):
        assert await task == "cancelled"
    assert seen[1:] == ["stopped"]
    assert (await asker.push("edited"))["text"] == "because"


async def test_a_cancellation_by_anybody_else_stays_one(talk: Talkers) -> None:
    begun = asyncio.Event()
    seqs: list[int] = []

    async def answer() -> None:
        async with open_message("general", BOT) as out:
            await out.write("so far")
            seqs.append(out.seq)
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(answer())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await in_thread(message, seqs[0])).details["state"] == "cut"


async def test_both_at_once_are_a_cancellation(talk: Talkers, ada: User) -> None:
    moderator = await talk(ada)
    await in_thread(actions.set_role, "general", ada, "moderator")
    begun = asyncio.Event()
    seqs: list[int] = []

    async def answer() -> None:
        async with open_message("general", BOT) as out:
            seqs.append(out.seq)
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                task.cancel()
        seqs.append(0)  # what comes after the block is not reached

    task = asyncio.create_task(answer())
    await begun.wait()
    await moderator.ask("cancel", room="general", seq=seqs[0])
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(seqs) == 1


async def test_whoever_writes_on_is_told_that_it_has_ended(
    talk: Talkers, ada: User
) -> None:
    await in_thread(actions.set_role, "general", ada, "moderator")
    moderator = await talk(ada)
    async with open_message("general", BOT) as out:
        await moderator.ask("cancel", room="general", seq=out.seq)
        with contextlib.suppress(asyncio.CancelledError):  # as nobody should
            await asyncio.Event().wait()
        with pytest.raises(NotSent) as refused:
            await out.write("x")
        assert refused.value.code == Code.NOT_GROWING
    assert out.state == "cancelled"


async def test_what_is_too_large_cuts_it(talk: Talkers) -> None:
    seqs: list[int] = []

    async def write() -> None:
        async with open_message("general", BOT) as out:
            seqs.append(out.seq)
            await out.write("x" * 16_000)
            await out.write("y" * 400)

    with pytest.raises(NotSent) as refused:
        await write()
    assert refused.value.code == Code.TOO_LARGE
    assert (await in_thread(message, seqs[0])).text == "x" * 16_000


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
async def test_what_no_client_can_say_is_refused(talk: Talkers, text: str) -> None:
    async with open_message("general", BOT) as out:
        with pytest.raises(NotSent):
            await out.write(text)
        await out.write("fine")
    assert (await in_thread(message, out.seq)).text == "fine"


async def test_a_room_that_is_missing_or_not_theirs_is_refused(
    talk: Talkers, ada: User
) -> None:
    await in_thread(Room.objects.create, slug="closed", kind=Room.Kind.GROUP)
    for room in ("nowhere", "closed"):
        with pytest.raises(NotSent):
            async with open_message(room, ada):
                pass


async def test_who_is_muted_is_cut(
    talk: Talkers, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word from anybody: what is saved is refused."""
    monkeypatch.setattr(own_texts, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(own_texts, "LOOK_SECONDS", 0.02)
    until = datetime.now(UTC) + timedelta(hours=1)
    async with open_message("general", ada) as out:
        await in_thread(actions.mute, "general", ada, until)
        while True:
            await out.write("x")
            await asyncio.sleep(0.01)
    assert out.state == "cut"
    kinds = await in_thread(lambda: list(Event.objects.values_list("kind", flat=True)))
    assert sorted(kinds) == ["edited", "membership", "message"]


async def test_more_than_may_be_unsaved_waits_for_the_database(
    talk: Talkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "MOST_UNSAVED", 10)
    async with open_message("general", BOT) as out:
        await out.write("x" * 11)
        assert (await in_thread(message, out.seq)).text == "x" * 11
        await out.write("y")
        assert (await in_thread(message, out.seq)).text == "x" * 11


async def test_a_known_message_goes_on_or_has_ended(talk: Talkers) -> None:
    async with open_message("general", BOT, client_id="c-1") as first:
        await first.write("so far")
        async with open_message("general", BOT, client_id="c-1") as again:
            assert (again.seq, again.text) == (first.seq, "so far")
    with pytest.raises(NotSent) as refused:
        async with open_message("general", BOT, client_id="c-1"):
            pass
    assert refused.value.code == Code.NOT_GROWING


def _strict(draft: MessageDraft) -> MessageDraft | Reject:
    return Reject("forbidden", "Not here.") if "bad" in draft.text else draft


async def test_what_the_project_refuses_is_raised(
    talk: Talkers, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True, "BEFORE_SEND": f"{__name__}._strict"}
    with pytest.raises(NotSent) as refused:
        async with open_message("general", BOT) as out:
            await out.write("bad")
    assert refused.value.code == Code.FORBIDDEN
    found = await in_thread(message, out.seq)
    assert (found.text, found.details["state"]) == ("", "cut")


async def test_the_end_is_written_once_the_database_is_back(
    talk: Talkers, chat: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "END_WAIT_SECONDS", 0.01)
    commit = chat.journal._commit
    failures: list[Any] = []

    def failing(entries: Any, *, look: bool = False) -> Any:
        if len(failures) < 2:
            failures.append(entries)
            return [chat.journal._unavailable() for _ in entries]
        return commit(entries, look=look)

    async with open_message("general", BOT) as out:
        await out.write("all of it")
        monkeypatch.setattr(chat.journal, "_commit", failing)
    assert len(failures) == 2
    assert (await in_thread(message, out.seq)).text == "all of it"


# --- what other processes, clocks and other writers do to it ------------------------


async def test_what_was_before_the_message_does_not_end_it(
    talk: Talkers, chat: Engine, room: Room, ada: User
) -> None:
    """A hole in what this process knows is filled late, with an old mute in it."""
    until = datetime.now(UTC) + timedelta(hours=1)
    muted = await in_thread(actions.mute, "general", ada, until)
    await in_thread(actions.unmute, "general", ada)
    async with open_message("general", ada) as out:
        own = chat.own_texts.of("general", out.seq)
        assert own is not None
        old = Membership(
            room="general",
            seq=muted.seq,
            member=own.author.author,
            change="muted",
            author=own.author.author,
            at="2026-01-01T00:00:00.000Z",
        )
        chat.own_texts.heard(room.pk, [old])
        await out.write("allowed")
        await asyncio.sleep(0.1)
    assert out.state == "done"


async def test_an_end_that_nobody_told_of_is_no_failure(
    talk: Talkers, ada: User
) -> None:
    async with open_message("general", BOT) as out:
        await in_thread(actions.delete_message, "general", out.seq, by=BOT)
    assert out.state == "cancelled"


async def test_all_who_write_one_message_are_stopped(talk: Talkers) -> None:
    await talk()  # so that this process hears of the end at once
    begun: list[int] = []

    async def answer() -> str:
        async with open_message("general", BOT, client_id="c-1") as out:
            begun.append(out.seq)
            await asyncio.Event().wait()
        return str(out.state)

    tasks = []
    for number in (1, 2):
        tasks.append(asyncio.create_task(answer()))
        while len(begun) < number:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    await in_thread(actions.delete_message, "general", begun[0], by=BOT)
    async with asyncio.timeout(60):
        assert await asyncio.gather(*tasks) == ["cancelled", "cancelled"]


async def test_a_connection_does_not_take_it_from_a_block(
    talk: Talkers, chat: Engine, ada: User
) -> None:
    writer = await talk(ada)
    async with open_message("general", ada) as out:
        await out.write("one ")
        more = {"room": "general", "seq": out.seq, "at": 4, "text": "two "}
        assert "error" not in await writer.ask("append", **more)
        await talk.end(writer)
        await asyncio.sleep(0.1)
        assert chat.own_texts.of("general", out.seq) is not None
        await out.write("three")
    assert (await in_thread(message, out.seq)).text == "one two three"


async def test_a_write_after_the_server_has_ended_begins_none(
    talk: Talkers, chat: Engine
) -> None:
    async with open_message("general", BOT) as out:
        await close_engine()
        await out.write("late")
        assert started_engine() is None
    assert (await in_thread(message, out.seq)).text == "late"


async def test_all_is_saved_when_the_server_ends(
    talk: Talkers, chat: Engine, room: Room
) -> None:
    async with open_message("general", BOT) as out:
        own = chat.own_texts.of("general", out.seq)
        assert own is not None
        await out.write("one ")
        chat.own_texts.keep(own)
        await out.write("two")
        await close_engine()
        assert (await in_thread(message, out.seq)).text == "one two"


async def test_one_that_rests_is_shown_to_who_comes_back(
    talk: Talkers, chat: Engine, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_texts, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(own_texts, "TOUCH_SECONDS", 0.0)
    monkeypatch.setattr(own_texts, "LOOK_SECONDS", 0.02)
    await talk()
    async with open_message("general", BOT) as out:
        await out.write("so far")
        while (await in_thread(message, out.seq)).text != "so far":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        texts = chat.node.hub.rooms[room.pk].growing
        assert texts is not None
        texts.forget_quiet(asyncio.get_running_loop().time() + 61)
        await asyncio.sleep(0.3)
        assert texts.text(out.seq) == "so far"


async def test_what_was_not_looked_at_does_not_stay(
    talk: Talkers, chat: Engine, room: Room, settings: Settings
) -> None:
    """Another process has saved more than what the project is asked about."""
    settings.HEADGATE = {"GUESTS": True, "BEFORE_SEND": f"{__name__}._strict"}
    async with open_message("general", BOT) as out:
        await out.write("good")
        await chat.journal.write(Grown(room.pk, BOT, out.seq, "good and bad"))
    assert (await in_thread(message, out.seq)).text == "good"


async def test_who_was_muted_keeps_what_was_saved(
    talk: Talkers, chat: Engine, room: Room, ada: User
) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    async with open_message("general", ada, text="saved") as out:
        own = chat.own_texts.of("general", out.seq)
        assert own is not None
        await in_thread(actions.mute, "general", ada, until)
        ended = Ended(
            room.pk, own.author, out.seq, "done", "saved and more", replaces=True
        )
        assert not isinstance(await chat.journal.write(ended), Refused)
    found = await in_thread(message, out.seq)
    assert (found.text, found.details["state"]) == ("saved", "cut")


def _mild(draft: MessageDraft) -> MessageDraft:
    draft.text = draft.text.replace("rude", "****")
    return draft


async def test_a_long_text_may_be_changed(talk: Talkers, settings: Settings) -> None:
    """As JSON it is larger than a command may be."""
    settings.HEADGATE = {"GUESTS": True, "BEFORE_SEND": f"{__name__}._mild"}
    async with open_message("general", BOT) as out:
        await out.write("rude\n" * 3_000)
    assert (await in_thread(message, out.seq)).text == "****\n" * 3_000


async def test_what_is_refused_is_taken_out_of_the_files(
    talk: Talkers, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HEADGATE = {"GUESTS": True, "BEFORE_SEND": f"{__name__}._strict"}
    truncated: list[Any] = []

    def truncate(connection: Any) -> bool:
        truncated.append(connection)
        return True

    monkeypatch.setattr(journal, "PURGE_SECONDS", 0.0)
    monkeypatch.setattr(journal, "truncate_log", truncate)
    with pytest.raises(NotSent):
        async with open_message("general", BOT) as out:
            await out.write("bad")
    async with asyncio.timeout(60):
        while not truncated:  # noqa: ASYNC110 - the journal's thread does not tell
            await asyncio.sleep(0.01)


class _Rules(Permissions):
    """The bot may do everything, everywhere."""

    def can(self, actor: Actor, *given: Any) -> Allow | Deny:
        return Allow() if actor.key == BOT.key else super().can(actor, *given)


async def test_by_rules_of_the_project_no_member_need_write(
    talk: Talkers, ada: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_texts, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(own_texts, "LOOK_SECONDS", 0.02)
    settings.HEADGATE = {"GUESTS": True, "PERMISSIONS": f"{__name__}._Rules"}
    await in_thread(group, ada)
    async with open_message("group", BOT) as out:
        await out.write("so far")
        await asyncio.sleep(0.3)
    assert out.state == "done"


async def test_what_a_removed_member_writes_is_not_saved(
    talk: Talkers, chat: Engine, ada: User
) -> None:
    """Also where nobody has told this process that they were."""
    await in_thread(group, ada)
    room_id = await in_thread(lambda: Room.objects.get(slug="group").pk)
    async with open_message("group", ada) as out:
        own = chat.own_texts.of("group", out.seq)
        assert own is not None
        await in_thread(actions.remove_member, "group", ada)
        verdict = await chat.journal.write(Grown(room_id, own.author, out.seq, "x"))
        assert isinstance(verdict, Refused)
        assert verdict.error.code == Code.FORBIDDEN
    assert out.state == "cut"
