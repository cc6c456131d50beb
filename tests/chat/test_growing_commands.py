"""`send` with `open`, `append` and `cancel` on the real application."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat import actions, before_send, own_texts
from headgate.chat.before_send import MessageDraft, Reject
from headgate.chat.engine import Engine
from headgate.chat.models import Event, GrowingMessage, Message, Room
from headgate.protocol.fields import MAX_COMMAND_BYTES
from tests.chat.scenes import group
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talker,
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


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `BEFORE_SEND` answer in time on a busy machine, too."""
    monkeypatch.setattr(before_send, "LIMIT_SECONDS", 5.0)


async def begin(talker: Talker, text: str = "", **more: Any) -> int:
    """Begin a growing message and return its seq."""
    reply = await talker.ask("send", room="general", text=text, open=True, **more)
    return int(reply["seq"])


async def append(talker: Talker, seq: int, at: int, text: str, **more: Any) -> Any:
    return await talker.ask("append", room="general", seq=seq, at=at, text=text, **more)


async def grown(talker: Talker, text: str) -> list[dict[str, Any]]:
    """Return the partials that come until a text is whole."""
    told, have = [], ""
    while have != text:
        partial = await talker.push("partial")
        assert partial["at"] <= len(have), "a hole"
        have = have[: partial["at"]] + partial["text"]
        assert text.startswith(have)
        told.append(partial)
    return told


def row(seq: int) -> Event:
    return Event.objects.get(room__slug="general", seq=seq)


def is_marked(seq: int) -> bool:
    return GrowingMessage.objects.filter(seq=seq).exists()


