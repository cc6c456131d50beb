"""What the project has to say before something is saved, over every door."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import AsyncClient
from pytest_django import Settings

import headgate
from headgate.chat import actions, before_send
from headgate.chat.before_send import MessageDraft
from headgate.chat.models import Event, Room
from headgate.chat.path_checks import check_paths
from headgate.chat.people import SYSTEM
from headgate.protocol.codes import Code
from tests.chat.scenes import group
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    in_thread,
    talk_fixture,
)

pytestmark = pytest.mark.django_db(transaction=True)

OWN = "tests.chat.test_before_send"

# --- the project ------------------------------------------------------------------

Answer = Callable[[MessageDraft], Any]
drafts: list[MessageDraft] = []
rule: list[Answer] = []  # what the function does; the last one counts


def look(draft: MessageDraft) -> Any:
    drafts.append(draft)
    return rule[-1](draft)


async def alook(draft: MessageDraft) -> Any:
    drafts.append(draft)
    answer = rule[-1](draft)
    return await answer if isinstance(answer, Awaitable) else answer


def shout(draft: MessageDraft) -> MessageDraft:
    draft.text = draft.text.upper()
    return draft


def refuse(draft: MessageDraft) -> headgate.Reject:
    return headgate.Reject("forbidden", "No links, please.")


LIMIT_SECONDS = 0.1


@pytest.fixture(autouse=True, params=["alook", "look"])
def project(
    request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """All that follows holds for async functions and for sync ones."""
    assert before_send.LIMIT_SECONDS == LIMIT_SECONDS
    # What is in time is so on a busy machine too.
    monkeypatch.setattr(before_send, "LIMIT_SECONDS", 5.0)
    settings.HEADGATE = {"BEFORE_SEND": f"{OWN}.{request.param}"}
    rule.append(shout)
    yield request.param
    rule.clear()
    drafts.clear()


# --- doors ------------------------------------------------------------------------

Said = tuple[str, Any]  # a code or "ok", and what was said


async def by_v1(talk: Talkers, who: User, text: str, **more: Any) -> Said:
    talker = await talk(who)
    said = await talker.ask("send", room="general", text=text, **more)
    return said.get("error", {}).get("code", "ok"), said.get("error", said)


async def by_plain(talk: Talkers, who: User, text: str, **more: Any) -> Said:
    talker = await talk.plain(who)
    await talker.say({"message": text} | more)
    said = await talker.hear()
    return said.get("error", "ok"), said


async def by_http(talk: Talkers, who: User, text: str, **more: Any) -> Said:
    client = AsyncClient()
    await in_thread(client.force_login, who)
    url, json_type = "/api/v1/rooms/general/messages", "application/json"
    answer = await client.post(url, {"text": text} | more, content_type=json_type)
    said = answer.json()
    return said.get("code", "ok"), said


async def by_socket_url(talk: Talkers, who: User, text: str, **more: Any) -> Said:
    client = AsyncClient()
    await in_thread(client.force_login, who)
    url, json_type = "/ws/chat/general/", "application/json"
    answer = await client.post(url, {"message": text} | more, content_type=json_type)
    said = answer.json()
    return said.get("code", "ok"), said


async def by_python(talk: Talkers, who: User, text: str, **more: Any) -> Said:
    try:
        sent = await in_thread(headgate.send_message, "general", who, text, **more)
    except headgate.NotSent as exc:
        return str(exc.code), exc
    return "ok", sent


async def by_async_python(talk: Talkers, who: User, text: str, **more: Any) -> Said:
    try:
        sent = await headgate.asend_message("general", who, text, **more)
    except headgate.NotSent as exc:
        return str(exc.code), exc
    return "ok", sent


Door = Callable[..., Awaitable[Said]]
DOORS: dict[str, Door] = {
    "v1": by_v1,
    "plain": by_plain,
    "http": by_http,
    "socket url": by_socket_url,
    "send_message": by_python,
    "asend_message": by_async_python,
}
door = pytest.mark.parametrize("send", DOORS.values(), ids=DOORS)


def texts() -> list[str]:
    rows = Event.objects.filter(kind="message").order_by("seq")
    return list(rows.values_list("text", flat=True))


@door
async def test_what_it_lets_through_is_saved_as_it_says(
    talk: Talkers, room: Room, ada: User, grace: User, send: Door
) -> None:
    watching = await talk(grace)
    assert (await send(talk, ada, "hello"))[0] == "ok"

    assert (await watching.push("message"))["text"] == "HELLO"
    assert await in_thread(texts) == ["HELLO"]
    (draft,) = drafts
    assert (draft.room, draft.author.id) == ("general", f"u:{ada.pk}")
    assert draft.author.name == "Ada Lovelace"


@door
async def test_what_it_rejects_is_refused_in_its_words(
    talk: Talkers, room: Room, ada: User, send: Door
) -> None:
    rule.append(refuse)
    code, said = await send(talk, ada, "see example.com", client_id="c-1")

    assert code == "forbidden"
    assert "No links, please." in str(said)
    if isinstance(said, dict):
        assert said["client_id"] == "c-1"
    assert await in_thread(texts) == []


@door
@pytest.mark.parametrize("fault", ["raises", "exits", "late", "nothing"])
async def test_where_it_fails_nothing_is_let_through(
    talk: Talkers,
    room: Room,
    ada: User,
    send: Door,
    fault: str,
    project: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_late(draft: MessageDraft) -> Any:
        if project == "look":
            time.sleep(0.15)
            return draft
        return asyncio.sleep(10)

    def none_at_all(_: MessageDraft) -> None:
        """Forget to return the draft."""

    faults: dict[str, Answer] = {
        "raises": lambda _: 1 // 0,
        "exits": lambda _: sys.exit(1),
        "late": too_late,
        "nothing": none_at_all,
    }
    rule.append(faults[fault])
    with monkeypatch.context() as patch:
        patch.setattr(before_send, "LIMIT_SECONDS", LIMIT_SECONDS)
        code, said = await send(talk, ada, "hello", client_id="c-1")

    assert code == "unavailable"
    retry = said["retry_after_ms"] if isinstance(said, dict) else said.retry_after_ms
    assert retry == 1000
    assert await in_thread(texts) == []
    assert len(talk.faults) == 1
    talk.faults.clear()

    rule.append(shout)  # the same again, once it works
    assert (await send(talk, ada, "hello", client_id="c-1"))[0] == "ok"
    assert await in_thread(texts) == ["HELLO"]


@door
async def test_a_retry_is_the_same_message_whatever_it_says_by_then(
    talk: Talkers, room: Room, ada: User, send: Door
) -> None:
    first = await send(talk, ada, "hello", client_id="c-1")
    for other in (
        lambda draft: MessageDraft(room="r", author=draft.author, text="otherwise"),
        refuse,
    ):
        rule.append(other)
        code, said = await send(talk, ada, "hello", client_id="c-1")
        assert code == "ok"
        assert _seq(said) == _seq(first[1])
    rule.append(shout)
    assert (await send(talk, ada, "HELLO", client_id="c-1"))[0] == "id_conflict"
    assert await in_thread(texts) == ["HELLO"]


def _seq(said: Any) -> int:
    return int(said["seq"] if isinstance(said, dict) else said.seq)


# --- what it may change -----------------------------------------------------------


async def test_it_is_shown_all_that_is_said(
    talk: Talkers, room: Room, ada: User
) -> None:
    first = headgate.asend_message("general", SYSTEM, "first", kind="system")
    seq = (await first).seq
    more = {"kind": "x-poll", "format": "markdown", "data": {"a": [1]}}
    await by_v1(talk, ada, "hi", **more, reply_to=seq, client_id="c-1")

    assert (drafts[0].kind, drafts[0].author.kind) == ("system", "system")
    said = drafts[1]
    assert (said.kind, said.format, said.data) == tuple(more.values())
    assert (said.reply_to, said.client_id, said.edits) == (seq, "c-1", None)


async def test_data_may_be_changed_in_place(
    talk: Talkers, room: Room, ada: User
) -> None:
    def add(draft: MessageDraft) -> MessageDraft:
        (draft.data or {})["seen"] = True
        return draft

    def take(draft: MessageDraft) -> MessageDraft:
        draft.data = None
        return draft

    rule.append(add)
    await by_v1(talk, ada, "one", data={"a": 1}, kind="x-a")
    rule.append(take)
    await by_v1(talk, ada, "two", data={"a": 1}, kind="x-a")
    found = await in_thread(
        lambda: list(Event.objects.order_by("seq").values_list("details", flat=True)),
    )
    assert found == [{"kind": "x-a", "data": {"a": 1, "seen": True}}, {"kind": "x-a"}]


async def test_data_that_was_changed_in_place_has_the_same_limits(
    talk: Talkers, room: Room, ada: User
) -> None:
    def fill(draft: MessageDraft) -> MessageDraft:
        (draft.data or {})["a"] = "x" * 5000
        return draft

    rule.append(fill)
    assert (await by_v1(talk, ada, "hi", data={"a": 1}))[0] == "too_large"


async def test_nothing_else_may_be_changed(
    talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    def meddle(draft: MessageDraft) -> MessageDraft:
        author = draft.author
        draft.room, draft.kind, draft.client_id = "other", "x-other", "other"
        return MessageDraft(
            room="other", author=author, text=f"{draft.text}!", edits=5, reply_to=1
        )

    rule.append(meddle)
    await by_v1(talk, ada, "hi", client_id="c-1")
    event = await in_thread(Event.objects.get)

    assert (event.text, event.client_id, event.details) == ("hi!", "c-1", None)


@pytest.mark.parametrize(
    ("text", "data", "code"),
    [
        ("x" * 17_000, None, "too_large"),
        (" ", None, "bad_command"),
        ("a\x00b", None, "bad_command"),
        ("hi", {"a": "x" * 5000}, "too_large"),
        ("hi", {"a": 2**60}, "bad_command"),
        (5, None, "unavailable"),
        ("hi", "no dict", "unavailable"),
        ("hi", {"a": object()}, "unavailable"),
    ],
)
async def test_what_comes_back_has_the_same_limits(
    talk: Talkers, room: Room, ada: User, text: Any, data: Any, code: str
) -> None:
    def spoil(draft: MessageDraft) -> MessageDraft:
        draft.text, draft.data = text, data
        return draft

    rule.append(spoil)
    assert (await by_v1(talk, ada, "hello"))[0] == code
    assert (await by_python(talk, ada, "hello"))[0] == code
    assert await in_thread(texts) == []
    talk.faults.clear()


async def test_edits_are_looked_at_too(talk: Talkers, room: Room, ada: User) -> None:
    """Or whoever edits would get round it."""
    talker = await talk(ada)
    seq = (await talker.ask("send", room="general", text="hello"))["seq"]
    await talker.ask("edit", room="general", target=seq, text="good evening")
    assert drafts[-1].edits == seq
    assert await in_thread(texts) == ["GOOD EVENING"]

    rule.append(refuse)
    edit = {"room": "general", "target": seq, "text": "see example.com"}
    assert await talker.refusal("edit", **edit) == "forbidden"
    client = AsyncClient()
    await in_thread(client.force_login, ada)
    url = f"/api/v1/rooms/general/messages/{seq}"
    answer = await client.patch(url, {"text": "x"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    with pytest.raises(headgate.NotSent, match="No links"):
        await in_thread(lambda: actions.edit_message("general", seq, "x", by=ada))
    assert await in_thread(texts) == ["GOOD EVENING"]

    asked = len(drafts)
    assert "seq" in await talker.ask("delete", room="general", target=seq)
    assert len(drafts) == asked  # a deletion says nothing


# --- order, rights, cost ----------------------------------------------------------


async def test_the_order_of_a_connections_messages_is_kept(
    talk: Talkers, room: Room, ada: User, project: str
) -> None:
    async def after(draft: MessageDraft, seconds: float) -> MessageDraft:
        await asyncio.sleep(seconds)
        return draft

    def slower_at_first(draft: MessageDraft) -> Any:
        seconds = 0.05 if draft.text in {"m0", "m3"} else 0.0
        if project == "alook":
            return after(draft, seconds)
        time.sleep(seconds)
        return draft

    rule.append(slower_at_first)
    sent = [f"m{n}" for n in range(6)]
    plain = await talk.plain(ada)
    for text in sent:
        await plain.say({"message": text, "client_id": text})
    replies: list[str] = []
    while len(replies) < len(sent):
        said = await plain.hear()
        replies += [said["client_id"]] if "author" not in said else []
    assert replies == sent
    assert await in_thread(texts) == sent

    v1 = await talk(ada)
    for text in sent:
        await v1.say({"cmd": "send", "id": 7, "room": "general", "text": text})
    await v1.ask("ping")
    await v1.until("general", 12)
    assert (await in_thread(texts))[6:] == sent


async def test_whoever_is_removed_meanwhile_says_nothing_more(
    talk: Talkers, ada: User, grace: User, project: str
) -> None:
    made = await in_thread(group, ada, grace)
    talker = await talk(ada, room=made.slug)

    looking, told = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait(draft: MessageDraft) -> MessageDraft:
        loop.call_soon_threadsafe(looking.set)
        told.wait(4)
        return draft

    async def await_it(draft: MessageDraft) -> MessageDraft:
        return await asyncio.to_thread(wait, draft)

    rule.append(await_it if project == "alook" else wait)
    command = {"cmd": "send", "id": 1, "room": made.slug, "text": "still here"}
    await talker.say(command)
    await looking.wait()
    await in_thread(actions.remove_member, made, ada)
    assert (await talker.push("rooms"))["left"] == [made.slug]
    told.set()
    assert (await talker.reply(1))["error"]["code"] == "not_found"
    assert await in_thread(texts) == []


async def test_whoever_may_not_send_is_refused_before_it_is_asked(
    talk: Talkers, ada: User, grace: User
) -> None:
    made = await in_thread(group, grace)
    talker = await talk(ada, room=None)
    assert await talker.refusal("send", room=made.slug, text="hi") == "not_found"
    assert drafts == []


async def test_it_is_not_asked_where_it_is_not_set(
    talk: Talkers, settings: Settings, room: Room, ada: User
) -> None:
    settings.HEADGATE = {}
    for send in DOORS.values():
        assert (await send(talk, ada, "hello"))[0] == "ok"
    assert drafts == []


async def test_in_a_transaction_it_sees_what_is_not_committed(
    room: Room, ada: User, project: str
) -> None:
    async def count_async(draft: MessageDraft) -> MessageDraft:
        draft.text = str(await Event.objects.acount())
        return draft

    def count(draft: MessageDraft) -> MessageDraft:
        draft.text = str(Event.objects.count())
        return draft

    def write() -> None:
        with transaction.atomic():
            headgate.send_message("general", ada, "first")
            headgate.send_message("general", ada, "second")

    rule.append(count_async if project == "alook" else count)
    await in_thread(write)
    assert await in_thread(texts) == ["0", "1"]


# --- when it fails ----------------------------------------------------------------


async def test_failing_is_logged_once_and_so_is_the_end_of_it(
    talk: Talkers, room: Room, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "headgate.before_send")
    rule.append(lambda _: 1 // 0)
    for _ in range(3):
        await by_v1(talk, ada, "hello")
    assert caplog.text.count("before_send_failed") == 1
    assert "ZeroDivisionError" in caplog.text
    talk.faults.clear()

    rule.append(shout)
    for _ in range(3):
        await by_v1(talk, ada, "hello")
    assert caplog.text.count("before_send_back") == 1


async def test_one_that_lets_nothing_end_it_is_not_waited_for(
    talk: Talkers,
    room: Room,
    ada: User,
    project: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(before_send, "LIMIT_SECONDS", LIMIT_SECONDS)
    free = asyncio.Event()

    async def stubborn(draft: MessageDraft) -> MessageDraft:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        return draft

    if project == "look":
        rule.append(lambda _: time.sleep(1.0))
    else:
        rule.append(stubborn)
    began = asyncio.get_running_loop().time()
    assert (await by_v1(talk, ada, "hello"))[0] == "unavailable"
    assert asyncio.get_running_loop().time() - began < 0.9
    free.set()
    talk.faults.clear()


async def test_no_more_calls_than_there_may_be(
    talk: Talkers, room: Room, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(before_send, "MAX_RUNNING", 0)
    assert (await by_v1(talk, ada, "hello"))[0] == "unavailable"
    assert drafts == []
    talk.faults.clear()


# --- rejections -------------------------------------------------------------------


def test_a_rejection_has_a_code_of_the_wire() -> None:
    assert headgate.Reject().code == "forbidden"
    assert headgate.Reject(Code.MUTED).code == "muted"
    with pytest.raises(ValueError, match=r"'spam' is no error code\. There are: bad_c"):
        headgate.Reject("spam", "No.")
    with pytest.raises(ValueError, match="positive"):
        headgate.Reject("muted", retry_after_ms=0)


@pytest.mark.parametrize(
    ("answer", "retry"),
    [
        (headgate.Reject("rate_limited", "Slowly."), 1000),
        (headgate.Reject("rate_limited", "Slowly.", retry_after_ms=5000), 5000),
        (headgate.Reject("forbidden"), None),
    ],
)
async def test_a_code_that_says_later_says_when(
    talk: Talkers, room: Room, ada: User, answer: headgate.Reject, retry: int | None
) -> None:
    rule.append(lambda _: answer)
    _, said = await by_v1(talk, ada, "hello")
    assert said.get("retry_after_ms") == retry
    assert said["text"] == (answer.text or "You may not do that here.")
    _, said = await by_http(talk, ada, "hello")
    assert said.get("retry_after_ms") == retry


async def test_a_long_rejection_is_cut(talk: Talkers, room: Room, ada: User) -> None:
    rule.append(lambda _: headgate.Reject(text="x" * 9000))
    _, said = await by_v1(talk, ada, "hello")
    assert said["text"] == "x" * 500


@pytest.mark.parametrize("path", ["no.such.module", f"{OWN}.MessageDraft"])
def test_a_path_to_no_function_is_an_error(settings: Settings, path: str) -> None:
    settings.HEADGATE = {"BEFORE_SEND": path}
    (mistake,) = check_paths()

    assert mistake.id == "headgate.E003"
    assert path in mistake.msg


async def test_a_path_that_is_wrong_lets_nothing_through(
    talk: Talkers, settings: Settings, room: Room, ada: User
) -> None:
    settings.HEADGATE = {"BEFORE_SEND": "no.such.module"}
    assert (await by_v1(talk, ada, "hello"))[0] == "unavailable"
    assert any("No module named" in fault for fault in talk.faults)
    talk.faults.clear()
