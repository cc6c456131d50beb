"""Looking at people of open connections again, in batches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from headgate.chat import recheck
from headgate.chat.access import access_changed
from headgate.chat.engine import Engine
from headgate.chat.models import AccessChange, Room
from headgate.chat.people import Actor, actor_for, new_guest
from headgate.chat.permissions import Allow, Deny, Permissions, Rights
from headgate.chat.recheck import Account, Answer, Question, look_again
from headgate.protocol.codes import Code
from tests.chat.access_ends import SEEN_SECONDS, changes_followed
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
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


# --- the answers ------------------------------------------------------------------


def answer(actor: Actor, room: Room | None = None) -> Answer:
    """Return the answer to one question."""
    (found,) = look_again([Question(actor, None if room is None else room.pk)])
    return found


def test_an_account_as_it_was_holds(ada: User, room: Room) -> None:
    actor = replace(actor_for(ada), session="abc")
    User.objects.filter(pk=ada.pk).update(email="ada@example.org")

    found = answer(actor, room)

    assert found.account is Account.HOLDS
    assert isinstance(found.rights, Rights)
    assert (found.actor.key, found.actor.session) == (actor.key, "abc")
    assert found.actor.user.email == "ada@example.org"
    assert ada.email == ""


def test_what_became_of_accounts(ada: User, room: Room) -> None:
    made = [User.objects.create_user(f"user {number}") for number in range(4)]
    actors = [replace(actor_for(user), session=f"{user.pk}") for user in made]
    AccessChange.objects.create(
        what="logout", session=actors[0].session, at=timezone.now()
    )
    User.objects.filter(pk=made[1].pk).update(is_active=False)
    User.objects.filter(pk=made[2].pk).update(password="x")
    User.objects.filter(pk=made[3].pk).delete()

    found = look_again([Question(actor, room.pk) for actor in actors])

    assert [each.account for each in found] == [
        Account.LOGGED_OUT,
        Account.GONE,
        Account.CHANGED,
        Account.GONE,
    ]
    assert [each.rights for each in found] == [None] * 4


class Stranger:
    """Somebody whom the project knows by a token alone, without a row."""

    is_authenticated = True
    pk = 7


def test_whoever_is_not_of_the_user_model_is_not_looked_up(room: Room) -> None:
    for actor in (actor_for(Stranger()), new_guest("Gus")):
        found = answer(actor, room)
        assert (found.account, found.actor) == (Account.HOLDS, actor)
        assert isinstance(found.rights, Rights)


@pytest.mark.parametrize(
    ("change", "account"),
    [({"password": "x"}, Account.CHANGED), ({"email": "a@b.example"}, Account.HOLDS)],
)
def test_a_user_model_without_a_hash_for_sessions(
    ada: User,
    change: dict[str, str],
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(User, "get_session_auth_hash", None)
    User.objects.filter(pk=ada.pk).update(**change)

    assert answer(actor_for(ada)).account is account


def test_a_user_model_that_fails_confirms_nobody(
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_user: User) -> str:
        raise ValueError("no hash")

    monkeypatch.setattr(User, "get_session_auth_hash", fail)

    assert answer(actor_for(ada)).account is Account.CHANGED
    assert f"account_failed key=u:{ada.pk}" in caplog.text


class Careless(Permissions):
    """Rules with a fault."""

    def can(self, actor: Actor, operation: str, *more: Any) -> Allow | Deny:
        """Fail for one of them."""
        if actor.name == "Grace":
            raise ZeroDivisionError
        return super().can(actor, operation, *more)


def test_rules_that_fail_for_one_keep_that_one_out(
    ada: User,
    grace: User,
    room: Room,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.HEADGATE = {"PERMISSIONS": f"{__name__}.{Careless.__name__}"}
    actors = [actor_for(grace), actor_for(ada)]

    failed, fine = look_again([Question(actor, room.pk) for actor in actors])

    assert failed.rights == Deny(Code.INTERNAL)
    assert isinstance(fine.rights, Rights)
    assert f"permissions_failed key=u:{grace.pk} room={room.pk}" in caplog.text


def test_a_room_that_is_gone_is_not_made_again(ada: User, settings: Settings) -> None:
    settings.HEADGATE = {"GUESTS": True, "MAKE_ROOMS": True}

    (found,) = look_again([Question(actor_for(ada), 77)])

    assert found.rights == Deny(Code.NOT_FOUND)
    assert not Room.objects.exists()


def test_accounts_are_asked_for_together(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    made = [User.objects.create_user(f"user {number}") for number in range(20)]
    actors = [replace(actor_for(user), session=f"{user.pk}") for user in made]

    with django_assert_num_queries(2):  # accounts, logouts
        look_again([Question(actor) for actor in actors])


def test_one_person_with_many_connections_is_decided_once(
    ada: User,
    room: Room,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    questions = [Question(actor_for(ada), room.pk) for _ in range(20)]

    # The account, the room, the member, and whether they moderate all rooms.
    with django_assert_num_queries(4):
        found = look_again(questions)

    assert all(isinstance(each.rights, Rights) for each in found)


# --- the batches ------------------------------------------------------------------


class OnlyEven(Permissions):
    """Half of the people are kept out, once it is so."""

    holds = False

    def can(self, actor: Actor, operation: str, *more: Any) -> Allow | Deny:
        """Keep out those with an odd number."""
        if self.holds and int(actor.name) % 2:
            return Deny()
        return super().can(actor, operation, *more)


@pytest.fixture
def only_even(
    settings: Settings, guests: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules are in force, and let all in for now."""
    monkeypatch.setattr(OnlyEven, "holds", False)
    rules = f"{__name__}.{OnlyEven.__name__}"
    settings.HEADGATE = {"GUESTS": True, "PERMISSIONS": rules}


