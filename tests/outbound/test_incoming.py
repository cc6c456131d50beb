"""Incoming webhooks: signed, throttled, once for one id, and by the room's rights."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from pytest_django import Settings
from standardwebhooks import Webhook

from headgate.chat import actions
from headgate.chat.models import Event, Member, Message, Room
from headgate.outbound.incoming import delete_hook, hook_actor, hook_of, make_hook
from headgate.outbound.models import IncomingWebhook
from headgate.outbound.signatures import new_secret, sign
from headgate.testing.limits_clock import LimitsClock
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.scenes import group
from tests.chat.talker import in_thread

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def signed(hook: IncomingWebhook, body: bytes, **changes: Any) -> dict[str, str]:
    """Return the header fields of a post as a service would send it."""
    call_id, at = changes.get("id", "msg_1"), changes.get("at", time.time())
    secrets = changes.get("secrets", hook.secrets)
    return {
        "Content-Type": "application/json",
        "webhook-id": call_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": sign(secrets, call_id, int(at), body),
    }


async def post(
    browser: httpx.AsyncClient, hook: IncomingWebhook, said: Any, **changes: Any
) -> httpx.Response:
    """Post what a webhook is to say, signed where it must be."""
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    headers = signed(hook, body, **changes) if hook.secrets else changes.get("headers")
    return await browser.post(
        f"/hooks/{hook.key}/",
        content=body,
        headers={"Content-Type": "application/json", **(headers or {})},
    )


def messages(room: Room) -> list[tuple[int, str, str, str]]:
    """Return the seq, the author's key and name, and the text of each message."""
    rows = Message.objects.filter(room=room).order_by("seq")
    return [(row.seq, row.author_key, row.author_name, row.text) for row in rows]


# --- what is posted -----------------------------------------------------------------


async def test_a_signed_post_is_a_message_of_a_bot(
    browse: Browsers, room: Room, ada: User
) -> None:
    hook = await in_thread(make_hook, room, "Deploys")
    browser = await browse(ada)
    response = await post(browser, hook, {"text": "Deployed.", "format": "markdown"})

    assert response.status_code == 201, response.text
    assert response.json() == {"seq": 1, "client_id": "msg_1"}
    assert response.headers["cache-control"] == "no-store"
    assert await in_thread(messages, room) == [
        (1, f"b:hook-{hook.pk}", "Deploys", "Deployed.")
    ]
    page = await browser.get("/api/v1/rooms/general/messages")
    (message,) = page.json()["messages"]
    assert message["author"] == {
        "id": f"b:hook-{hook.pk}",
        "kind": "bot",
        "name": "Deploys",
    }
    assert message["format"] == "markdown"


async def test_the_reference_package_signs_for_us(browse: Browsers, room: Room) -> None:
    hook = await in_thread(make_hook, room, "Deploys")
    body, now = '{"text": "ä"}', datetime.now(UTC)
    signature = Webhook(hook.secrets[0]).sign("msg_2", now, body)
    response = await (await browse()).post(
        f"/hooks/{hook.key}/",
        content=body.encode(),
        headers={
            "Content-Type": "application/json; charset=utf-8",
            "webhook-id": "msg_2",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": f"v1a,zzz {signature}",
        },
    )

    assert response.status_code == 201, response.text


async def test_a_name_hides_and_turns_round_nothing(
    browse: Browsers, room: Room, ada: User
) -> None:
    hook = await in_thread(make_hook, room, "De\u202eploys\u200b  \x07now\n")
    assert hook.name == "Deploys now"
    blank = await in_thread(make_hook, room, "\u202e \u200b")
    assert blank.name == "Webhook"
    # A row of which somebody has changed the name since.
    hook.name = "\u202eDeploys"
    await in_thread(hook.save)
    browser = await browse(ada)
    await post(browser, hook, {"text": "Deployed."})
    ((_, _, name, _),) = await in_thread(messages, room)
    assert name == "Deploys"


async def test_a_retry_is_one_message(browse: Browsers, room: Room) -> None:
    hook = await in_thread(make_hook, room, "Deploys")
    browser = await browse()
    said = {"text": "Deployed."}
    answers = [await post(browser, hook, said, at=time.time() - n) for n in range(3)]
    other = await post(browser, hook, said, id="msg_2")
    long_ids = [await post(browser, hook, said, id="x" * 200) for _ in range(2)]
    conflict = await post(browser, hook, {"text": "else"}, id="msg_2")

    assert [each.json()["seq"] for each in answers] == [1, 1, 1]
    assert other.json()["seq"] == 2
    assert [each.json()["seq"] for each in long_ids] == [3, 3]
    assert problem_of(conflict) == (409, "id_conflict")
    assert await in_thread(Event.objects.count) == 3


