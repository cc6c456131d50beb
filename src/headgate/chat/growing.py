"""Growing messages for project code: what a language model says, as it says it.

`open_message` writes a message that people see grow. It takes its place in the room at
once; its text goes out as it comes, is saved every two seconds, and one event ends it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from headgate.chat.actions import NotSent, draft_of
from headgate.chat.before_send import write_looked_at
from headgate.chat.engine import Engine, borrow_engine, give_back_engine
from headgate.chat.entries import Draft, Known, Refused, Verdict, Written
from headgate.chat.growing_ends import end
from headgate.chat.growing_rows import growing_at, growing_from
from headgate.chat.models import Room
from headgate.chat.own_texts import OwnText, OwnTexts
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.fields import State
from headgate.protocol.pushes import Error

__all__ = ["OpenMessage", "open_message"]

logger = logging.getLogger("headgate.growing")

T = TypeVar("T")

# What may be unsaved before `write` waits for the database, in code points.
MOST_UNSAVED = 4096
END_TRIES = 4  # of an end that the server cannot write just now
END_WAIT_SECONDS = 1.0  # between them


def open_message(
    room: Room | str,
    author: Any,
    *,
    text: str = "",
    reply_to: int | None = None,
    format: str = "markdown",  # noqa: A002 - the wire's word
    data: dict[str, Any] | None = None,
    client_id: str | None = None,
) -> OpenMessage:
    """Return a message that grows within an `async with`.

    ```python
    async with open_message("general", bot, reply_to=message.seq) as out:
        async for token in answer:
            await out.write(token)
    ```

    At the end of the block the message is `done`. Where an exception leaves the block
    it ends as `cut`, with what was written. Where somebody cancels it, or the author
    may not write any more, the task that runs the block is cancelled, as by
    `asyncio.timeout`: the block gets a `CancelledError`, and the `async with` ends
    without an exception. `state` says how it has ended. A cancellation of the task by
    anybody else stays one.

    Args:
        room: The room, or its slug.
        author: Who writes, as for `send_message`.
        text: What it begins with.
        reply_to: The seq of the message that it answers; its author may cancel it.
        format: markdown or plain.
        data: JSON, at most 4 KiB.
        client_id: As for `send_message`. Where the message is known, and still grows,
            it goes on from what is saved; `text` has that.

    Raises:
        NotSent: On entering, where it cannot be written, or has ended before; in
            `write`, where it is too large or has ended; at the end, where the project
            refuses the text, or the end could not be saved.
    """
    given = {"reply_to": reply_to, "format": format, "data": data}
    return OpenMessage(room, author, text, {**given, "client_id": client_id})


class OpenMessage:
    """What project code writes a growing message by; made by `open_message`.

    Attributes:
        seq: Its place in the room.
        state: How it has ended; None while it grows.
    """

    def __init__(
        self, room: Room | str, author: Any, text: str, given: dict[str, Any]
    ) -> None:
        self.seq = 0
        self.state: State | None = None
        self._room = room
        self._author = author
        self._first = text
        self._given = given
        self._own: OwnText | None = None
        self._texts: OwnTexts | None = None
        self._engine: Engine | None = None  # borrowed within the block
        self._task: asyncio.Task[Any] | None = None  # while it may be cancelled
        self._stopped = False
        self._cancelling = 0  # cancellations of the task that are not ours

    @property
    def text(self) -> str:
        """What was written so far."""
        return "" if self._own is None else self._own.text

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("open_message is used in a task")
        running = borrow_engine()
        try:
            own = await self._begun(running)
        except BaseException:
            await _to_its_end(give_back_engine(running))
            raise
        self._engine, self._texts = running, running.own_texts
        self._own, self.seq = own, own.seq
        self._task, self._cancelling = task, task.cancelling()
        return self

    async def _begun(self, running: Engine) -> OwnText:
        """Return the message, which grows from now on; raises `NotSent`."""
        draft: Draft = await running.reader.run(
            draft_of, self._room, self._author, self._first, open=True, **self._given
        )
        room = self._room if isinstance(self._room, str) else self._room.slug
        verdict = await write_looked_at(draft, room)
        if isinstance(verdict, Refused):
            raise NotSent(verdict.error)
        if isinstance(verdict, Known):
            growing = await running.reader.run(growing_at, draft.room_id, verdict.seq)
        else:
            growing = growing_from(draft.room_id, draft.actor, verdict.push)
        if growing is None:
            raise NotSent(error(Code.NOT_GROWING))
        own = running.own_texts.begin(room, growing, on_end=self._ended)
        if isinstance(own, Error):
            raise NotSent(own)
        if isinstance(verdict, Known):
            running.own_texts.keep(own)  # its mark may be nearly too old
        return own

    async def write(self, text: str) -> None:
        """Add to the text; what is written often goes out together.

        It waits only where more is unsaved than may be.
        """
        own, texts = self._opened()
        failure = texts.add(own, len(own.text), _taken(text))
        if failure is not None:
            raise NotSent(failure)
        await asyncio.sleep(0)  # a source that never waits would hold up everybody
        while own.unsaved > MOST_UNSAVED and own.state is None:
            own.grown.clear()
            texts.keep(own)
            if not own.saving:
                await asyncio.sleep(END_WAIT_SECONDS)  # the journal is full
            else:
                await own.grown.wait()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        running, self._engine = self._engine, None
        try:
            return await self._left(exc_type, exc)
        finally:
            if running is not None:
                await _to_its_end(give_back_engine(running))

    async def _left(
        self, exc_type: type[BaseException] | None, exc: BaseException | None
    ) -> bool:
        """End the message; return whether the exception ends with the block."""
        task, self._task = self._task, None  # from here on nobody stops us
        own, texts = self._opened()
        failure = None
        if own.state is None:
            how: State = "cut" if exc_type else "done"
            failure = await _to_its_end(_end(own, texts, how))
        self.state = self.state or own.state
        if self._stopped and task is not None and task.uncancel() <= self._cancelling:
            return exc_type is not None and issubclass(exc_type, asyncio.CancelledError)
        if failure is not None and exc is None:
            raise NotSent(failure)
        return False

    def _opened(self) -> tuple[OwnText, OwnTexts]:
        # Not the running engine's: after its end there would be another one.
        if self._own is None or self._texts is None:
            raise RuntimeError("use `async with open_message(…) as out`")
        return self._own, self._texts

    def _ended(self, state: State) -> None:
        """Stop whoever writes: somebody else has ended the message."""
        self.state = state
        if self._task is not None:
            self._stopped = True
            self._task.cancel()


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Return what it returns; a cancellation meanwhile is raised once it has ended."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _end(own: OwnText, texts: OwnTexts, state: State) -> Error | None:
    """End a message; return why that was refused, or None where it has ended."""
    for tried in range(END_TRIES):
        verdict: Verdict = await end(own, state)
        if isinstance(verdict, Written | Known):
            return None
        failure = verdict.error
        if failure.code == Code.NOT_GROWING:
            if own.state is None:
                await texts.learn_end(own)  # nobody told of it
            return None
        if failure.retry_after_ms is None:
            return failure
        if tried + 1 < END_TRIES:
            await asyncio.sleep(END_WAIT_SECONDS)
    # It is marked as alive no more, so that it ends as `cut`.
    logger.warning("growing_not_ended room=%s seq=%d", own.room, own.seq)
    own.leaving = True
    return failure


def _taken(text: str) -> str:
    """Return a text as the log takes it; raises `NotSent`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        lone = "`text` has a lone surrogate."
        raise NotSent(error(Code.BAD_COMMAND, lone, field="text")) from None
    if "\x00" in text:
        nul = "`text`: the character U+0000 is not taken."
        raise NotSent(error(Code.BAD_COMMAND, nul, field="text"))
    return text
