"""Looking at people of open connections again: their accounts, and their rights.

One batch after the other, so that a room of thousands costs the database no more
than one reader at a time, and a later answer is never overtaken by an earlier one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.db import InterfaceError, OperationalError

from headgate.chat.models import AccessChange, Room
from headgate.chat.people import Actor, as_now
from headgate.chat.permissions import Deny, Rights, rights_in
from headgate.chat.profiles import profiles_of
from headgate.chat.reader import Reader
from headgate.chat.token_people import is_still_good
from headgate.live.connection import Connection, Watch
from headgate.live.ports import LogUnavailable
from headgate.protocol.codes import Code

__all__ = ["Account", "Answer", "Question", "Recheck", "look_again"]

logger = logging.getLogger("headgate.recheck")

T = TypeVar("T")

PEOPLE = 500  # accounts looked at in one batch: one query
PLACES = 50  # rights decided in one batch: a query or two for each
RETRY_SECONDS = 1.0  # between looks while the database is away, or after one failed


class Account(Enum):
    """What became of an account since its connection was opened."""

    HOLDS = "holds"
    LOGGED_OUT = "logged out"
    GONE = "gone"
    CHANGED = "changed"  # another password: it has to be shown again who it is


@dataclass(frozen=True, slots=True)
class Question:
    """Somebody as they came in, and the room whose rights are in question, if any."""

    actor: Actor
    room_id: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How somebody stands; `actor` has the user as they are now."""

    account: Account
    actor: Actor
    rights: Rights | Deny | None = None


_Asked = tuple[Connection, Watch | None]
Found = Callable[[Connection, Watch | None, Answer], None]


