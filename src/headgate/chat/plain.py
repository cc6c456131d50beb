"""Plain mode: one room, one kind of command, for ten lines of any language.

Replies come in the order of the commands, and one's own reply comes before one's
own broadcast.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from headgate.chat.before_send import has_before_send
from headgate.chat.entrance import Entrance, come_in
from headgate.chat.entries import Draft, Known, Refused, Verdict, Written
from headgate.chat.gate import MUST_WAIT, refusal_error
from headgate.chat.handshake import Wishes
from headgate.chat.permissions import Deny, Rights
from headgate.chat.push_pace import wished_pace
from headgate.chat.visitor import Visitor, denied, seq_of
from headgate.limits.decision import Decision
from headgate.limits.policy import Charge
from headgate.protocol.codec import BadCommand, decode_plain, plain_failure
from headgate.protocol.codes import Code
from headgate.protocol.commands import PlainSend, Position
from headgate.protocol.pushes import Error, PlainSaved

__all__ = ["PlainConversation"]

Answer = Callable[[Verdict], None]


class PlainConversation:
    """A client in plain mode, in the room of its URL."""

    def __init__(self, visitor: Visitor, room: str) -> None:
        self._visitor = visitor
        self._room = room
        self._entrance: Entrance | None = None
        # Commands whose replies are due, oldest first: a list of one reply or none.
        self._due: deque[list[Any]] = deque()

    async def enter(self, wishes: Wishes) -> Deny | None:
        """Enter the room and watch it, from a place on or from now.

        Nothing is said before `go`. Raises `LogUnavailable`.
        """
        place = None if wishes.after is None else Position(wishes.after)
        pace = wished_pace(wishes.pace)
        found = await come_in(self._visitor, self._room, place, pace=pace)
        if isinstance(found, Deny):
            return found
        self._entrance = found
        return None

    def go(self) -> None:
        """Let the room's messages flow, once the handshake is answered."""
        visitor, entrance = self._visitor, self._entrance
        if entrance is None:
            raise RuntimeError("nobody has entered")
        if entrance.reset is not None:
            visitor.tell(entrance.reset)
        visitor.engine.node.go(visitor.connection, entrance.watch.room_id)

    async def hear(self, payload: str) -> None:
        """Take one text frame; raises `BadCommand`."""
        command = decode_plain(payload)
        gate = self._visitor.gate
        refusal = await gate.decide_soon(self._charges())
        if refusal is not None:
            self._refused(command, refusal)
            return
        entry = self._entry(command)
        if entry is not None:
            draft, answer = entry
            await self._visitor.write(draft, self._room, answer)

    def hear_now(self, payload: str) -> bool:
        """Take one text frame if it is a command that needs no waiting."""
        if has_before_send():
            return False
        try:
            command = decode_plain(payload)
        except BadCommand:
            return False  # `hear` says what is wrong
        refusal = self._visitor.gate.decide_now(self._charges())
        if refusal is MUST_WAIT:
            return False
        if refusal is not None:
            self._refused(command, refusal)
            return True
        entry = self._entry(command)
        if entry is not None:
            self._visitor.submit(*entry)
        return True

    def explain(self, bad: BadCommand) -> None:
        """Answer a frame that was no command, in its turn."""
        self._reply(self._turn(), plain_failure(bad.error))

    def fail(self, failure: Error) -> None:
        """Say an error that answers no command."""
        self._visitor.say(plain_failure(failure))

    def _charges(self) -> list[Charge]:
        """Return what a message is charged to; one that is not allowed is a command."""
        watch = self._visitor.watch(self._room)
        rights = None if watch is None else watch.rights
        if not isinstance(rights, Rights) or rights.denial("send") is not None:
            return self._visitor.gate.charges("command")
        return self._visitor.gate.charges("send", rights)

    def _refused(self, command: PlainSend, refusal: Decision) -> None:
        """Answer a message that came too fast."""
        failure = plain_failure(refusal_error(refusal, command.client_id))
        self._reply(self._turn(), failure)
        self._visitor.refused(refusal)

    def _entry(self, command: PlainSend) -> tuple[Draft, Answer] | None:
        """Return a message to be written and how to answer, or refuse it."""
        turn = self._turn()
        watch = self._visitor.watch(self._room)
        if watch is None or not isinstance(watch.rights, Rights):
            gone = denied(Deny(Code.NOT_FOUND), command.client_id)
            self._reply(turn, plain_failure(gone))
            return None
        denial = watch.rights.denial("send")
        if denial is not None:
            refused = denied(denial, command.client_id)
            self._reply(turn, plain_failure(refused))
            return None

        def answer(verdict: Verdict) -> None:
            self._reply(turn, _told(verdict, command))

        draft = Draft(
            watch.room_id,
            self._visitor.actor,
            command.message,
            command.client_id,
        )
        return draft, answer

    def _turn(self) -> list[Any]:
        turn: list[Any] = []
        self._due.append(turn)
        return turn

    def _reply(self, turn: list[Any], reply: Any) -> None:
        """Fill a turn, and say all replies that now have theirs."""
        turn.append(reply)
        while self._due and self._due[0]:
            self._visitor.say(self._due.popleft()[0])


def _told(verdict: Verdict, command: PlainSend) -> Any:
    if isinstance(verdict, Written | Known):
        return PlainSaved(
            message="Message received and saved.",
            seq=seq_of(verdict),
            client_id=command.client_id,
        )
    if isinstance(verdict, Refused):
        verdict.error.client_id = command.client_id
    return plain_failure(verdict.error)
