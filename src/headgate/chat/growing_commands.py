"""`append` and `cancel` of `headgate.v1`, for one connection.

Most of what is appended needs no waiting: the message grows here, in a room that is
joined. The rest is looked up first.
"""

from __future__ import annotations

from headgate.chat.answers import failure, saved
from headgate.chat.entries import Known, Refused, Verdict, Written
from headgate.chat.growing_ends import cancel, end, may_cancel
from headgate.chat.growing_rows import growing_from, same_end
from headgate.chat.own_texts import OwnText
from headgate.chat.permissions import Deny, Rights
from headgate.chat.visitor import Visitor, denied
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.commands import Append, Cancel, Command, Send
from headgate.protocol.fields import State
from headgate.protocol.pushes import Done, Error, Failure, Saved

__all__ = ["GrowingCommands"]


class GrowingCommands:
    """What somebody does to growing messages."""

    __slots__ = ("_visitor",)

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor

    def opened(
        self, command: Send, room_id: int, verdict: Verdict
    ) -> Saved | Failure | None:
        """Answer a message that is to grow from now on.

        Where there is no room for it here, what is appended looks for it again.
        """
        visitor = self._visitor
        if isinstance(verdict, Written):
            growing = growing_from(room_id, visitor.actor, verdict.push)
            if growing is not None:
                visitor.engine.own_texts.begin(
                    command.room, growing, connection=visitor.connection
                )
        return saved(command, verdict)

    def needs_no_waiting(self, command: Append) -> bool:
        """Return whether it can be answered at once."""
        visitor = self._visitor
        here = visitor.engine.own_texts.of(command.room, command.seq) is not None
        return here and not command.state and visitor.watch(command.room) is not None

    def append_now(self, command: Append) -> None:
        """Add to a message that grows here, in a room that is joined."""
        watch = self._visitor.watch(command.room)
        own = self._visitor.engine.own_texts.of(command.room, command.seq)
        if watch is None or own is None:
            self._answer(command, error(Code.NOT_GROWING))
        else:
            self._answer(command, self._add(command, watch.rights, own))

    async def append(self, command: Append) -> None:
        """Add to a message, and end it with a `state`; raises `LogUnavailable`."""
        rights = await self._visitor.enter(command.room)
        if isinstance(rights, Deny):
            self._answer(command, denied(rights))
            return
        own = await self._own(command, rights)
        failed = own if isinstance(own, Error) else self._add(command, rights, own)
        if command.state is None:
            self._answer(command, failed)
            return
        verdict: Verdict
        if isinstance(own, OwnText) and failed is None:
            verdict = await end(own, command.state)
        else:
            verdict = Refused(failed or error(Code.NOT_GROWING))
        if isinstance(verdict, Refused) and verdict.error.code == Code.NOT_GROWING:
            # The answer to it may have been lost, or `unavailable`.
            verdict = await self._same_end(command, rights, command.state) or verdict
        self._say(saved(command, verdict))

    async def cancel(self, command: Cancel) -> None:
        """End somebody's message; raises `LogUnavailable`."""
        visitor = self._visitor
        found = await visitor.engine.reader.run(
            may_cancel, visitor.actor, command.room, command.seq
        )
        if isinstance(found, Deny):
            self._answer(command, denied(found))
        else:
            self._say(saved(command, await cancel(command.room, found)))

    async def _own(self, command: Append, rights: Rights) -> OwnText | Error:
        """Return a message that grows here, from now on where it began elsewhere."""
        visitor, texts = self._visitor, self._visitor.engine.own_texts
        own = texts.of(command.room, command.seq)
        if own is not None:
            return own
        return await texts.adopt(
            command.room,
            rights.room_id,
            command.seq,
            visitor.actor,
            visitor.connection,
        )

    async def _same_end(
        self, command: Append, rights: Rights, state: State
    ) -> Known | None:
        """Return the end that a message has, where this asks for the same one."""
        visitor = self._visitor
        return await visitor.engine.reader.run(
            same_end,
            rights.room_id,
            command.seq,
            visitor.actor,
            state,
            command.at,
            command.text,
        )

    def _add(self, command: Append, rights: Rights, own: OwnText) -> Error | None:
        denial = rights.denial("send")
        if denial is None and own.author.key != self._visitor.actor.key:
            denial = Deny(Code.FORBIDDEN)
        if denial is not None:
            return denied(denial)
        if own.connection is not None or own.leaving:  # else a block writes it
            own.connection, own.leaving = self._visitor.connection, False
        return self._visitor.engine.own_texts.add(own, command.at, command.text)

    def _answer(self, command: Command, failed: Error | None) -> None:
        if failed is not None:
            self._say(failure(command, failed))
        elif command.id is not None:
            self._say(Done(reply=command.id))

    def _say(self, reply: Saved | Done | Failure | None) -> None:
        if reply is not None:
            self._visitor.say(reply)