@pytest.fixture
def saves_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what grows saved at once."""
    monkeypatch.setattr(own_texts, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(own_texts, "LOOK_SECONDS", 0.02)


async def test_a_message_grows_and_ends(talk: Talkers, ada: User) -> None:
    writer, reader = await talk(ada), await talk()

    seq = await begin(writer, format="markdown", data={"model": "m"}, client_id="c-1")
    told = await reader.push("message")
    assert (told["seq"], told["text"], told["open"]) == (seq, "", True)
    assert await in_thread(is_marked, seq)

    assert await append(writer, seq, 0, "Привет ") == {"reply": 2}
    assert await append(writer, seq, 7, "👋 there") == {"reply": 3}
    await grown(reader, "Привет 👋 there")
    reply = await append(writer, seq, 14, "!", state="done")

    ended = await reader.push("edited")
    assert ended == {
        "push": "edited",
        "room": "general",
        "seq": seq + 1,
        "target": seq,
        "author": told["author"],
        "text": "Привет 👋 there!",
        "at": reply["at"],
        "format": "markdown",
        "data": {"model": "m"},
        "state": "done",
    }
    assert reply == {"reply": 4, "seq": seq + 1, "at": ended["at"]}
    page = await reader.ask("history", room="general")
    (message,) = page["messages"]
    assert message == {
        k: v for k, v in (told | {"text": "Привет 👋 there!"}).items() if k != "open"
    }
    assert not await in_thread(is_marked, seq)


async def test_tokens_are_joined(talk: Talkers, ada: User) -> None:
    writer, reader = await talk(ada), await talk()
    seq = await begin(writer)
    text = ""
    for number in range(30):
        await append(writer, seq, len(text), f"{number} ")
        text += f"{number} "

    assert len(await grown(reader, text)) < 10


async def test_what_is_there_is_not_added_again(talk: Talkers, ada: User) -> None:
    writer = await talk(ada)
    seq = await begin(writer, text="ab")
    await append(writer, seq, 2, "cd")

    assert await append(writer, seq, 2, "cd") == {"reply": 3}
    assert await append(writer, seq, 0, "abcdef") == {"reply": 4}
    assert await append(writer, seq, 1, "b") == {"reply": 5}
    refused = await append(writer, seq, 7, "x")
    assert (refused["error"]["code"], refused["error"]["at"]) == ("bad_offset", 6)
    await append(writer, seq, 6, "", state="done")
    assert (await writer.push("edited"))["text"] == "abcdef"


async def test_it_is_no_larger_than_any_message(talk: Talkers, ada: User) -> None:
    writer = await talk(ada)
    seq = await begin(writer, text="é" * 2000)
    for at in (2000, 4000, 6000):
        assert "error" not in await append(writer, seq, at, "é" * 2000)

    refused = await append(writer, seq, 8000, "é" * 193)
    assert refused["error"]["code"] == "too_large"
    assert "error" not in await append(writer, seq, 8000, "é" * 192)
    await append(writer, seq, 8192, "", state="done")
    assert len((await writer.push("edited"))["text"].encode()) == MAX_COMMAND_BYTES


async def test_only_its_author_adds_to_it(talk: Talkers, ada: User) -> None:
    writer, other = await talk(ada), await talk()
    seq = await begin(writer)

    assert (await append(other, seq, 0, "x"))["error"]["code"] == "forbidden"
    code = await other.refusal("cancel", room="general", seq=seq)
    assert code == "forbidden"
    code = await other.refusal("append", room="nowhere", seq=1, at=0, text="x")
    assert code in {"not_found", "not_growing"}


async def test_what_does_not_grow_cannot_be_added_to(talk: Talkers, ada: User) -> None:
    writer = await talk(ada)
    seq = (await writer.ask("send", room="general", text="whole"))["seq"]

    assert (await append(writer, seq, 5, "x"))["error"]["code"] == "not_growing"
    assert await writer.refusal("cancel", room="general", seq=seq) == "not_growing"
    assert (await append(writer, 99, 0, "x"))["error"]["code"] == "not_growing"


async def test_after_the_end_nothing_is_added(talk: Talkers, ada: User) -> None:
    writer = await talk(ada)
    seq = await begin(writer)
    await append(writer, seq, 0, "all", state="cut")

    for at, more in ((3, " of it"), (0, "all")):
        again = await append(writer, seq, at, more)
        assert again["error"]["code"] == "not_growing"
    message = await in_thread(row, seq)
    assert (message.text, message.details) == ("all", {"state": "cut"})
    assert message.edited_seq is None


async def test_the_same_end_again_is_answered_as_the_first(
    talk: Talkers, ada: User
) -> None:
    """Its answer was lost, or it was `unavailable` though it was written."""
    writer = await talk(ada)
    seq = await begin(writer)
    await append(writer, seq, 0, "all ")
    first = await append(writer, seq, 4, "of it", state="cut")
    await in_thread(actions.edit_message, "general", seq, "other", by=ada)
    back = await talk(ada)

    for talker in (writer, back):
        for at, text in ((4, "of it"), (9, ""), (0, "all of it")):
            again = await append(talker, seq, at, text, state="cut")
            assert (again["seq"], again["at"]) == (first["seq"], first["at"])
    assert await in_thread(Event.objects.count) == 3


async def test_another_end_than_the_first_is_refused(
    talk: Talkers, ada: User, grace: User
) -> None:
    writer, other = await talk(ada), await talk(grace)
    seq = await begin(writer)
    whole = (await writer.ask("send", room="general", text="whole"))["seq"]
    await append(writer, seq, 0, "all", state="done")

    for talker, at, text, state in (
        (writer, 0, "all", "cut"),
        (writer, 0, "all of it", "done"),
        (writer, 0, "al", "done"),
        (writer, 0, "ALL", "done"),
        (writer, 1, "ly", "done"),
        (writer, 4, "", "done"),
        (other, 0, "all", "done"),
    ):
        again = await append(talker, seq, at, text, state=state)
        assert again["error"]["code"] == "not_growing"
    never = await append(writer, whole, 0, "whole", state="done")
    assert never["error"]["code"] == "not_growing"


async def test_an_end_that_was_written_though_it_was_refused(
    talk: Talkers, ada: User, chat: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection to the database broke while it committed."""
    writer = await talk(ada)
    seq = await begin(writer)
    commit = chat.journal._commit

    def unsure(entries: Any, *, look: bool = False) -> Any:
        commit(entries, look=look)
        return [chat.journal._unavailable() for _ in entries]

    monkeypatch.setattr(chat.journal, "_commit", unsure)
    refused = await append(writer, seq, 0, "all", state="done")
    monkeypatch.setattr(chat.journal, "_commit", commit)
    assert refused["error"]["code"] == "unavailable"
    again = await append(writer, seq, 0, "all", state="done")
    assert again["seq"] == seq + 1


