"""Looking at people of open connections again, in batches."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, ProgrammingError
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from headgate.chat import recheck
from headgate.chat.access import access_changed
from headgate.chat.engine import Engine
from headgate.chat.models import AccessChange, Room
from headgate.chat.people import Actor, actor_for, new_guest
from headgate.chat.permissions import Allow, Deny, Permissions, Rights
from headgate.chat.recheck import Account, Answer, Question, look_again
from headgate.live.connection import Connection, Watch
from headgate.protocol.codes import Close, Code
from tests.chat.access_ends import (
    SEEN_SECONDS,
    changes_followed,
    cut_off,
    still_there,
)
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


class FailsFor:
    """`look_again`, which fails for somebody as often as it is told to."""

    def __init__(self, name: str, times: float) -> None:
        self._name = name
        self._left = times

    def __call__(self, questions: Sequence[Question]) -> list[Answer]:
        if self._left and any(each.actor.name == self._name for each in questions):
            self._left -= 1
            raise ProgrammingError("column auth_user.nickname does not exist")
        return look_again(questions)


@pytest.mark.usefixtures("only_even")
async def test_one_who_cannot_be_confirmed_is_closed_and_the_others_decided(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recheck, "RETRY_SECONDS", 0.05)
    async with Talkers() as talk:
        crowd = [await talk(name=f"{number}") for number in range(6)]
        monkeypatch.setattr(recheck, "look_again", FailsFor("2", math.inf))
        OnlyEven.holds = True
        await in_thread(access_changed, room=room)

        await cut_off(crowd[2], Close.IDENTITY_CHANGED, Code.UNAUTHENTICATED)
        for talker in crowd[1::2]:
            assert (await talker.push("rooms"))["left"] == ["general"]
        await still_there(crowd[0], crowd[4])
        assert len(talk.faults) == 2
        assert all("recheck_failed key=" in fault for fault in talk.faults)
        talk.faults.clear()


@pytest.mark.usefixtures("only_even")
async def test_a_look_that_failed_for_a_moment_is_made_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recheck, "RETRY_SECONDS", 0.05)
    async with Talkers() as talk:
        out, fine = await talk(name="1"), await talk(name="2")
        # Of both, then of each; and the second look at who has failed.
        monkeypatch.setattr(recheck, "look_again", FailsFor("1", 2))
        OnlyEven.holds = True
        await in_thread(access_changed, room=room)

        assert (await out.push("rooms"))["left"] == ["general"]
        await still_there(fine, out)
        assert len(talk.faults) == 1
        talk.faults.clear()


async def test_an_answer_that_cannot_be_followed_leaves_the_others_theirs(
    chat: Engine,
    room: Room,
    ada: User,
    grace: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    follow = chat.standing._recheck._found

    def found(connection: Connection, watch: Watch | None, told: Answer) -> None:
        if connection.owner.key == f"u:{ada.pk}":
            raise ZeroDivisionError
        follow(connection, watch, told)

    async with Talkers() as talk:
        await talk(ada)
        other = await talk(grace)
        monkeypatch.setattr(chat.standing._recheck, "_found", found)
        await in_thread(User.objects.filter(pk=grace.pk).update, is_active=False)
        await in_thread(access_changed)

        await cut_off(other, Close.ACCESS_REVOKED, Code.FORBIDDEN)
        await changes_followed(chat)
        assert talk.faults
        assert all("recheck_not_told" in fault for fault in talk.faults)
        talk.faults.clear()