async def test_all_that_a_post_may_say(browse: Browsers, room: Room, ada: User) -> None:
    hook = await in_thread(make_hook, room, "Deploys", signed=False)
    browser = await browse(ada)
    first = await post(browser, hook, {"message": "plain mode's word"})
    said = {
        "text": "hi",
        "data": {"build": 7},
        "reply_to": 1,
        "client_id": "mine",
        "username": "what others' webhooks have",
        "open": True,
    }
    second = await post(browser, hook, said, headers={"webhook-id": "theirs"})

    assert first.json() == {"seq": 1}
    assert second.json() == {"seq": 2, "client_id": "mine"}
    page = await browser.get("/api/v1/rooms/general/messages")
    message = page.json()["messages"][1]
    assert (message["data"], message["reply_to"]) == ({"build": 7}, 1)
    assert "open" not in message


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"", 400, "bad_command", "no JSON"),
        (b"{", 400, "bad_command", "no JSON"),
        (b"\xff", 400, "bad_command", "no JSON"),
        (b"[" * 60_000, 400, "bad_command", ""),
        (b"[]", 400, "bad_command", "object"),
        (b"{}", 400, "bad_command", "text"),
        (b'{"text": "a", "message": "b"}', 400, "bad_command", "one of"),
        (b'{"text": ""}', 400, "bad_command", "empty"),
        (b'{"text": " "}', 400, "bad_command", "empty"),
        (b'{"text": 5}', 400, "bad_command", "text"),
        (b'{"text": "a", "format": "html"}', 400, "bad_command", "format"),
        (b'{"text": "a", "reply_to": 0}', 400, "bad_command", "reply_to"),
        (b'{"text": "a", "data": []}', 400, "bad_command", "data"),
        (b'{"text": "a\\u0000"}', 400, "bad_command", "U+0000"),
        (b'{"text": "a", "client_id": "%s"}' % (b"x" * 65), 400, "bad_command", "id"),
        (b'{"text": "%s"}' % (b"x" * 17_000), 413, "too_large", "bytes"),
        (b'{"text": "%s"}' % (b"x" * 70_000), 413, "too_large", "65536"),
    ],
)
async def test_what_is_no_post_is_told(
    browse: Browsers, room: Room, body: bytes, status: int, code: str, says: str
) -> None:
    hook = await in_thread(make_hook, room, "Deploys", signed=False)
    response = await post(await browse(), hook, body)

    assert problem_of(response) == (status, code)
    assert says in response.json()["detail"]
    assert await in_thread(Event.objects.count) == 0


async def test_a_body_that_does_not_tell_its_size_is_bounded_too(
    browse: Browsers, room: Room
) -> None:
    hook = await in_thread(make_hook, room, "Deploys", signed=False)

    async def pieces(count: int) -> Any:
        yield b'{"text": "hi", "more": "'
        for _ in range(count):
            yield b"x" * 1000
        yield b'"}'

    browser, headers = await browse(), {"Content-Type": "application/json"}
    path = f"/hooks/{hook.key}/"
    small = await browser.post(path, content=pieces(1), headers=headers)
    large = await browser.post(path, content=pieces(70), headers=headers)

    assert small.status_code == 201, small.text
    assert problem_of(large) == (413, "too_large")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_post(browse: Browsers, room: Room, method: str) -> None:
    hook = await in_thread(make_hook, room, "Deploys", signed=False)
    response = await (await browse()).request(method, f"/hooks/{hook.key}/")

    assert response.status_code == 405
    assert "POST" in response.headers["allow"]


async def test_other_content_is_refused(browse: Browsers, room: Room) -> None:
    hook = await in_thread(make_hook, room, "Deploys", signed=False)
    path = f"/hooks/{hook.key}/"
    response = await (await browse()).post(path, data={"text": "a form"})

    assert problem_of(response) == (415, "binary")


# --- who may ------------------------------------------------------------------------


def _unsigned(hook: IncomingWebhook, body: bytes) -> dict[str, str]:
    return {}


def _late(hook: IncomingWebhook, body: bytes) -> dict[str, str]:
    return signed(hook, body, at=time.time() - 400)