async def test_it_is_edited_once_it_has_ended(talk: Talkers, ada: User) -> None:
    writer = await talk(ada)
    seq = await begin(writer)
    code = await writer.refusal("edit", room="general", target=seq, text="new")
    assert code == "growing"
    await append(writer, seq, 0, "old", state="cut")

    edit = await writer.ask("edit", room="general", target=seq, text="new")
    page = await writer.ask("history", room="general")
    (message,) = page["messages"]
    assert (message["text"], message["edited"]) == ("new", edit["seq"])
    assert message["state"] == "cut"


async def test_a_deletion_ends_it(talk: Talkers, ada: User) -> None:
    writer = await talk(ada)
    seq = await begin(writer)
    await append(writer, seq, 0, "secret")
    await writer.ask("delete", room="general", target=seq)

    assert (await append(writer, seq, 6, "x"))["error"]["code"] == "not_growing"
    message = await in_thread(row, seq)
    assert (message.text, message.details) == ("", None)
    assert not await in_thread(is_marked, seq)


@pytest.mark.usefixtures("saves_fast")
async def test_it_is_saved_while_it_grows(talk: Talkers, ada: User) -> None:
    writer = await talk(ada)
    seq = await begin(writer)
    await append(writer, seq, 0, "so far")

    async with asyncio.timeout(60):
        # Nobody tells of a save.
        while (await in_thread(row, seq)).text != "so far":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    message = await in_thread(row, seq)
    assert message.details == {"open": True}
    assert await in_thread(lambda: Room.objects.get(slug="general").head) == seq


async def test_who_joins_gets_all_so_far(talk: Talkers, ada: User) -> None:
    writer = await talk(ada)
    seq = await begin(writer)
    await append(writer, seq, 0, "so far")
    await grown(writer, "so far")

    late = await talk()
    assert await late.push("partial") == {
        "push": "partial",
        "room": "general",
        "seq": seq,
        "at": 0,
        "text": "so far",
    }
    back = await talk(resume={"general": seq - 1})
    said = [await back.hear(), await back.hear()]
    assert [each["push"] for each in said] == ["message", "partial"]
    assert said[1]["text"] == "so far"


async def test_a_room_that_nobody_watched_shows_it(talk: Talkers, ada: User) -> None:
    writer = await talk(ada, room=None)
    seq = await begin(writer)
    await append(writer, seq, 0, "unseen")

    late = await talk()
    assert (await late.push("partial"))["text"] == "unseen"


async def test_the_one_it_answers_cancels_it(
    talk: Talkers, ada: User, grace: User
) -> None:
    asker, writer = await talk(ada), await talk(grace)
    question = (await asker.ask("send", room="general", text="why?"))["seq"]
    seq = await begin(writer, reply_to=question)
    await append(writer, seq, 0, "because")

    reply = await asker.ask("cancel", room="general", seq=seq)
    ended = await writer.push("edited")
    assert (ended["state"], ended["text"], ended["seq"]) == (
        "cancelled",
        "because",
        reply["seq"],
    )
    assert ended["author"]["name"] == "Grace"
    assert (await append(writer, seq, 7, " of"))["error"]["code"] == "not_growing"


async def test_a_moderator_cancels_it(talk: Talkers, ada: User, grace: User) -> None:
    await in_thread(actions.set_role, "general", grace, "moderator")
    writer, moderator = await talk(ada), await talk(grace)
    seq = await begin(writer)

    assert "seq" in await moderator.ask("cancel", room="general", seq=seq)
    assert (await in_thread(row, seq)).details == {"state": "cancelled"}


