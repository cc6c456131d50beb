"""What ends somebody's access reaches their open connections within two seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.db import transaction
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import isolate_apps
from django.utils import timezone

from headgate.chat import access, standing
from headgate.chat.access import access_changed, is_revoked, session_digest
from headgate.chat.consumer import MAX_BAD_COMMANDS
from headgate.chat.engine import Engine
from headgate.chat.models import AccessChange, Room
from headgate.protocol.codes import Close
from tests.chat.access_ends import (  # noqa: F401 - fixtures are found by name
    SEEN_SECONDS,
    changes_followed,
    cut_off,
    process_fixture,
    still_there,
)
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    ORIGIN,
    Ended,
    Said,
    Talker,
    Talkers,
    guests_fixture,
    in_thread,
    talk_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests"),
]


def browser(user: User) -> Client:
    """Return a browser that is signed in."""
    client = Client()
    client.force_login(user)
    return client


async def visit(
    talk: Talkers,
    client: Client | AsyncClient,
    room: str | None = "general",
) -> Talker:
    """Open a connection with a browser's cookie."""
    talker = await talk.raw(None, room, headers=headers_of(client))
    await talker.say({"cmd": "hello"})
    talker.welcome = await talker.push("welcome")
    return talker


async def visit_plain(talk: Talkers, client: Client) -> Talker:
    """The same in plain mode."""
    return await talk.raw(None, subprotocols=(), headers=headers_of(client))


def headers_of(client: Client | AsyncClient) -> list[tuple[bytes, bytes]]:
    """Return what a browser sends with its handshake."""
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    said = {"host": "testserver", "origin": ORIGIN, "cookie": cookie}
    return [(name.encode(), value.encode()) for name, value in said.items()]


# --- logout -----------------------------------------------------------------------


async def test_a_logout_closes_what_that_session_opened(
    talk: Talkers,
    room: Room,
    ada: User,
    process: str,
) -> None:
    laptop, phone = await in_thread(browser, ada), await in_thread(browser, ada)
    first, second = await visit(talk, laptop), await visit(talk, laptop, None)
    other, guest = await visit(talk, phone), await talk()

    await in_thread(laptop.post, "/sign-out/")

    for talker in (first, second):
        assert await cut_off(talker, Close.ACCESS_REVOKED, "unauthenticated") == []
    await still_there(other, guest)


async def test_a_logout_that_knows_no_user_is_one(
    talk: Talkers,
    room: Room,
    ada: User,
) -> None:
    """Django's `alogout` where the request has no `auser`."""
    client = AsyncClient()
    await client.aforce_login(ada)
    talker = await visit(talk, client)

    await client.alogout()

    await cut_off(talker, Close.ACCESS_REVOKED, "unauthenticated")


async def test_signing_in_as_somebody_else_ends_what_was_before(
    talk: Talkers,
    room: Room,
    ada: User,
    grace: User,
    process: str,
) -> None:
    """The same browser, without a logout: Django empties the session in silence."""
    laptop = await in_thread(browser, ada)
    first = await visit(talk, laptop)
    form = {"username": "grace", "password": "long enough"}
    grace.is_staff = True  # the admin's form takes whoever is signed in already
    grace.set_password(form["password"])
    await in_thread(grace.save)

    await in_thread(laptop.post, "/admin/login/", form)

    await cut_off(first, Close.ACCESS_REVOKED, "unauthenticated")
    second = await visit(talk, laptop)
    assert second.welcome["user"]["id"] == f"u:{grace.pk}"


async def test_signing_in_again_ends_nothing(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
) -> None:
    laptop = await in_thread(browser, ada)
    talker = await visit(talk, laptop)

    await in_thread(laptop.force_login, ada)
    await in_thread(access_changed)

    await changes_followed(chat)
    await still_there(talker)


async def test_nothing_that_waits_is_delivered_after_a_logout(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
) -> None:
    laptop = await in_thread(browser, ada)
    gone, stays = await visit(talk, laptop), await talk()
    gone.reads.clear()
    for number in range(10):
        await stays.ask("send", room="general", text=f"{number}")
    await stays.until("general", 10)

    await in_thread(laptop.post, "/sign-out/")
    (connection,) = [c for c in chat.node.connections if c.owner.user is not None]
    async with asyncio.timeout(SEEN_SECONDS):
        while connection.ending is None:  # noqa: ASYNC110 - it goes without a word
            await asyncio.sleep(0.01)
    await stays.ask("send", room="general", text="after")
    gone.reads.set()

    heard = await cut_off(gone, Close.ACCESS_REVOKED, "unauthenticated")
    # One was in the server's hands already; the rest was still Headgate's to keep.
    assert [said["seq"] for said in heard] in ([], [1])