def _early(hook: IncomingWebhook, body: bytes) -> dict[str, str]:
    return signed(hook, body, at=time.time() + 400)


def _by_another(hook: IncomingWebhook, body: bytes) -> dict[str, str]:
    return signed(hook, body, secrets=[new_secret()])


def _of_another_body(hook: IncomingWebhook, body: bytes) -> dict[str, str]:
    return signed(hook, body + b" ")


def _of_another_id(hook: IncomingWebhook, body: bytes) -> dict[str, str]:
    return signed(hook, body) | {"webhook-id": "msg_9"}


@pytest.mark.parametrize(
    "fields",
    [_unsigned, _late, _early, _by_another, _of_another_body, _of_another_id],
)
async def test_a_post_that_is_not_signed_right_is_refused(
    browse: Browsers,
    room: Room,
    fields: Callable[[IncomingWebhook, bytes], dict[str, str]],
) -> None:
    hook = await in_thread(make_hook, room, "Deploys")
    body = b'{"text": "forged"}'
    headers = {"Content-Type": "application/json", **fields(hook, body)}
    response = await (await browse()).post(
        f"/hooks/{hook.key}/", content=body, headers=headers
    )

    assert problem_of(response) == (403, "forbidden")
    assert hook.secrets[0] not in response.text
    assert await in_thread(Event.objects.count) == 0


async def test_either_of_two_live_secrets_is_right(
    browse: Browsers, room: Room
) -> None:
    hook = await in_thread(make_hook, room, "Deploys")
    old, new = hook.secrets[0], new_secret()
    hook.secrets = [new, old]
    await in_thread(hook.save)
    browser = await browse()
    for number, secret in enumerate((old, new)):
        said = {"text": "hi"}
        response = await post(browser, hook, said, secrets=[secret], id=str(number))
        assert response.status_code == 201, response.text


async def test_a_key_that_is_nearly_right_is_none(browse: Browsers, room: Room) -> None:
    hook = await in_thread(make_hook, room, "Deploys", signed=False)
    assert len(hook.key) == 40
    browser = await browse()
    wrong = hook.key[:-1] + ("a" if hook.key[-1] != "a" else "b")
    keys = [wrong, hook.key[:12], hook.key + "a", "%", "_" * 40, "ü" * 20, "x" * 500]
    keys.append("%00" * 40)  # which PostgreSQL does not take
    for key in keys:
        response = await browser.post(
            f"/hooks/{key}/", json={"text": "hi"}, follow_redirects=False
        )
        assert problem_of(response) == (404, "not_found"), key
    assert await in_thread(hook_of, hook.key) == hook


async def test_what_is_switched_off_is_not_there(browse: Browsers, room: Room) -> None:
    hook = await in_thread(make_hook, room, "Deploys")
    hook.enabled = False
    await in_thread(hook.save)
    response = await post(await browse(), hook, {"text": "hi"})

    assert problem_of(response) == (404, "not_found")


async def test_no_cookie_counts(browse: Browsers, room: Room, ada: User) -> None:
    """Neither does it help, nor does it ask for a CSRF token."""
    hook = await in_thread(make_hook, room, "Deploys", signed=False)
    response = await post(await browse(ada, csrf=False), hook, {"text": "hi"})

    assert response.status_code == 201, response.text
    assert (await in_thread(messages, room))[0][1] == f"b:hook-{hook.pk}"


async def test_in_a_group_the_bot_is_a_member(
    browse: Browsers, ada: User, transactional_db: None
) -> None:
    room = await in_thread(group, ada)
    hook = await in_thread(make_hook, room, "Deploys")
    browser = await browse()
    first = await post(browser, hook, {"text": "hi"}, id="1")
    await in_thread(actions.ban, room, hook_actor(hook))
    banned = await post(browser, hook, {"text": "hi"}, id="2")
    await in_thread(actions.unban, room, hook_actor(hook))
    await in_thread(actions.remove_member, room, hook_actor(hook))
    removed = await post(browser, hook, {"text": "hi"}, id="3")

    assert first.status_code == 201, first.text
    assert problem_of(banned) == (403, "banned")
    assert problem_of(removed) == (404, "not_found")
    assert "no member" in removed.json()["detail"]
    assert len(await in_thread(messages, room)) == 1