@pytest.mark.parametrize("how", ["muted", "banned"])
async def test_who_is_muted_or_banned_says_no_more(
    talk: Talkers, ada: User, how: str
) -> None:
    writer, reader = await talk(ada), await talk()
    seq = await begin(writer, text="before")
    await append(writer, seq, 6, " and after")
    if how == "muted":
        until = datetime.now(UTC) + timedelta(hours=1)
        await in_thread(actions.mute, "general", ada, until)
    else:
        await in_thread(actions.ban, "general", ada)

    ended = await reader.push("edited")
    assert (ended["state"], ended["target"]) == ("cut", seq)
    assert "before and after".startswith(ended["text"])


async def test_who_is_removed_from_a_group_says_no_more(
    talk: Talkers, ada: User, grace: User
) -> None:
    await in_thread(group, ada, grace)
    writer, reader = await talk(ada, "group"), await talk(grace, "group")
    reply = await writer.ask("send", room="group", text="a", open=True)
    await in_thread(actions.remove_member, "group", ada)

    ended = await reader.push("edited")
    assert (ended["state"], ended["target"]) == ("cut", reply["seq"])


@pytest.mark.usefixtures("saves_fast")
async def test_an_author_comes_back_and_goes_on(talk: Talkers, ada: User) -> None:
    reader, writer = await talk(), await talk(ada)
    seq = await begin(writer)
    await append(writer, seq, 0, "one ")
    await talk.end(writer)

    again = await talk(ada)
    refused = await append(again, seq, 99, "?")
    assert refused["error"]["at"] == 4
    await append(again, seq, 4, "two", state="done")
    assert (await reader.push("edited"))["text"] == "one two"


async def test_who_comes_back_and_has_nothing_to_say_yet_is_there(
    talk: Talkers, ada: User, chat: Engine
) -> None:
    """An empty text has the message grow by the new connection, where it is silent."""
    writer = await talk(ada)
    seq = await begin(writer)
    await append(writer, seq, 0, "so far")
    await talk.end(writer)
    again = await talk(ada)
    async with asyncio.timeout(30):
        while chat.own_texts.of("general", seq) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # nobody tells that what they left is saved

    assert "error" not in await append(again, seq, 6, "")
    assert chat.own_texts.is_written("general", seq)
    assert (await append(again, seq, 7, ""))["error"]["at"] == 6
    await append(again, seq, 6, "", state="done")
    assert (await again.push("edited"))["text"] == "so far"
    assert (await append(again, seq, 6, ""))["error"]["code"] == "not_growing"


async def test_the_same_client_id_is_the_same_message(talk: Talkers, ada: User) -> None:
    writer = await talk(ada)
    seq = await begin(writer, client_id="c-1")
    await append(writer, seq, 0, "so far")

    assert await begin(writer, client_id="c-1") == seq
    assert (await append(writer, seq, 9, "x"))["error"]["at"] == 6


async def test_plain_mode_is_told_it_once_it_is_whole(talk: Talkers, ada: User) -> None:
    writer, plain = await talk(ada), await talk.plain()
    seq = await begin(writer)
    await append(writer, seq, 0, "whole")
    await grown(writer, "whole")
    await append(writer, seq, 5, "!", state="done")

    said = await plain.hear()
    assert (said["message"], said["seq"]) == ("whole!", seq)
    assert said["author"] == "Ada Lovelace"


@pytest.mark.limits
async def test_what_does_not_grow_here_is_counted_as_a_command(
    talk: Talkers, ada: User, settings: Settings
) -> None:
    """It costs a look into the database, and what grows here does not."""
    limits = {"append": "1/min:50", "command": "1/min:10"}
    settings.HEADGATE = {"GUESTS": True, "LIMITS": limits}
    writer = await talk(ada)
    seq = await begin(writer)
    ended = await begin(writer)
    await append(writer, ended, 0, "x", state="done")

    refused: list[str] = []
    for target in (ended, 99) * 6:
        reply = await append(writer, target, 0, "x")
        refused.append(reply["error"].get("policy") or reply["error"]["code"])
    assert set(refused[:5]) == {"not_growing"}
    assert set(refused[8:]) == {"command"}
    for at in range(20):
        assert "error" not in await append(writer, seq, at, "x")


