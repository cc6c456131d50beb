"""How a bot answers: `await reply("text")`, or as a stream that grows.

A call may be made twice: the process may die in the middle, or the handler fail at its
end. So the answers of a call are numbered, in their `client_id`, and what an earlier
run has said to its end is not said again, be it in other words. A stream that the
earlier run did not bring to its end is `cut`, and is begun anew under another
`client_id`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from headgate.chat.actions import NotSent, Sent, asend_message
from headgate.chat.engine import engine
from headgate.chat.growing import open_message
from headgate.chat.hooks import RoomEvent
from headgate.chat.people import Actor
from headgate.live.signals import Signal
from headgate.outbound.answers_cache import Answer
from headgate.protocol.codes import Code
from headgate.protocol.fields import State
from headgate.protocol.pushes import Message, TypingSignal

__all__ = ["Earlier", "Reply", "Stream", "stream_number"]


def _stream_id(call_id: str, number: int, begun: int) -> str:
    """Return the client_id of a call's stream, which was begun so often in vain."""
    return f"{call_id}-s{number}.{begun}"


def stream_number(client_id: str) -> int:
    """Return the number of a stream in its call."""
    return int(client_id.rpartition("-s")[2].partition(".")[0])


class Stream(Protocol):
    """A message that grows."""

    @property
    def seq(self) -> int:
        """Its place in the room."""

    @property
    def text(self) -> str:
        """What was written so far."""

    @property
    def state(self) -> State | None:
        """How it has ended; None while it grows."""

    async def write(self, text: str) -> None:
        """Add text."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier run of a call has said.

    Attributes:
        messages: By their client_ids, those that came to their end.
        cut: How often each stream was begun that did not, by its number.
    """

    messages: Mapping[str, Message]
    cut: Mapping[int, int]

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has cancelled the answer."""
        return any(each.state == "cancelled" for each in self.messages.values())


class Reply:
    """Answers one event, as a bot.

    Args:
        actor: The bot.
        room_id: The room's row.
        event: What is answered.
        call_id: Stable over retries.
        earlier: What an earlier run of the call has said.

    Attributes:
        spent: What it has cost so far.
        said: What was said so far.
        whole: Whether all of that came to its end, and was not cancelled.
    """

    def __init__(
        self,
        actor: Actor,
        room_id: int,
        event: RoomEvent,
        call_id: str,
        earlier: Earlier,
    ) -> None:
        self._actor = actor
        self._room_id = room_id
        self._event = event
        self._call_id = call_id
        self._earlier = earlier
        self._messages = 0
        self._streams = 0
        self.spent = 0
        self.said: Answer = []
        self.whole = True

    async def __call__(self, text: str) -> Sent:
        """Say something; see `send`."""
        return await self.send(text)

    async def send(
        self,
        text: str,
        *,
        format: str = "markdown",  # noqa: A002 - the wire's word
        data: dict[str, Any] | None = None,
    ) -> Sent:
        """Say something, as an answer to the message.

        Raises:
            NotSent: The log did not take it.
        """
        self._messages += 1
        client_id = f"{self._call_id}-{self._messages}"
        said = self._earlier.messages.get(client_id)
        if said is not None:
            self._keep_said(said)
            return Sent(said.seq)
        sent = await self._sent(client_id, text, format=format, data=data)
        self._keep(text, format, data)
        return sent

    async def _sent(self, client_id: str, text: str, **more: Any) -> Sent:
        return await asend_message(
            self._event.room,
            self._actor,
            text,
            client_id=client_id,
            reply_to=self._answers,
            **more,
        )

    def _keep_said(self, said: Message) -> None:
        self.whole = self.whole and said.state is None and not said.deleted
        self._keep(said.text, said.format, said.data)

    def _keep(self, text: str, form: str, data: dict[str, Any] | None) -> None:
        self.said.append({"text": text, "format": form, "data": data})

    @asynccontextmanager
    async def stream(
        self,
        *,
        format: str = "markdown",  # noqa: A002 - the wire's word
        data: dict[str, Any] | None = None,
    ) -> AsyncIterator[Stream]:
        """Say something that grows: `async with reply.stream() as out`.

        Leaving the block ends it, an exception ends it as `cut`. Where somebody
        cancels it, the block gets a `CancelledError`, and the handler goes on after
        it; `state` says how it has ended.

        Raises:
            NotSent: The log did not take it.
        """
        self._streams += 1
        number, begun = self._streams, self._earlier.cut.get(self._streams, 0)
        said = self._earlier.messages.get(_stream_id(self._call_id, number, begun))
        if said is not None:
            self._keep_said(said)
            yield _Said(said)
            return
        engine()  # the worker's: it is not begun and closed with each answer
        async with open_message(
            self._event.room,
            self._actor,
            reply_to=self._answers,
            format=format,
            data=data,
            client_id=_stream_id(self._call_id, number, begun),
        ) as growing:
            yield growing
        self.whole = self.whole and growing.state == "done"
        self._keep(growing.text, format, data)

    def cost(self, tokens: int) -> None:
        """Tell what it has cost, in units of the bot's budgets, added up.

        Raises:
            ValueError: It is no whole number from 0.
        """
        if type(tokens) is not int or tokens < 0:
            raise ValueError(f"cost({tokens!r}): a whole number from 0.")
        self.spent += tokens

    def typing(self, typing: bool = True) -> None:  # noqa: FBT001, FBT002 - a verb
        """Show that the bot writes. It is forgotten after 6 s without another."""
        push = TypingSignal(
            room=self._event.room, author=self._actor.author, typing=typing
        )
        key = self._actor.key
        signal = Signal(key=("typing", key), push=push, but=key)
        engine().signal(self._room_id, signal)

    async def say_again(self, answer: Answer) -> None:
        """Say what was said to an equal question."""
        for each in answer:
            await self.send(**each)

    async def say_wait(self, text: str) -> None:
        """Tell somebody that they have to wait."""
        try:
            await self._sent(f"{self._call_id}-wait", text)
        except NotSent as exc:
            if exc.code is not Code.ID_CONFLICT:  # told before, in other words
                raise

    @property
    def _answers(self) -> int | None:
        """The seq of the message that is answered."""
        event = self._event
        return event.seq if event.event == "message" else event.target


class _Said:
    """Stands for a stream that an earlier run has ended."""

    def __init__(self, message: Message) -> None:
        self.seq = message.seq
        self.text = message.text
        self.state: State | None = message.state or "done"

    async def write(self, text: str) -> None:
        """Say nothing: it was said."""
