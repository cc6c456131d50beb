"""Destinations, deliveries that are owed to them, and a sender with a script."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection, transaction

from headgate.chat.append import append
from headgate.chat.entries import Draft
from headgate.chat.models import Room
from headgate.chat.people import new_guest
from headgate.outbound.calls import Call, Outcome
from headgate.outbound.ledger import Finished, Turn, turn
from headgate.outbound.models import Delivery, Destination
from headgate.outbound.telling import Leased
from headgate.protocol.pushes import Message

__all__ = ["GUS", "Ledger", "ScriptedSender", "done", "failed", "make", "say", "texts"]

GUS = new_guest("Gus")


def make(name: str = "crm", **fields: Any) -> Destination:
    """A destination that wants all messages, but for what is said."""
    given = {"events": ["message"], "rooms": ["*"], "kind": "handler", "handler": "f"}
    made = Destination(name=name, **(given | fields))
    Destination.objects.bulk_create([made])  # past the rules, which some tests break
    return made


def say(room: Room, *texts: str, **more: Any) -> None:
    """Have somebody say something, which is owed to whoever wants it."""
    with transaction.atomic():
        append(connection, [Draft(room.pk, GUS, text, **more) for text in texts])


def texts(calls: Sequence[Leased | Call]) -> list[list[str]]:
    """What calls tell: the texts of messages."""
    return [
        [told.push.text for told in call.told if isinstance(told.push, Message)]
        for call in (x.call if isinstance(x, Leased) else x for x in calls)
    ]


def done(**more: Any) -> Outcome:
    return Outcome(result="delivered", **more)


def failed(**more: Any) -> Outcome:
    return Outcome(result="failed", **more)


class Ledger:
    """Turns by a clock that stands still, far from now so that all that is owed is due.

    What was leased and has no outcome yet is in `out`.
    """

    def __init__(self) -> None:
        self.now = time.time() + 10
        self.keys_after: dict[int, str] = {}

    def turn(self, *finished: Finished, **limits: int) -> Turn:
        """Note what has ended; lease so many of each by name, by default 100 of all."""
        rows = Destination.objects.order_by("pk").values_list("name", "pk")
        most = {pk: limits.get(name, 0 if limits else 100) for name, pk in rows}
        return turn(connection, finished, most, self.keys_after, now=self.now)

    def note(self, *finished: Finished) -> None:
        turn(connection, finished, {}, now=self.now)

    def make_calls(self, outcome: Outcome | Callable[[Call], Outcome]) -> list[Call]:
        """Lease what may go, and have that come of each."""
        leased = self.turn().leased
        self.note(
            *(
                Finished(x, outcome(x.call) if callable(outcome) else outcome)
                for x in leased
            )
        )
        return [x.call for x in leased]

    @staticmethod
    def states() -> list[str]:
        rows = Delivery.objects.order_by("destination", "seq")
        return [row.state for row in rows]


class ScriptedSender:
    """A sender in this process: what it is asked, it does as `script` says.

    `sent` has each call with its time; `most` is how many were on their way at once,
    by destination.
    """

    def __init__(
        self, script: Callable[[Call], Outcome] | Outcome, seconds: float = 0.0
    ) -> None:
        self._script = script
        self._seconds = seconds
        self.sent: list[tuple[float, Call]] = []
        self.most: dict[str, int] = {}
        self._now: dict[str, int] = {}

    async def send(self, call: Call) -> Outcome:
        name = call.target.name
        self.sent.append((time.time(), call))
        self._now[name] = self._now.get(name, 0) + 1
        self.most[name] = max(self.most.get(name, 0), self._now[name])
        try:
            await asyncio.sleep(self._seconds)
            return self._script(call) if callable(self._script) else self._script
        finally:
            self._now[name] -= 1

    def has_sent(self, count: int) -> bool:
        """Return whether so many calls were begun."""
        return len(self.sent) >= count

    async def close(self) -> None:
        """There is nothing to let go of."""
