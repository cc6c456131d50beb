"""`headgate.v1`: what each command does.

Sends are handed to the journal and answered when their commit is through; what
needs the database before it can be answered is awaited, so a connection's commands
take effect in their order. Before anything is done for a command, the gate is asked
whether it comes too fast.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from headgate.chat.answers import failure as refused
from headgate.chat.answers import saved
from headgate.chat.before_send import has_before_send
from headgate.chat.changes import may_change
from headgate.chat.command_limits import CommandLimits
from headgate.chat.conf import conf
from headgate.chat.entrance import Ahead, Entrance, come_in
from headgate.chat.entries import (
    Change,
    Draft,
    ReadMark,
    Refused,
    Verdict,
    drafted,
    message_details,
)
from headgate.chat.gate import MUST_WAIT, refusal_error
from headgate.chat.growing_commands import GrowingCommands
from headgate.chat.history import events_page, messages_of, messages_page
from headgate.chat.models import Room
from headgate.chat.permissions import Deny, Rights
from headgate.chat.push_pace import wished_pace
from headgate.chat.storage import RETRY_MS
from headgate.chat.visitor import Visitor, denied, seq_of
from headgate.chat.welcome import limits_of, room_joined, welcome
from headgate.limits.decision import Decision
from headgate.live.connection import Watch
from headgate.live.ports import LogUnavailable
from headgate.live.signals import Signal
from headgate.protocol.codec import BadCommand, decode_command, error
from headgate.protocol.codes import Code
from headgate.protocol.commands import (
    Append,
    Cancel,
    Command,
    Delete,
    Edit,
    Hello,
    History,
    Join,
    Leave,
    Ping,
    Position,
    Read,
    Send,
    Typing,
)
from headgate.protocol.fields import MAX_ROOMS
from headgate.protocol.pushes import (
    Done,
    Error,
    EventsPage,
    Failure,
    Joined,
    MessagesPage,
    Saved,
    TypingSignal,
)
from headgate.protocol.pushes import (
    ReadMark as ReadPush,
)

__all__ = ["Conversation"]

# The method that answers each command: at once, or when something was waited for. One
# table for all connections, by name, as a bound method for each would last as long.
_AT_ONCE: dict[type[Command], str] = {
    Hello: "_hello_again",
    Leave: "_leave",
    Typing: "_typing",
    Read: "_read",
    Ping: "_ping",
}
_AWAITED: dict[type[Command], str] = {
    Send: "_send",
    Join: "_join",
    Edit: "_edit",
    Delete: "_delete",
    History: "_history",
}


class Conversation:
    """A client in `headgate.v1`, after its hello was decoded."""

    __slots__ = ("_growing", "_limits", "_visitor")

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._limits = CommandLimits(visitor)
        self._growing = GrowingCommands(visitor)

    async def begin(self, hello: Hello, url_room: str | None) -> None:
        """Answer hello: join the URL's room and those to resume, then welcome."""
        visitor = self._visitor
        places: dict[str, Position | None] = (
            {} if url_room is None else {url_room: None}
        )
        for slug, seen in hello.resume.items():
            places[slug] = Position(seen) if isinstance(seen, int) else seen
        entered: dict[str, Entrance | Error] = {}
        pending = {slug: hello.pending.get(slug, []) for slug in places}
        ahead = {
            slug: Ahead(visitor, slug, pending[slug])
            for slug in list(places)[:MAX_ROOMS]
            if len(places) > 1
        }
        for slug, place in places.items():
            entered[slug] = await self._enter(
                slug, place, pending[slug], hello.pace, ahead.get(slug)
            )
        limits = await limits_of(visitor)
        # Nothing is awaited from here to `go`, so that no change comes in between.
        entries = {slug: room_joined(found) for slug, found in entered.items()}
        visitor.say(welcome(visitor, entries, limits))
        for found in entered.values():
            if isinstance(found, Entrance) and not found.watch.ended:
                self._go(found)

    async def hear(self, payload: str) -> None:
        """Take one text frame; raises `BadCommand`."""
        self._heard()
        command = decode_command(payload)
        try:
            refusal = await self._limits.refusal(command)
            if refusal is not None:
                self._refused(command, refusal)
            elif self._needs_no_waiting(command):
                self._do(command)
            else:
                await self._await(command)
        except LogUnavailable:
            self._refuse(command, error(Code.UNAVAILABLE, retry_after_ms=RETRY_MS))

    async def _await(self, command: Command) -> None:
        """Do what a command asks that has to be waited for."""
        if isinstance(command, Append):
            await self._growing.append(command)
        elif isinstance(command, Cancel):
            await self._growing.cancel(command)
        else:
            await getattr(self, _AWAITED[type(command)])(command)

    def hear_now(self, payload: str) -> bool:
        """Take one text frame if it is a command that needs no waiting."""
        self._heard()
        try:
            command = decode_command(payload)
        except BadCommand:
            return False  # `hear` says what is wrong
        if isinstance(command, Send):
            return self._send_now(command)
        if not self._needs_no_waiting(command):
            return False
        refusal = self._limits.refusal_now(command)
        if refusal is MUST_WAIT:
            return False
        if refusal is None:
            self._do(command)
        else:
            self._refused(command, refusal)
        return True

    def _needs_no_waiting(self, command: Command) -> bool:
        if isinstance(command, Append):
            return self._growing.needs_no_waiting(command)
        return type(command) in _AT_ONCE

    def _do(self, command: Command) -> None:
        """Do what a command asks that needs no waiting."""
        if isinstance(command, Append):
            self._growing.append_now(command)
            return
        getattr(self, _AT_ONCE[type(command)])(command)

    def _refused(self, command: Command, refusal: Decision) -> None:
        """Answer a command that came too fast."""
        self._refuse(command, refusal_error(refusal))
        self._visitor.refused(refusal)

    def explain(self, bad: BadCommand) -> None:
        """Answer a frame that was no command, or none that may be done."""
        self._visitor.say(Failure(reply=bad.reply, error=bad.error))

    def fail(self, failure: Error) -> None:
        """Say an error that answers no command."""
        self._visitor.say(Failure(reply=None, error=failure))

    # --- answers ---

    def _refuse(self, command: Command, failure: Error) -> None:
        self._visitor.say(refused(command, failure))

    def _done(self, command: Command) -> None:
        if command.id is not None:
            self._visitor.say(Done(reply=command.id))

    # --- rooms ---

    async def _enter(
        self,
        slug: str,
        place: Position | None,
        pending: list[str],
        pace: str | None,
        ahead: Ahead | None = None,
    ) -> Entrance | Error:
        """Begin to watch a room; its events wait for `_go`."""
        visitor = self._visitor
        if visitor.watch(slug) is None and visitor.rooms_joined >= MAX_ROOMS:
            return error(Code.TOO_MANY_ROOMS)
        try:
            found = await come_in(
                visitor, slug, place, pending, pace=wished_pace(pace), ahead=ahead
            )
        except LogUnavailable:
            return error(Code.UNAVAILABLE, retry_after_ms=RETRY_MS)
        return denied(found) if isinstance(found, Deny) else found

    def _go(self, entrance: Entrance) -> None:
        """Let a room's events flow, after what they do not bring back."""
        if entrance.reset is not None:
            self._visitor.say_in_order(entrance.reset)
        connection = self._visitor.connection
        self._visitor.engine.node.go(connection, entrance.watch.room_id)

    def _hello_again(self, command: Hello) -> None:
        text = "hello was said already."
        self._refuse(command, error(Code.BAD_COMMAND, text, field="cmd"))

    async def _join(self, command: Join) -> None:
        place = None
        if command.after is not None:
            place = Position(command.after, command.epoch)
        found = await self._enter(command.room, place, [], command.pace)
        if isinstance(found, Error):
            self._refuse(command, found)
            return
        if command.id is not None:
            entry = room_joined(found)
            self._visitor.say_in_order(
                Joined(
                    reply=command.id,
                    room=command.room,
                    head=entry.head or 0,
                    epoch=entry.epoch or "",
                    title=entry.title,
                    read=entry.read,
                    unread=entry.unread,
                    slow_mode_ms=entry.slow_mode_ms,
                    moderates=entry.moderates,
                    read_only=entry.read_only,
                ),
            )
        self._go(found)

    def _leave(self, command: Leave) -> None:
        self._visitor.leave(command.room)
        if command.id is not None:
            self._visitor.say_in_order(Done(reply=command.id))

    # --- writing ---

    def _send_now(self, command: Send) -> bool:
        """Take a message to a joined room, unless the project looks at it before."""
        visitor = self._visitor
        watch = visitor.watch(command.room)
        if watch is None or has_before_send():
            return False
        refusal = self._limits.send_refusal_now(watch.rights)
        if refusal is MUST_WAIT:
            return False
        if refusal is not None:
            self._refused(command, refusal)
            return True
        draft = self._draft(command, watch.rights)
        if draft is not None:
            visitor.submit(draft, self._answer(command, draft))
        return True

    async def _send(self, command: Send) -> None:
        visitor = self._visitor
        draft = self._draft(command, await visitor.enter(command.room))
        if draft is not None:
            await visitor.write(draft, command.room, self._answer(command, draft))

    def _answer(
        self, command: Send, draft: Draft
    ) -> Callable[[Verdict], Saved | Failure | None]:
        """Return what answers a message."""
        if command.open:
            return partial(self._growing.opened, command, draft.room_id)
        return partial(saved, command)

    def _draft(self, command: Send, rights: Rights | Deny) -> Draft | None:
        """Return a message to be written, or refuse it."""
        if isinstance(rights, Rights):
            denial = rights.denial("send")
            if denial is None:
                return drafted(command, rights.room_id, self._visitor.actor)
        else:
            denial = rights
        self._refuse(command, denied(denial))
        return None

    async def _edit(self, command: Edit) -> None:
        details = message_details(format=command.format, data=command.data)
        await self._change(command, "edit", command.text, details)

    async def _delete(self, command: Delete) -> None:
        await self._change(command, "delete", None, None)

    async def _change(
        self,
        command: Edit | Delete,
        operation: str,
        text: str | None,
        details: dict[str, Any] | None,
    ) -> None:
        visitor = self._visitor
        found = await visitor.engine.reader.run(
            may_change,
            visitor.actor,
            operation,
            command.room,
            command.target,
        )
        if isinstance(found, Deny):
            self._refuse(command, denied(found))
            return
        change = Change(found, visitor.actor, command.target, text, details)
        await visitor.write(change, command.room, partial(saved, command))

    # --- signals and marks ---

    def _joined(self, command: Typing | Read, operation: str) -> Watch | None:
        """Return the watch of the command's room, or refuse."""
        watch = self._visitor.watch(command.room)
        if watch is None:
            self._refuse(command, error(Code.NOT_JOINED))
            return None
        denial = watch.rights.denial(operation)
        if denial is not None:
            self._refuse(command, denied(denial))
            return None
        return watch

    def _typing(self, command: Typing) -> None:
        """Tell others, unless that is too often, or there are too many of them."""
        visitor = self._visitor
        watch = self._joined(command, "typing")
        if watch is None:
            return
        watched_by = len(visitor.engine.node.hub.rooms[watch.room_id].watches)
        crowded = watch.rights.crowded or watched_by > conf().TYPING_MAX_MEMBERS
        if crowded or not self._may_signal(watch.rights):
            self._done(command)
            return
        own = visitor.actor.key
        push = TypingSignal(
            room=command.room,
            author=visitor.actor.author,
            typing=command.typing,
        )
        signal = Signal(key=("typing", own), push=push, but=own)
        visitor.engine.signal(watch.room_id, signal)
        self._done(command)

    def _may_signal(self, rights: Rights) -> bool:
        """Count a signal of typing; what is too much is left out, and not refused."""
        gate = self._visitor.gate
        charges = gate.charges("typing", rights, command=False)
        # Signals are this process's own, even where others are counted in Redis: no
        # answer is worth waiting for.
        return gate.decide(charges) is None

    def _read(self, command: Read) -> None:
        visitor = self._visitor
        watch = self._joined(command, "read")
        if watch is None:
            return
        mark = ReadMark(watch.room_id, visitor.actor, command.seq)
        public = watch.rights.kind == Room.Kind.PUBLIC

        def answer(verdict: Verdict) -> Done | Failure | None:
            if isinstance(verdict, Refused):
                return Failure(reply=command.id, error=verdict.error)
            return None if command.id is None else Done(reply=command.id)

        def tell(verdict: Verdict) -> None:
            if not isinstance(verdict, Refused):
                seq = seq_of(verdict)
                self._tell_read(mark.room_id, command.room, seq, public=public)

        visitor.marks.move(mark, answer, tell)

    def _tell_read(self, room_id: int, slug: str, seq: int, *, public: bool) -> None:
        """Tell one's other connections, and in a room of members everybody."""
        own = self._visitor.actor.key
        signal = Signal(
            key=("read", own),
            push=ReadPush(room=slug, author=self._visitor.actor.author, seq=seq),
            only=own if public else None,
            but_connection=self._visitor.connection,
        )
        self._visitor.engine.signal(room_id, signal)

    # --- reading ---

    async def _history(self, command: History) -> None:
        visitor = self._visitor
        if command.id is None:
            # Without an id there is no reply, and a page is nothing but its reply.
            needed = "history needs an `id`, which the reply repeats."
            self._refuse(command, error(Code.BAD_COMMAND, needed, field="id"))
            return
        rights = await visitor.enter(command.room)
        denial = rights if isinstance(rights, Deny) else rights.denial("history")
        if isinstance(rights, Deny) or denial is not None:
            self._refuse(command, denied(denial or Deny()))
            return
        try:
            visitor.say(await self._page(command, command.id, rights))
        except Room.DoesNotExist:
            # Deleted, and the notice of it is not read yet: the rights are of before.
            self._refuse(command, error(Code.NOT_FOUND))

    async def _page(
        self, command: History, reply: int, rights: Rights
    ) -> EventsPage | MessagesPage:
        """Read what is asked for; raises `Room.DoesNotExist`."""
        reader = self._visitor.engine.reader
        if command.of == "events":
            page = await reader.run(
                events_page,
                rights.room_id,
                after=max(command.after or 0, rights.visible_from - 1),
                to=command.to,
                limit=command.limit,
            )
            return EventsPage(
                reply=reply,
                room=command.room,
                events=page.entries,
                head=page.head,
                epoch=page.epoch,
                more=page.more,
            )
        page = await reader.run(
            messages_page,
            rights.room_id,
            before=command.before,
            after=command.after,
            visible_from=rights.visible_from,
            limit=command.limit,
        )
        return MessagesPage(
            reply=reply,
            room=command.room,
            messages=messages_of(page),
            head=page.head,
            epoch=page.epoch,
            more=page.more,
        )

    def _ping(self, command: Ping) -> None:
        self._visitor.connection.heard_at = asyncio.get_running_loop().time()
        self._done(command)

    def _heard(self) -> None:
        """Note a sign of life, if the client's silence would say something."""
        connection = self._visitor.connection
        if connection.heard_at is not None:
            connection.heard_at = asyncio.get_running_loop().time()