class Watched:
    """`look_again`, and how it is called."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.at_once = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, questions: Sequence[Question]) -> list[Answer]:
        with self._lock:
            self.sizes.append(len(questions))
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        try:
            return look_again(questions)
        finally:
            with self._lock:
                self.at_once -= 1


CROWD = 500


@pytest.mark.usefixtures("only_even")
async def test_a_crowd_is_decided_in_batches_one_after_the_other(
    talk: Talkers,
    chat: Engine,
    room: Room,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched()
    monkeypatch.setattr(recheck, "look_again", watched)
    crowd = [await talk(name=f"{number}") for number in range(CROWD)]

    OnlyEven.holds = True
    await in_thread(access_changed, room=room)

    async with asyncio.timeout(SEEN_SECONDS):
        for talker in crowd[1::2]:
            assert (await talker.push("rooms"))["left"] == ["general"]
    await changes_followed(chat)
    assert watched.sizes == [recheck.PLACES] * (CROWD // recheck.PLACES)
    assert watched.most == 1
    assert [await talker.all() for talker in crowd[::2]] == [[]] * (CROWD // 2)


@pytest.mark.usefixtures("only_even")
async def test_a_database_that_is_away_is_asked_again(
    talk: Talkers,
    room: Room,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talker = await talk(name="1")
    failures = iter((1, 2, 3, 4))  # each look is tried twice by the reader

    def away(questions: Sequence[Question]) -> list[Answer]:
        if next(failures, None) is not None:
            raise OperationalError("the database is away")
        return look_again(questions)

    monkeypatch.setattr(recheck, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(recheck, "look_again", away)

    OnlyEven.holds = True
    await in_thread(access_changed, room=room)

    assert (await talker.push("rooms"))["left"] == ["general"]
    assert next(failures, None) is None


@pytest.mark.usefixtures("only_even")
async def test_who_leaves_while_it_is_decided_is_not_cut(
    talk: Talkers,
    chat: Engine,
    room: Room,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talker = await talk(name="1")
    asked, may_answer = threading.Event(), threading.Event()

    def slowly(questions: Sequence[Question]) -> list[Answer]:
        asked.set()
        may_answer.wait(10)
        return look_again(questions)

    monkeypatch.setattr(recheck, "look_again", slowly)
    OnlyEven.holds = True
    await in_thread(access_changed, room=room)
    await in_thread(asked.wait, 10)

    await talker.ask("leave", room="general")
    may_answer.set()
    await changes_followed(chat)

    assert await talker.all() == []


async def test_a_batch_that_fails_does_not_end_the_others(
    room: Room,
    monkeypatch: pytest.MonkeyPatch,
    ada: User,
) -> None:
    def fail(_questions: Sequence[Question]) -> list[Answer]:
        raise ZeroDivisionError

    async with Talkers() as talk:
        talker = await talk(ada)
        with monkeypatch.context() as patch:
            patch.setattr(recheck, "look_again", fail)
            await in_thread(access_changed, ada)
            async with asyncio.timeout(SEEN_SECONDS):
                while len(talk.faults) < 2:  # noqa: ASYNC110 - the account, the room
                    await asyncio.sleep(0.01)
        assert all("recheck_failed" in fault for fault in talk.faults)
        talk.faults.clear()

        await in_thread(User.objects.filter(pk=ada.pk).update, is_active=False)
        await in_thread(access_changed, ada)

        async with asyncio.timeout(SEEN_SECONDS):
            assert (await talker.closed()).code == 4503
