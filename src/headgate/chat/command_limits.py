"""What commands of `headgate.v1` are charged to, and whether they come too fast.

In a room that is joined its limits are known at once. Elsewhere only a look into the
room tells them, and that look is charged as a command.
"""

from __future__ import annotations

from headgate.chat.gate import Later
from headgate.chat.permissions import Rights
from headgate.chat.rooms import may_be_made
from headgate.chat.visitor import Visitor
from headgate.limits.decision import Decision
from headgate.protocol.commands import (
    Append,
    Command,
    Edit,
    History,
    Leave,
    Ping,
    Send,
)

__all__ = ["CommandLimits"]

# What is never refused.
_FREE = (Ping, Leave)
# What commands are charged as, beside being commands; see `Gate.charges`. Typing is
# charged where it is done, since it is left out and not refused.
_OPERATIONS: dict[type[Command], str] = {
    Send: "send",
    Append: "append",
    Edit: "edit",
    History: "history",
}
# The right in a room that each needs.
_NEEDS = {"send": "send", "edit": "send", "history": "history"}


class CommandLimits:
    """Counts the commands of one connection."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor

    def refusal_now(self, command: Command) -> Decision | Later | None:
        """Count a command that needs no look into a room.

        Returns why it may not be done now, None where it may, or `MUST_WAIT`: then
        nothing is counted yet.
        """
        if isinstance(command, _FREE):
            return None
        gate = self._visitor.gate
        return gate.decide_now(gate.charges(*self._charged(command)))

    def send_refusal_now(self, rights: Rights) -> Decision | Later | None:
        """Count a message to a room that is joined, as `refusal_now` does."""
        gate = self._visitor.gate
        may = rights.denial("send") is None
        charges = gate.charges("send", rights) if may else gate.charges("command")
        return gate.decide_now(charges)

    async def refusal(self, command: Command) -> Decision | None:
        """Count a command; return why it may not be done now, or None.

        Raises `LogUnavailable`.
        """
        if isinstance(command, _FREE):
            return None
        gate = self._visitor.gate
        refusal = await gate.decide_soon(gate.charges(*self._charged(command)))
        if refusal is not None:
            return refusal
        operation = _OPERATIONS.get(type(command), "command")
        room = str(getattr(command, "room", ""))
        if operation in {"command", "append"} or self._visitor.watch(room) is not None:
            return None
        found = await self._visitor.enter(room, make=False)
        if isinstance(found, Rights):
            if found.denial(_NEEDS[operation]) is not None:
                return None
            charges = gate.charges(operation, found, command=False)
        elif operation == "send" and may_be_made(found):
            charges = gate.charges(operation, command=False)
        else:
            return None  # it is denied, and was charged as a command
        refusal = await gate.decide_soon(charges)
        if refusal is not None:
            await gate.refund(gate.charges("command"))  # refused counts nowhere
        return refusal

    def _charged(self, command: Command) -> tuple[str, Rights | None]:
        """Return what a command is charged as, and the rights that it is done by.

        What may not be done is a command, and no more. So is what is added to a message
        that does not grow here, or not yet: it is looked for in the database.
        """
        operation = _OPERATIONS.get(type(command), "command")
        if isinstance(command, Append):
            texts = self._visitor.engine.own_texts
            is_here = texts.of(command.room, command.seq) is not None
            return operation if is_here else "command", None
        if operation in {"command", "append"}:
            return operation, None
        watch = self._visitor.watch(getattr(command, "room", ""))
        rights = None if watch is None else watch.rights
        if not isinstance(rights, Rights):
            return "command", None
        if rights.denial(_NEEDS[operation]) is not None:
            return "command", None
        return operation, rights