async def test_a_logout_that_is_rolled_back_was_none(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
) -> None:
    laptop = await in_thread(browser, ada)
    talker = await visit(talk, laptop)

    def log_out_in_vain() -> None:
        with transaction.atomic():
            laptop.logout()
            assert AccessChange.objects.exists()
            transaction.set_rollback(True)

    await in_thread(log_out_in_vain)
    await in_thread(access_changed)  # goes out behind it

    await changes_followed(chat)
    await still_there(talker)


async def test_who_came_in_by_a_session_that_has_just_ended(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
) -> None:
    """The session is read at the handshake; hello may come much later."""
    laptop = await in_thread(browser, ada)
    cookie = f"sessionid={laptop.cookies['sessionid'].value}".encode()
    headers = [(b"host", b"testserver"), (b"origin", ORIGIN.encode())]
    slow = await talk.raw(headers=[*headers, (b"cookie", cookie)])
    await in_thread(laptop.post, "/sign-out/")
    await in_thread(access_changed)
    await changes_followed(chat)

    await slow.say({"cmd": "hello"})

    heard = await cut_off(slow, Close.ACCESS_REVOKED, "unauthenticated")
    assert [said.get("push") for said in heard] in ([], ["welcome"])


async def test_a_logout_before_plain_mode_answers_the_handshake(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is said first would stand where the client reads an HTTP status."""
    entering = asyncio.Event()

    async def never_in(*_: Any, **__: Any) -> None:
        entering.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("headgate.chat.plain.come_in", never_in)
    laptop = await in_thread(browser, ada)
    opening = asyncio.create_task(visit_plain(talk, laptop))
    await entering.wait()

    await in_thread(laptop.post, "/sign-out/")

    talker = await opening
    assert talker.accepted is not None
    assert (await talker.closed()).code == Close.ACCESS_REVOKED
    assert [said["error"] for said in talker.pushes] == ["unauthenticated"]


async def test_a_logout_while_the_server_is_closing_anyway(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
) -> None:
    laptop = await in_thread(browser, ada)
    talker = await visit(talk, laptop)
    (connection,) = chat.node.connections
    talker.reads.clear()
    for _ in range(MAX_BAD_COMMANDS):
        await talker.say("no command")
    async with asyncio.timeout(SEEN_SECONDS):
        while connection.task is not None:  # noqa: ASYNC110 - it goes without a word
            await asyncio.sleep(0.01)

    await in_thread(laptop.post, "/sign-out/")
    async with asyncio.timeout(SEEN_SECONDS):
        while connection.ending is None:  # noqa: ASYNC110 - it goes without a word
            await asyncio.sleep(0.01)
    talker.reads.set()

    assert (await talker.closed()).code == Close.BAD_COMMANDS


async def test_a_server_that_cancels_what_serves_is_obeyed(
    talk: Talkers,
    room: Room,
    ada: User,
) -> None:
    talker = await talk(ada)

    talker.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await talker.task
    talk.open.remove(talker)


def test_a_logout_without_a_session_says_nothing(ada: User) -> None:
    request = RequestFactory().get("/")

    user_logged_out.send(sender=User, request=request, user=ada)
    user_logged_out.send(sender=User, request=None, user=ada)
    anonymous = Client()
    anonymous.session.save()
    anonymous.post("/sign-out/")

    assert not AccessChange.objects.exists()


def test_a_session_is_revoked_by_its_logout(ada: User) -> None:
    laptop, phone = browser(ada), browser(ada)
    keys = [each.session.session_key or "" for each in (laptop, phone)]
    digests = [session_digest(key) for key in keys]

    laptop.post("/sign-out/")

    assert [is_revoked(digest) for digest in digests] == [True, False]
    assert not is_revoked("")
    kept = AccessChange.objects.get()
    assert keys[0] not in str(vars(kept))


# --- accounts ---------------------------------------------------------------------


def deactivate(user: User) -> None:
    user.is_active = False
    user.save()


def delete(user: User) -> None:
    user.delete()


def delete_many(user: User) -> None:
    User.objects.filter(pk=user.pk).delete()


def update(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)
    access_changed(user=user)


@pytest.mark.parametrize("end", [deactivate, delete, delete_many, update])
async def test_an_account_that_ends_takes_its_connections_with_it(
    talk: Talkers,
    room: Room,
    ada: User,
    grace: User,
    end: Callable[[User], None],
    process: str,
) -> None:
    gone, idle = await talk(ada), await talk(ada, room=None)
    plain = await talk.plain(ada)
    other, guest = await talk(grace), await talk()

    await in_thread(end, ada)

    for talker in (gone, idle):
        assert await cut_off(talker, Close.ACCESS_REVOKED, "forbidden") == []
    assert (await plain.hear())["error"] == "forbidden"
    assert (await plain.closed()).code == Close.ACCESS_REVOKED
    await still_there(other, guest)


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_new_password_has_everybody_show_who_they_are(
    talk: Talkers,
    room: Room,
    ada: User,
    keeps: bool,  # noqa: FBT001 - a case of the test
    process: str,
) -> None:
    """Whoever's session is still good comes back with its cookie."""
    laptop, phone = await in_thread(browser, ada), await in_thread(browser, ada)
    both = [await visit(talk, laptop), await visit(talk, phone)]

    def change_password() -> None:
        request = RequestFactory().post("/")
        request.session, request.user = laptop.session, ada
        ada.set_password("another one")
        ada.save()
        if keeps:
            update_session_auth_hash(request, ada)
            request.session.save()
            laptop.cookies["sessionid"] = str(request.session.session_key)

    began = time.monotonic()
    await in_thread(change_password)

    for talker in both:
        await cut_off(talker, Close.IDENTITY_CHANGED, "unauthenticated")
    # The answer with the new cookie is given time to arrive.
    assert time.monotonic() - began > standing.COOKIE_SECONDS * 0.9
    for client, comes in ((laptop, keeps), (phone, False)):
        back = await visit(talk, client)
        kind = "user" if comes else "guest"
        assert back.welcome["user"]["kind"] == kind


@pytest.mark.parametrize("fields", [None, ["is_active", "email"], ["password"]])
async def test_saving_an_account_as_it_was_changes_nothing(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
    fields: list[str] | None,
) -> None:
    talker = await talk(ada)

    await in_thread(ada.save, update_fields=fields)
    await in_thread(access_changed)

    assert await in_thread(AccessChange.objects.filter(what="user").count) == 1
    await changes_followed(chat)
    await still_there(talker)


def test_what_cannot_end_an_account_is_not_noted(ada: User) -> None:
    User.objects.create_user("new")
    ada.save(update_fields=["last_login", "email"])
    browser(ada)  # sets last_login

    assert not AccessChange.objects.exists()


def test_an_account_of_a_proxy_is_an_account(
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy of the user model sends signals of its own."""
    with isolate_apps("django.contrib.auth") as installed:

        class Colleague(User):
            class Meta:
                proxy = True
                app_label = "auth"

        monkeypatch.setattr(access, "apps", installed)
        access.follow_accounts()
    Colleague.objects.get(pk=ada.pk).save()
    Colleague.objects.get(pk=ada.pk).delete()

    noted = AccessChange.objects.values_list("what", "author_key")
    assert list(noted) == [("user", f"u:{ada.pk}")] * 2


async def test_what_nobody_noted_is_found_by_looking_now_and_then(
    room: Room,
    ada: User,
    grace: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standing, "SWEEP_SECONDS", 0.2)
    async with Talkers() as talk:
        gone, stays = await talk(ada), await talk(grace)
        quietly = User.objects.filter(pk=ada.pk).update

        await in_thread(quietly, is_active=False)

        await cut_off(gone, Close.ACCESS_REVOKED, "forbidden")
        await still_there(stays)


# --- the notices themselves -------------------------------------------------------


def test_old_notices_are_deleted_a_few_at_a_time(
    room: Room,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access, "PRUNE_EVERY", 1)
    monkeypatch.setattr(access, "PRUNE_AT_MOST", 2)
    for _ in range(5):
        AccessChange.objects.create(
            what="access", at=timezone.now() - timedelta(minutes=16)
        )
    young = AccessChange.objects.create(
        what="access", at=timezone.now() - timedelta(minutes=14)
    )

    left = []
    for _ in range(3):
        access_changed(room=room)
        left.append(AccessChange.objects.count())

    assert left == [5, 4, 4]
    assert AccessChange.objects.filter(pk=young.pk).exists()


def test_a_notice_that_was_long_on_its_way_is_written_again(
    room: Room,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began = time.monotonic()
    with transaction.atomic():
        access_changed(room=room)
        first = AccessChange.objects.get()
        monkeypatch.setattr(time, "monotonic", lambda: began + access.LATE_SECONDS + 1)

    assert AccessChange.objects.count() == 2
    second = AccessChange.objects.latest("pk")
    assert (second.what, second.room_id) == (first.what, first.room_id)
    assert second.at > first.at
