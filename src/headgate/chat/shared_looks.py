"""Looks into rooms for those who come in, several in one trip to a reader's thread.

A trip costs more than what is looked up on it, and those who come in at the same time
mostly come into the same rooms. So whoever asks in one turn of the loop, or while
trips are under way, goes along with the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import InterfaceError, OperationalError

from headgate.chat.lookups import Lookups
from headgate.chat.people import Actor
from headgate.chat.per_loop import PerLoop
from headgate.chat.reader import Reader

__all__ = ["Look", "Question", "shared_look"]

MOST_TOGETHER = 16  # on one trip: nobody waits for much more than their own look
MOST_TRIPS = 2  # at once; the reader's other threads are for those who are in


@dataclass(frozen=True, slots=True)
class Question:
    """Who comes into which room.

    `pending` are client_ids of which they do not know whether they landed; with `make`
    False an unknown room is not made.
    """

    actor: Actor
    slug: str
    pending: Sequence[str]
    make: bool


Look = Callable[[Question, Lookups], Any]


def shared_look(reader: Reader, look: Look, question: Question) -> asyncio.Future[Any]:
    """Have `look` answer a question on a reader's thread, with others' questions.

    What it raises, for whomever, is raised for them alone; `LogUnavailable` for all of
    a trip.
    """
    trips = _trips.get(reader, lambda: _Trips(reader))
    return trips.ask(look, question)


@dataclass(frozen=True, slots=True)
class _Asked:
    look: Look
    question: Question
    answer: asyncio.Future[Any]


class _Trips:
    """The trips to one reader, on the running loop."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._asked: list[_Asked] = []
        self._begins = False  # whether trips begin with the next turn of the loop
        self._under_way: set[asyncio.Task[None]] = set()

    def ask(self, look: Look, question: Question) -> asyncio.Future[Any]:
        answer = self._loop.create_future()
        self._asked.append(_Asked(look, question, answer))
        self._begin_soon()
        return answer

    def _begin_soon(self) -> None:
        if self._asked and not self._begins:
            self._begins = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._begins = False
        while self._asked and len(self._under_way) < MOST_TRIPS:
            asked = self._asked[:MOST_TOGETHER]
            del self._asked[:MOST_TOGETHER]
            task = self._loop.create_task(self._go(asked))
            self._under_way.add(task)
            task.add_done_callback(self._back)

    def _back(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._begin_soon()

    async def _go(self, asked: Sequence[_Asked]) -> None:
        there = [each for each in asked if not each.answer.done()]
        try:
            answers = await self._reader.run(_answers, there)
        except BaseException as exc:
            for each in there:
                if not each.answer.done():
                    _fail(each.answer, exc)
            if not isinstance(exc, Exception):
                raise
            return
        for each, (answer, failure) in zip(there, answers, strict=True):
            if each.answer.done():
                continue  # whoever asked has gone
            if failure is not None:
                _fail(each.answer, failure)
            else:
                each.answer.set_result(answer)


def _fail(answer: asyncio.Future[Any], exc: BaseException) -> None:
    if isinstance(exc, asyncio.CancelledError):
        answer.cancel()
    else:
        answer.set_exception(exc)


_trips: PerLoop[_Trips] = PerLoop()


def _answers(asked: Sequence[_Asked]) -> list[tuple[Any, Exception | None]]:
    """Return each one's answer, or what was raised instead; off the loop."""
    expected: dict[str, set[str]] = {}
    for each in asked:
        question = each.question
        expected.setdefault(question.slug, set()).add(question.actor.key)
    lookups = Lookups(expected)
    found: list[tuple[Any, Exception | None]] = []
    for each in asked:
        try:
            found.append((each.look(each.question, lookups), None))
        except (OperationalError, InterfaceError):
            raise  # the database is away, for all of them
        except Exception as exc:  # noqa: BLE001 - it is raised for whoever asked
            found.append((None, exc))
    return found