def test_deleting_takes_the_bot_out(ada: User, transactional_db: None) -> None:
    room = group(ada)
    hook = make_hook(room, "Deploys")
    bot = Member.objects.filter(room=room, author_key=hook_actor(hook).key)
    assert bot.count() == 1
    delete_hook(hook)
    assert bot.count() == 0

    hook = make_hook(room, "Alerts")
    actions.remove_member(room, hook_actor(hook))
    delete_hook(hook)
    assert not IncomingWebhook.objects.exists()
    assert set(Member.objects.values_list("author_key", flat=True)) == {f"u:{ada.pk}"}


def test_a_room_that_is_deleted_takes_its_webhooks_along(
    ada: User, transactional_db: None
) -> None:
    room = group(ada)
    make_hook(room, "Deploys")
    Room.objects.all().delete()
    assert not IncomingWebhook.objects.exists()
    assert not Member.objects.exists()


async def test_the_project_looks_at_posts_too(
    browse: Browsers, room: Room, settings: Settings
) -> None:
    settings.HEADGATE = {"BEFORE_SEND": "tests.outbound.test_incoming.no_posts"}
    hook = await in_thread(make_hook, room, "Deploys", signed=False)
    response = await post(await browse(), hook, {"text": "hi"})

    assert problem_of(response) == (403, "forbidden")
    assert response.json()["detail"] == "No posts today."


async def no_posts(draft: Any) -> Any:
    """Refuse everything, as a project's `BEFORE_SEND`."""
    from headgate import Reject

    return Reject("forbidden", "No posts today.")


def test_by_wsgi_too(room: Room) -> None:
    hook = make_hook(room, "Deploys", signed=False)
    transport = httpx.WSGITransport(app=WSGIHandler())  # type: ignore[arg-type] # Django's own
    with httpx.Client(transport=transport, base_url="http://testserver") as client:
        response = client.post(f"/hooks/{hook.key}/", json={"text": "hi"})

    assert response.status_code == 201, response.text
    assert [text for *_, text in messages(room)] == ["hi"]


# --- how often ------------------------------------------------------------------------


@pytest.mark.limits
async def test_each_webhook_has_its_rate(
    browse: Browsers, room: Room, limits_clock: LimitsClock
) -> None:
    hook = await in_thread(make_hook, room, "Deploys", rate="1/min:3")
    other = await in_thread(make_hook, room, "Alerts", rate="1/min:3")
    browser = await browse()
    answers = [await post(browser, hook, {"text": "hi"}, id=str(n)) for n in range(4)]

    assert [each.status_code for each in answers] == [201, 201, 201, 429]
    refused = answers[3]
    assert problem_of(refused) == (429, "rate_limited")
    assert refused.json()["policy"] == "incoming"
    assert refused.headers["retry-after"] == "60"
    assert refused.headers["ratelimit"] == '"incoming";r=0;t=60'
    assert answers[0].headers["ratelimit-policy"].startswith('"incoming";q=1;w=60')
    assert (await post(browser, other, {"text": "hi"}, id="9")).status_code == 201
    limits_clock.advance(60)
    again = await post(browser, hook, {"text": "hi"}, id="3")
    assert again.status_code == 201
    assert len(await in_thread(messages, room)) == 5


@pytest.mark.limits
async def test_forgers_use_up_nobodys_rate_but_their_own(
    browse: Browsers, room: Room, limits_clock: LimitsClock, settings: Settings
) -> None:
    settings.HEADGATE = {"LIMITS": {"connect.address": "1/min:5"}}
    hook = await in_thread(make_hook, room, "Deploys", rate="1/min:3")
    browser = await browse()
    forged = [
        await post(browser, hook, {"text": "hi"}, secrets=[new_secret()])
        for _ in range(7)
    ]

    assert [each.status_code for each in forged] == [403] * 5 + [429] * 2
    assert forged[-1].json()["policy"] == "connect.address"
    right = [await post(browser, hook, {"text": "hi"}, id=str(n)) for n in range(3)]
    assert [each.status_code for each in right] == [201] * 3


@pytest.mark.limits
async def test_keys_are_not_guessed_fast(
    browse: Browsers, room: Room, limits_clock: LimitsClock, settings: Settings
) -> None:
    settings.HEADGATE = {"LIMITS": {"connect.address": "1/min:5"}}
    browser = await browse()
    statuses = [
        (await browser.post(f"/hooks/{'x' * 39}{n}/", json={})).status_code
        for n in range(7)
    ]

    assert statuses == [404] * 5 + [429] * 2
