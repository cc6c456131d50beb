"""Editing and deleting over HTTP."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User

from headgate.chat import actions
from headgate.chat.models import Event, Room
from headgate.chat.people import SYSTEM
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.scenes import group, write
from tests.chat.talker import Talkers, guests_fixture, in_thread, talk_fixture  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

MESSAGES = "/api/v1/rooms/general/messages"


async def test_an_edit_is_saved_and_told(
    browse: Browsers, talk: Talkers, room: Room, ada: User
) -> None:
    await in_thread(actions.send_message, "general", ada, "hi")
    browser, talker = await browse(ada), await talk(ada)

    answer = await browser.patch(
        f"{MESSAGES}/1", json={"text": "ho", "format": "markdown", "data": {"a": 1}}
    )

    assert (answer.status_code, answer.json()["seq"]) == (200, 2)
    push = await talker.push("edited")
    assert (push["target"], push["seq"], push["text"]) == (1, 2, "ho")
    assert (push["format"], push["data"]) == ("markdown", {"a": 1})
    assert push["at"] == answer.json()["at"]


async def test_an_edit_that_changes_nothing_gives_the_earlier_seq(
    browse: Browsers, room: Room, ada: User
) -> None:
    await in_thread(actions.send_message, "general", ada, "hi")
    browser = await browse(ada)

    edits = [
        await browser.patch(f"{MESSAGES}/1", json={"text": text})
        for text in ("hi", "ho", "ho")
    ]

    assert [(e.status_code, e.json()["seq"]) for e in edits] == [
        (200, 1),
        (200, 2),
        (200, 2),
    ]


async def test_a_deletion_is_saved_and_told(
    browse: Browsers, talk: Talkers, room: Room, ada: User
) -> None:
    await in_thread(actions.send_message, "general", ada, "hi")
    browser, talker = await browse(ada), await talk(ada)

    first = await browser.delete(f"{MESSAGES}/1")
    again = await browser.delete(f"{MESSAGES}/1")

    assert (first.status_code, first.json()["seq"]) == (200, 2)
    assert first.json() == again.json()
    assert (await talker.push("deleted"))["target"] == 1
    assert [e.text async for e in Event.objects.all()] == ["", ""]
    (left,) = (await browser.get(MESSAGES)).json()["messages"]
    assert (left["text"], left["deleted"]) == ("", True)


async def test_what_is_deleted_is_not_edited(
    browse: Browsers, room: Room, ada: User
) -> None:
    await in_thread(actions.send_message, "general", ada, "hi")
    await in_thread(actions.delete_message, "general", 1, by=SYSTEM)

    refused = await (await browse(ada)).patch(f"{MESSAGES}/1", json={"text": "ho"})

    assert problem_of(refused) == (404, "not_found")


async def test_others_messages_are_not_for_changing(
    browse: Browsers, room: Room, ada: User, grace: User
) -> None:
    await in_thread(actions.send_message, "general", ada, "hi")
    browser = await browse(grace)

    edited = await browser.patch(f"{MESSAGES}/1", json={"text": "ho"})
    deleted = await browser.delete(f"{MESSAGES}/1")

    assert problem_of(edited) == problem_of(deleted) == (403, "forbidden")


async def test_who_moderates_may_delete_but_not_edit(
    browse: Browsers, ada: User, grace: User
) -> None:
    made = await in_thread(group, ada, grace)
    await in_thread(actions.set_role, made, grace, "moderator")
    sent = await in_thread(actions.send_message, made, ada, "hi")
    message = f"/api/v1/rooms/group/messages/{sent.seq}"
    browser = await browse(grace)

    edited = await browser.patch(message, json={"text": "ho"})
    deleted = await browser.delete(message)

    assert problem_of(edited) == (403, "forbidden")
    assert deleted.status_code == 200


async def test_djangos_permission_to_delete_counts(
    browse: Browsers, room: Room, ada: User, grace: User
) -> None:
    await in_thread(actions.send_message, "general", ada, "hi")
    right = await Permission.objects.aget(codename="delete_message")
    await in_thread(grace.user_permissions.add, right)

    assert (await (await browse(grace)).delete(f"{MESSAGES}/1")).status_code == 200


async def test_a_guest_changes_what_is_theirs(
    browse: Browsers, guests: None, room: Room
) -> None:
    browser = await browse()
    posted = await browser.post(MESSAGES, json={"text": "hi"})
    token = {"Headgate-Guest": posted.headers["Headgate-Guest"]}

    as_another = await browser.patch(f"{MESSAGES}/1", json={"text": "ho"})
    edited = await browser.patch(f"{MESSAGES}/1", json={"text": "ho"}, headers=token)
    deleted = await browser.delete(f"{MESSAGES}/1", headers=token)

    assert problem_of(as_another) == (403, "forbidden")
    assert (edited.json()["seq"], deleted.json()["seq"]) == (2, 3)


@pytest.mark.parametrize("seq", ["0", "-1", "x", "1.0", "²", "9" * 30, str(2**53)])
async def test_bad_seqs(browse: Browsers, room: Room, ada: User, seq: str) -> None:
    browser = await browse(ada)

    edited = await browser.patch(f"{MESSAGES}/{seq}", json={"text": "ho"})
    deleted = await browser.delete(f"{MESSAGES}/{seq}")

    assert problem_of(edited) == problem_of(deleted) == (400, "bad_command")
    assert edited.json()["field"] == deleted.json()["field"] == "target"


async def test_an_event_that_is_no_message_is_not_found(
    browse: Browsers, room: Room, ada: User
) -> None:
    await in_thread(write, 1)
    await in_thread(actions.edit_message, "general", 1, "new", by=SYSTEM)

    refused = await (await browse(ada)).delete(f"{MESSAGES}/2")

    assert problem_of(refused) == (404, "not_found")


async def test_the_url_says_which_message(
    browse: Browsers, room: Room, ada: User
) -> None:
    for _ in range(2):
        await in_thread(actions.send_message, "general", ada, "hi")
    browser = await browse(ada)

    await browser.patch(f"{MESSAGES}/1", json={"target": 2, "text": "ho"})

    assert (await Event.objects.aget(seq=1)).text == "ho"
    assert (await Event.objects.aget(seq=2)).text == "hi"


async def test_edits_keep_to_the_limits_of_the_wire(
    browse: Browsers, room: Room, ada: User
) -> None:
    await in_thread(actions.send_message, "general", ada, "hi")
    browser = await browse(ada)

    blank = await browser.patch(f"{MESSAGES}/1", json={"text": " "})
    large = await browser.patch(f"{MESSAGES}/1", json={"text": "x" * 17_000})
    form = await browser.patch(f"{MESSAGES}/1", data={"text": "ho"})

    assert problem_of(blank) == (400, "bad_command")
    assert problem_of(large) == (413, "too_large")
    assert problem_of(form) == (415, "binary")