class Recheck:
    """Asks for connections and watches, and hands on what it finds.

    Args:
        reader: Where the database is read.
        found: Called on the loop with each connection or watch and its answer.
    """

    def __init__(self, reader: Reader, found: Found) -> None:
        self._reader = reader
        self._found = found
        # To be asked for, in this order: by an event of the log, by a notice.
        self._sooner: dict[Watch, None] = {}
        self._people: dict[Connection, None] = {}
        self._places: dict[Watch, None] = {}
        self._wake = asyncio.Event()
        self.idle = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def person(self, connection: Connection) -> None:
        """Look at the account of a connection's owner again."""
        self._people[connection] = None
        self._begin()

    def place(self, watch: Watch, *, soon: bool = False) -> None:
        """Decide again what a watch's owner may do there, `soon` before all others."""
        (self._sooner if soon else self._places)[watch] = None
        self._begin()

    def _begin(self) -> None:
        self.idle.clear()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self.idle.set()
            await self._wake.wait()
            self._wake.clear()
            self.idle.clear()
            while batch := self._batch():
                try:
                    await self._ask(batch)
                except Exception:  # a fault of ours: the others are asked for
                    logger.exception("recheck_failed questions=%d", len(batch))

    def _batch(self) -> list[_Asked]:
        """Take the next batch of those who are still there."""
        if self._people and not self._sooner:
            people = _take(self._people, PEOPLE)
            return [(person, None) for person in people]
        watches = _take(self._sooner or self._places, PLACES)
        return [(watch.connection, watch) for watch in watches]

    async def _ask(self, batch: Sequence[_Asked]) -> None:
        unsure = await self._decide(batch)
        if not unsure:
            return
        # It may be over soon, such as a table that is being changed just now.
        await asyncio.sleep(RETRY_SECONDS)
        for connection, watch in await self._decide(unsure):
            # Who comes back is asked again who they are, and nothing is kept.
            self._tell(connection, watch, Answer(Account.CHANGED, connection.owner))

    async def _decide(self, batch: Sequence[_Asked]) -> list[_Asked]:
        """Hand on what is found of a batch, and return those whose looks failed.

        They are found by halving, so that one person's fault keeps nobody else in.
        """
        questions = [
            Question(connection.owner, None if watch is None else watch.room_id)
            for connection, watch in batch
        ]
        try:
            answers = await self._answers(questions)
        except Exception:
            if len(batch) > 1:
                half = len(batch) // 2
                first = await self._decide(batch[:half])
                return first + await self._decide(batch[half:])
            logger.exception("recheck_failed key=%s", questions[0].actor.key)
            return list(batch)
        for (connection, watch), answer in zip(batch, answers, strict=True):
            self._tell(connection, watch, answer)
        return []

    async def _answers(self, questions: Sequence[Question]) -> list[Answer]:
        """Ask, for as long as the database is away; raises what the look does."""
        while True:
            try:
                return await self._reader.run(look_again, questions)
            except LogUnavailable:
                await asyncio.sleep(RETRY_SECONDS)

    def _tell(self, connection: Connection, watch: Watch | None, told: Answer) -> None:
        if connection.closed:
            return
        try:
            self._found(connection, watch, told)
        except Exception:  # one connection's fault is not the others'
            logger.exception("recheck_not_told key=%s", connection.owner.key)

    async def close(self) -> None:
        """Stop asking."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _take(waiting: dict[T, None], count: int) -> list[T]:
    taken = list(islice(waiting, count))
    for each in taken:
        del waiting[each]
    return taken


def look_again(questions: Sequence[Question]) -> list[Answer]:
    """Return an answer to each question; off the loop, it asks the database.

    Where the project's own code fails, nobody keeps what could not be confirmed: what
    is not decided here is raised, and `Recheck` sees to it.
    """
    users = _users(question.actor.user for question in questions)
    profiles_of(question.actor.key for question in questions)  # in one batch
    sessions = {question.actor.session for question in questions} - {""}
    ended = AccessChange.objects.filter(session__in=sessions)
    logged_out = set(ended.values_list("session", flat=True)) if sessions else set()
    wanted = {question.room_id for question in questions} - {None}
    rooms = Room.objects.in_bulk(wanted) if wanted else {}
    # By person and room: somebody may have several connections there.
    decided: dict[tuple[str, int], Rights | Deny] = {}
    answers = []
    for actor, room_id in ((each.actor, each.room_id) for each in questions):
        fresh = actor
        if actor.session in logged_out:
            account = Account.LOGGED_OUT
        else:
            account, fresh = _account(actor, users)
        rights: Rights | Deny | None = None
        if account is Account.HOLDS and room_id is not None:
            place = actor.key, room_id
            if place not in decided:
                decided[place] = _rights(fresh, rooms.get(room_id))
            rights = decided[place]
        answers.append(Answer(account, fresh, rights))
    return answers


def _users(known: Iterable[Any]) -> dict[Any, Any]:
    """Return users as they are now, by their keys, of the classes that they had.

    Whoever the project knows by something else than rows of its user model is not
    looked up.
    """
    keys: dict[Any, set[Any]] = {}
    for user in known:
        if _is_account(user):
            keys.setdefault(user.__class__, set()).add(user.pk)
    found: dict[Any, Any] = {}
    for model, wanted in keys.items():
        found |= model._default_manager.in_bulk(wanted)  # noqa: SLF001 - documented
    return found


def _is_account(user: Any) -> bool:
    return isinstance(user, get_user_model())


def _account(actor: Actor, users: dict[Any, Any]) -> tuple[Account, Actor]:
    """Return what became of an account, and the actor with the user of now."""
    if not _is_account(actor.user):
        return Account.HOLDS if is_still_good(actor) else Account.GONE, actor
    user = users.get(actor.user.pk)
    if user is None or not getattr(user, "is_active", True):
        return Account.GONE, actor
    try:
        same = _secret(user) == _secret(actor.user)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("account_failed key=%s", actor.key)
        same = False
    if not same:
        return Account.CHANGED, actor
    return Account.HOLDS, as_now(actor, user)


def _secret(user: Any) -> Any:
    """Return what changes with a password, as sessions have it."""
    session_auth_hash = getattr(user, "get_session_auth_hash", None)
    if session_auth_hash is not None:
        return session_auth_hash()
    return getattr(user, "password", None)


def _rights(actor: Actor, room: Room | None) -> Rights | Deny:
    if room is None:
        return Deny(Code.NOT_FOUND)
    try:
        rights = rights_in(actor, room)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("permissions_failed key=%s room=%d", actor.key, room.pk)
        return Deny(Code.INTERNAL)
    return rights.denial("watch") or rights