@pytest.mark.limits
async def test_what_is_appended_has_a_limit_of_its_own(
    talk: Talkers, ada: User, settings: Settings
) -> None:
    limits = {"append": "1/min:3", "command": "1/min:2"}
    settings.HEADGATE = {"GUESTS": True, "LIMITS": limits}
    writer = await talk(ada)
    told = {each["policy"]: each for each in writer.welcome["limits"]}
    assert (told["append"]["burst"], told["append"]["key"]) == (3, "connection")
    seq = await begin(writer)
    for at in range(3):
        assert "error" not in await append(writer, seq, at, "x")

    refused = await append(writer, seq, 3, "x")
    assert refused["error"]["policy"] == "append"
    assert refused["error"]["retry_after_ms"] > 0


def _strict(draft: MessageDraft) -> MessageDraft | Reject:
    if "bad" in draft.text:
        return Reject("forbidden", "Not here.")
    draft.text = draft.text.replace("rude", "****")
    return draft


async def test_the_project_sees_the_whole_text(
    talk: Talkers, ada: User, settings: Settings
) -> None:
    before = f"{__name__}._strict"
    settings.HEADGATE = {"GUESTS": True, "BEFORE_SEND": before}
    writer = await talk(ada)
    seq = await begin(writer, text="ru")
    await append(writer, seq, 2, "de", state="done")
    assert (await writer.push("edited"))["text"] == "****"

    seq = await begin(writer, text="ba")
    refused = await append(writer, seq, 2, "d", state="done")
    assert refused["error"] == {"code": "forbidden", "text": "Not here."}
    ended = await writer.push("edited")
    assert (ended["text"], ended["state"]) == ("", "cut")
    assert (await in_thread(Message.objects.get, seq=seq)).text == ""


def _wordy(draft: MessageDraft) -> MessageDraft | Reject:
    if "bad" in draft.text:
        return Reject("forbidden", "Not here.")
    draft.text = draft.text.replace("rude", "[left out]").replace("damn", "****")
    return draft


@pytest.mark.parametrize("said", ["so rude", "so damn"])
async def test_the_same_end_again_where_the_project_changed_the_text(
    talk: Talkers, ada: User, settings: Settings, said: str
) -> None:
    """Whoever sends it again does not know what was saved in its place."""
    before = f"{__name__}._wordy"
    settings.HEADGATE = {"GUESTS": True, "BEFORE_SEND": before}
    writer = await talk(ada)
    seq = await begin(writer)
    await append(writer, seq, 0, said[:4])
    first = await append(writer, seq, 4, said[4:], state="done")
    saved = (await writer.push("edited"))["text"]
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"

    for at in (4, 7, 0):
        again = await append(writer, seq, at, said[at:], state="done")
        assert (again["seq"], again["at"]) == (first["seq"], first["at"])
    others = [(4, said[4:], "cut"), (4, said[4:] + "!", "done"), (0, "so", "done")]
    if len(saved) != len(said):
        others.append((0, saved, "done"))
    for at, text, state in others:
        again = await append(writer, seq, at, text, state=state)
        assert again["error"]["code"] == "not_growing"


async def test_an_end_that_the_project_refused_is_not_known_as_another(
    talk: Talkers, ada: User, settings: Settings
) -> None:
    before = f"{__name__}._wordy"
    settings.HEADGATE = {"GUESTS": True, "BEFORE_SEND": before}
    writer = await talk(ada)
    seq = await begin(writer)
    refused = await append(writer, seq, 0, "bad", state="cut")
    assert refused["error"]["code"] == "forbidden"

    again = await append(writer, seq, 0, "bad", state="cut")
    assert again["error"]["code"] == "not_growing"
