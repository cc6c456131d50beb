"""The WebSocket door: a plain ASGI callable, for Channels' `URLRouter`.

It checks the Origin, finds out who is there, picks the mode by subprotocol, and
then hands each text frame to the conversation. Not an `AsyncConsumer`: Channels
awaits a thread hop before every frame and every event of one.

A project may subclass `ChatConsumer` at two points: `identify`, which says who is
there, and `extra_command`, which answers commands that Headgate does not know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import count
from typing import Any, NoReturn

import msgspec

from headgate.chat.admission import Crowded
from headgate.chat.arrivals import Arrival, address_of
from headgate.chat.asgi_server import close_code
from headgate.chat.closing import Closing, Gone
from headgate.chat.conversation import Conversation
from headgate.chat.drain import going_away, hello_awaited
from headgate.chat.engine import engine
from headgate.chat.gate import refusal_error
from headgate.chat.handshake import (
    OriginDenied,
    Refused,
    Send,
    Wishes,
    crowded,
    deny,
    mode_of,
    origin_of,
    redeemed,
    unavailable,
    who_comes,
    wishes_of,
)
from headgate.chat.hearing import Hearing
from headgate.chat.identity import Identity, guest, known_in_scope
from headgate.chat.people import Actor, new_guest
from headgate.chat.plain import PlainConversation
from headgate.chat.storage import RETRY_MS
from headgate.chat.visitor import Visitor, denied
from headgate.chat.ways_out import sink_of
from headgate.live.frames import Mode, frame_of
from headgate.live.ports import LogUnavailable, Sink
from headgate.protocol.codec import (
    BadCommand,
    decode_command,
    error,
    is_room_slug,
    plain_failure,
)
from headgate.protocol.codes import CLOSE_TEXTS, Close, Code
from headgate.protocol.commands import Hello
from headgate.protocol.fields import MAX_FRAME_BYTES
from headgate.protocol.pushes import Done, Error, Failure

__all__ = ["ChatConsumer", "UnknownCommand"]

logger = logging.getLogger("headgate.consumer")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

HELLO_SECONDS = 10.0  # to say hello in
CLOSE_SECONDS = 5.0  # for the last words to go out before a close
HEARD_AT_ONCE = 16  # frames of one connection, before others have their turn
MAX_BAD_COMMANDS = 10  # of one connection, then it is closed
_ABNORMAL = 1006  # RFC 6455, section 7.4.1, as these
_TOO_BIG, _INTERNAL_ERROR = 1009, 1011
READY_FRAMES = "headgate.ready_frames"  # a server's extension: a faster way out
DIRECT_TEXTS = "headgate.direct_texts"  # another: a faster way in, see `_listen`
# Another: a function that has the server's keepalive rest, or go on. A client whose
# socket is not read cannot answer pings in time.
REST_KEEPALIVE = "headgate.rest_keepalive"
# What is no command here may be one of the project's, and costs as much as one.
_BEGUN: Scope = {}  # instead of the scope of a connection that has begun
_NOT_OURS = frozenset({Code.UNKNOWN_COMMAND, Code.UNSUPPORTED})


class ChatConsumer:
    """Serves `/ws/chat/` and `/ws/chat/<room>/`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket."""
        if scope["type"] != "websocket":
            raise ValueError(
                "ChatConsumer serves WebSockets; mount it under the 'websocket' key "
                "of a ProtocolTypeRouter.",
            )
        client = _Client(self, scope, receive, send)
        del scope  # which whoever called us may have made for us: see `_listen`
        await client.serve()

    async def identify(self, scope: Scope) -> Identity | None:
        """Return who opens this WebSocket; None for somebody unknown: a guest.

        Override it to know people in another way, and call it to fall back on
        `AUTHENTICATORS` and the cookie. A ticket is believed before it.
        `Identity.by` says whether the Origin has to be checked: "cookie" for whatever
        browsers send by themselves.

        Raises:
            NotAuthenticated: Somebody presented what does not hold.
        """
        return await known_in_scope(scope)

    async def extra_command(
        self,
        actor: Actor,  # noqa: ARG002 - for those who override it
        command: dict[str, Any],  # noqa: ARG002 - the same
    ) -> Any:
        """Answer a command of `headgate.v1` that Headgate does not know.

        Override it to have commands of your own on the same connection. `command` is
        a JSON object with `cmd`, within the limits of the wire. What is returned must
        be JSON, and goes into the reply's `result` where the command has an `id`.

        Raises:
            UnknownCommand: To have it refused as unknown, as this does.
        """
        raise UnknownCommand


class UnknownCommand(Exception):  # noqa: N818 - an answer, not a fault
    """A command is unknown here too."""


class _Client:
    """One WebSocket from handshake to close."""

    def __init__(
        self,
        consumer: ChatConsumer,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self.consumer = consumer
        self.scope = scope
        self.receive = receive
        self.send = send
        self.accepted = False  # whether the handshake is answered
        self.visitor: Visitor | None = None
        self.hearing: Hearing | None = None
        self.bad_commands = 0
        self.fault: Exception | None = None  # in what was heard at once
        # How it ended: a close code and a reason; 1006 is without a word.
        self.ended: tuple[int | None, str] = (_ABNORMAL, "")
        self.arrival = Arrival(address_of(scope))
        url_room = scope.get("url_route", {}).get("kwargs", {}).get("room")
        self.url_room: str | None = url_room or None

    async def serve(self) -> None:
        """Serve until either side closes."""
        await self.receive()  # websocket.connect
        mode, sink = mode_of(self.scope), None
        try:
            who = await self._who_comes()
            if isinstance(who, Refused):
                await self._refuse(mode, who)
            offered = self.scope.get("extensions", {}).get(READY_FRAMES)
            sink = sink_of(offered, self.send)
            await self._converse(mode, sink, who)
        except OriginDenied:
            await deny(self.scope, self.send)
        except Gone:
            pass
        except Closing as closing:
            await self._close(closing.code, closing.reason)
        except asyncio.CancelledError:
            ending = None if self.visitor is None else self.visitor.ended()
            if ending is None:
                raise
            await self._close(ending, CLOSE_TEXTS[ending])
        except Exception:  # a fault of ours ends this connection, and is seen
            logger.exception("connection_failed")
            await self._close(_INTERNAL_ERROR, "")
        finally:
            self.arrival.over()
            if self.visitor is not None:
                await self.visitor.close(*self.ended)
            if sink is not None:
                await sink.close()

    async def _refuse(self, mode: Mode, refused: Refused) -> NoReturn:
        """Answer the handshake, so that a browser can read why, and close."""
        await self._accept(mode)
        if mode is Mode.V1:
            await self._last_words(Failure(reply=None, error=refused.error))
        else:
            await self._last_words(plain_failure(refused.error))
        raise Closing(refused.close)

    async def _accept(self, mode: Mode) -> None:
        offered = mode.value in self.scope.get("subprotocols", [])
        subprotocol = mode.value if offered else None
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol})
        self.accepted = True

    async def _converse(self, mode: Mode, sink: Sink, who: Identity | None) -> None:
        """Begin in the mode, then hear frame after frame."""
        if mode is Mode.V1:
            conversation = await self._begin_v1(sink, who)
        else:
            conversation = await self._begin_plain(sink, who)
        visitor = self.visitor
        if visitor is None:
            raise RuntimeError("nobody has begun")
        visitor.arrived()
        self._listen(conversation)
        for number in count(1):
            payload = ""
            if number % HEARD_AT_ONCE == 0:
                # What a server has queued is received without waiting, and many
                # commands need none: others would wait for all of it.
                await asyncio.sleep(0)
            try:
                payload = await self._text()
                await visitor.attend(conversation.hear, payload)
            except BadCommand as bad:
                if self._is_too_fast(conversation, visitor, bad):
                    continue
                if await self._is_extra(mode, bad, payload):
                    continue
                conversation.explain(bad)
                self._count_bad(conversation, bad)

    def _listen(self, conversation: Hearing) -> None:
        """Hear what needs no waiting without this task, where the server offers that.

        The server takes a function `(text) -> bool`, which it calls only while this
        task waits in `receive`, so that commands keep their order; and never where
        that `receive` is somebody else's. What is not taken, for whatever reason, comes
        by `receive`. The scope is let go of: it was for beginning, connections last.
        """
        listen = self.scope.get("extensions", {}).get(DIRECT_TEXTS)
        self.scope = _BEGUN
        if listen is not None:
            self.hearing = conversation
            listen(self.receive, self._hear_now)

    def _hear_now(self, text: str) -> bool:
        visitor, hearing = self.visitor, self.hearing
        try:
            ready = visitor is not None and visitor.ready
            return ready and hearing is not None and hearing.hear_now(text)
        except Exception as exc:  # noqa: BLE001 - the task raises it
            self.fault = exc
            return False

    # --- beginning ---

    async def _who_comes(self) -> Identity | Refused | None:
        """Return who is there as far as the handshake tells, or why nobody may be."""
        refused = going_away()
        if refused is not None:
            return refused
        full = await self.arrival.by_address()
        if full is not None:
            return Refused(full, Close.CONNECT_LIMITED)
        try:
            async with engine().admission.turn():
                return await who_comes(self.scope, self.consumer.identify)
        except Crowded as crowd:
            return crowded(crowd)

    async def _full(self, actor: Actor) -> Refused | None:
        """Take a place among somebody's connections, or return why there is none."""
        try:
            failure = await self.arrival.by_person(actor)
        except LogUnavailable:
            return unavailable()
        return None if failure is None else Refused(failure, Close.CONNECT_LIMITED)

    def _visitor(self, actor: Actor, mode: Mode, sink: Sink) -> Visitor:
        return Visitor(
            engine(),
            actor,
            mode,
            sink,
            origin=origin_of(self.scope) if mode is Mode.V1 else "",
            address=self.arrival.address,
            rest=self.scope.get("extensions", {}).get(REST_KEEPALIVE),
        )

    async def _begin_v1(self, sink: Sink, who: Identity | None) -> Hearing:
        """Wait for hello and answer it."""
        await self._accept(Mode.V1)
        try:
            async with asyncio.timeout(HELLO_SECONDS) as limit:
                with hello_awaited(limit):
                    hello = await self._hello()
        except TimeoutError:
            late = error(Code.HELLO_EXPECTED, "There was no hello within 10 s.")
            refused = going_away() or Refused(late, Close.HELLO_TIMEOUT)
            await self._last_words(Failure(reply=None, error=refused.error))
            raise Closing(refused.close) from None
        try:
            async with engine().admission.turn():
                return await self._let_in(hello, who, sink)
        except Crowded as crowd:
            refused = crowded(crowd)
            await self._last_words(Failure(reply=hello.id, error=refused.error))
            raise Closing(refused.close) from None

    async def _let_in(
        self, hello: Hello, who: Identity | None, sink: Sink
    ) -> Conversation:
        """Find out who says hello, and answer it."""
        actor = await self._said_in(hello, who)
        full = await self._full(actor)
        if full is not None:
            await self._last_words(Failure(reply=hello.id, error=full.error))
            raise Closing(full.close)
        self.visitor = self._visitor(actor, Mode.V1, sink)
        conversation = Conversation(self.visitor)
        await conversation.begin(hello, self.url_room)
        return conversation

    async def _said_in(self, hello: Hello, who: Identity | None) -> Actor:
        """Return who says hello: a ticket in it wins over what the handshake told."""
        refused = Refused(error(Code.UNAUTHENTICATED), Close.UNAUTHENTICATED)
        if hello.ticket is not None:
            found = await redeemed(hello.ticket, self.scope)
            if isinstance(found, Identity):
                return found.actor
            refused = found
        elif who is not None:
            return who.actor
        else:
            visiting = guest(hello.guest, hello.name)
            if visiting is not None:
                return visiting
        await self._last_words(Failure(reply=hello.id, error=refused.error))
        raise Closing(refused.close)

    async def _hello(self) -> Hello:
        while True:
            try:
                command = decode_command(await self._text())
            except BadCommand as bad:
                failure = Failure(reply=bad.reply, error=bad.error)
            else:
                if isinstance(command, Hello):
                    return command
                early = error(Code.HELLO_EXPECTED)
                failure = Failure(reply=command.id, error=early)
            await self._last_words(failure)
            self.bad_commands += 1
            if self.bad_commands >= MAX_BAD_COMMANDS:
                raise Closing(Close.BAD_COMMANDS)

    async def _begin_plain(self, sink: Sink, who: Identity | None) -> Hearing:
        """Enter the URL's room, and only then answer the handshake.

        Nothing else tells the client that it is in: so whatever is sent after the
        handshake is seen.
        """
        actor = guest(None) if who is None else who.actor
        full = None if actor is None else await self._full(actor)
        if full is not None:
            await self._refuse(Mode.PLAIN, full)
        self.visitor = self._visitor(actor or new_guest(None), Mode.PLAIN, sink)
        conversation = PlainConversation(self.visitor, self.url_room or "")
        wishes = wishes_of(self.scope)
        refusal: tuple[Error, Close] | None
        if actor is None:
            refusal = error(Code.UNAUTHENTICATED), Close.UNAUTHENTICATED
        else:
            refusal = await self._enter(conversation, wishes)
        await self._accept(Mode.PLAIN)
        for complaint in wishes.complaints:
            conversation.fail(complaint)
        if refusal is not None:
            conversation.fail(refusal[0])
            raise Closing(refusal[1])
        conversation.go()
        return conversation

    async def _enter(
        self,
        conversation: PlainConversation,
        wishes: Wishes,
    ) -> tuple[Error, Close] | None:
        """Enter the URL's room; return what to say and how to close if one may not."""
        if not is_room_slug(self.url_room or ""):
            text = "Plain mode is for one room: connect to /ws/chat/<room>/."
            return error(Code.NOT_FOUND, text), Close.NOT_FOUND
        try:
            async with engine().admission.turn():
                denial = await conversation.enter(wishes)
        except Crowded as crowd:
            refused = crowded(crowd)
            return refused.error, refused.close
        except LogUnavailable:
            away = error(Code.UNAVAILABLE, retry_after_ms=RETRY_MS)
            return away, Close.UNAVAILABLE
        return None if denial is None else (denied(denial), Close.NOT_FOUND)

    # --- frames ---

    async def _text(self) -> str:
        """Return the next text frame; raises `BadCommand` for a binary one."""
        message = await self.receive()
        if self.fault is not None:
            raise self.fault
        if message["type"] == "websocket.disconnect":
            self.ended = message.get("code"), message.get("reason") or ""
            raise Gone
        text = message.get("text")
        given = message.get("bytes") or b""
        if text is not None:
            given = text.encode("utf-8", "surrogatepass")
        if len(given) > MAX_FRAME_BYTES:  # some servers take more
            raise Closing(_TOO_BIG, f"Over {MAX_FRAME_BYTES} bytes.")
        if text is None:
            raise BadCommand(error(Code.BINARY))
        return str(text)

    def _is_too_fast(
        self, conversation: Hearing, visitor: Visitor, bad: BadCommand
    ) -> bool:
        """Count a command that is not ours; answer it here if it comes too fast."""
        if Code(bad.error.code) not in _NOT_OURS:
            return False  # these are few: see `_count_bad`
        refusal = visitor.gate.decide(visitor.gate.charges("command"))
        if refusal is None:
            return False
        conversation.explain(BadCommand(refusal_error(refusal), bad.reply))
        visitor.refused(refusal)
        return True

    async def _is_extra(self, mode: Mode, bad: BadCommand, payload: str) -> bool:
        """Have the project's subclass answer a command; False if it knows it not."""
        visitor = self.visitor
        unknown = mode is Mode.V1 and bad.error.code == Code.UNKNOWN_COMMAND
        if not unknown or visitor is None:
            return False
        command = msgspec.json.decode(payload)
        try:
            result = await self.consumer.extra_command(visitor.actor, command)
            if bad.reply is not None:
                visitor.say(Done(reply=bad.reply, result=result))
        except UnknownCommand:
            return False
        except Exception:  # the project's fault is not this connection's end
            logger.exception("extra_command_failed cmd=%r", command["cmd"])
            visitor.say(Failure(reply=bad.reply, error=error(Code.INTERNAL)))
        return True

    def _count_bad(self, conversation: Hearing, bad: BadCommand) -> None:
        if bad.error.code == Code.UNSUPPORTED:
            return
        self.bad_commands += 1
        if self.bad_commands >= MAX_BAD_COMMANDS:
            text = f"{MAX_BAD_COMMANDS} commands were not well formed."
            conversation.fail(error(Code.BAD_COMMAND, text))
            raise Closing(Close.BAD_COMMANDS)

    # --- ending ---

    async def _last_words(self, message: Any) -> None:
        """Send a message before there is a visitor."""
        await self._send({"type": "websocket.send", "text": frame_of(message).text})

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        """Send an ASGI message; a client that is gone ends the conversation."""
        try:
            await self.send(message)
        except (OSError, RuntimeError) as exc:
            # Servers say it with an OSError (ASGI 2.4) or a RuntimeError.
            raise Gone from exc

    async def _close(self, code: int, reason: str) -> None:
        """Close, once what was said before is out."""
        code = close_code(int(code))
        self.ended = code, reason
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if self.visitor is not None:
                    connection = self.visitor.connection
                    connection.task = None  # it is closing already
                    if not self.accepted:  # plain mode enters first; they are told why
                        await self._accept(connection.mode)
                    connection.sink.flush(connection.outbox)
                    await connection.sink.drained()
                await self._send(
                    {"type": "websocket.close", "code": code, "reason": reason},
                )
        except (TimeoutError, Gone):
            logger.debug("close_not_delivered code=%d", code)
