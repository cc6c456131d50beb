"""Growing messages over HTTP: seen, and ended, but not written."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from headgate.chat.models import Room
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.talker import Talkers, guests_fixture, talk_fixture  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

MESSAGES = "/api/v1/rooms/general/messages"


async def test_it_is_seen_and_ended(
    browse: Browsers, talk: Talkers, guests: None, room: Room, ada: User
) -> None:
    writer, browser = await talk(ada), await browse(ada)
    begun = await writer.ask("send", room="general", text="so far", open=True)
    where = f"{MESSAGES}/{begun['seq']}/cancel"
    (message,) = (await browser.get(MESSAGES)).json()["messages"]
    assert (message["text"], message["open"]) == ("so far", True)

    stranger = await browse()
    refused = await stranger.post(where)
    assert problem_of(refused) == (403, "forbidden")
    answer = await browser.post(where)
    assert answer.status_code == 200, answer.text
    ended = await writer.push("edited")
    assert (answer.json()["seq"], ended["state"]) == (ended["seq"], "cancelled")
    again = await browser.post(where)
    assert problem_of(again) == (409, "not_growing")
    (message,) = (await browser.get(MESSAGES)).json()["messages"]
    assert message["state"] == "cancelled"
    assert "open" not in message


async def test_none_begins_over_http(
    browse: Browsers, guests: None, room: Room
) -> None:
    browser = await browse()
    refused = await browser.post(MESSAGES, json={"text": "", "open": True})
    assert problem_of(refused) == (400, "bad_command")
    whole = await browser.post(MESSAGES, json={"text": "whole", "open": True})
    assert whole.status_code == 201
    (message,) = (await browser.get(MESSAGES)).json()["messages"]
    assert (message["text"], "open" in message) == ("whole", False)
