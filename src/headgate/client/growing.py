"""Messages that grow: the texts of others', and the writing of one's own.

Partials of others' messages come to the application as what is new, each after the
other: what overlaps is left out, and what has a hole before it, too, until the rest
comes. One's own text is kept whole while it grows, so that after a lost connection it
goes on from what the server has.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from headgate.client.errors import Lost, Refused, wait_seconds
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.commands import Append, Send
from headgate.protocol.pushes import Deleted, Edited, Message, Partial

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.client.incoming import Push
    from headgate.client.link import Link
    from headgate.client.writer import Writer
    from headgate.protocol.fields import State

__all__ = ["Growing", "GrowingTexts", "OwnGrowing"]

APPEND_SECONDS = 0.1  # between two additions: what is written meanwhile goes together
# A message that is silent says that its author is there: on a new connection the server
# does not know, and after 30 s it ends the message.
THERE_SECONDS = 10.0
MOST_CHARACTERS = 2500  # in one addition: in 16 KiB, however it is spelled as JSON
MOST_UNSENT = 4 * MOST_CHARACTERS  # past it `write` waits
CUT_SECONDS = 5.0  # to say that one is cut; else the server finds out
MOST_TEXTS = 256  # of others' that are remembered, the newest


class GrowingTexts:
    """How long the growing messages are that the application knows."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[str, int], int] = OrderedDict()

    def take(self, push: Push) -> Push | None:
        """Return what the application is to see of a push, or None: nothing."""
        if isinstance(push, Message):
            self.know([push])
        elif isinstance(push, Edited | Deleted):
            if isinstance(push, Deleted) or push.state is not None or push.deleted:
                self._texts.pop((push.room, push.target), None)
        elif isinstance(push, Partial):
            return self._new(push)
        return push

    def know(self, messages: Iterable[Message]) -> None:
        """Take in messages that the application has."""
        for message in messages:
            key = message.room, message.seq
            if message.open:
                self._texts[key] = max(len(message.text), self._texts.get(key, 0))
                if len(self._texts) > MOST_TEXTS:
                    self._texts.popitem(last=False)
            else:
                self._texts.pop(key, None)

    def _new(self, push: Partial) -> Partial | None:
        key = push.room, push.seq
        have = self._texts.get(key)
        if have is None or push.at > have or push.at + len(push.text) <= have:
            return None
        self._texts[key] = push.at + len(push.text)
        text = push.text[have - push.at :]
        return Partial(room=push.room, seq=push.seq, at=have, text=text)


class OwnGrowing:
    """One's own growing messages of one client, to be told how they end."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], Growing] = {}

    def add(self, growing: Growing) -> None:
        """Have one be told."""
        self._open[growing.room, growing.seq] = growing

    def remove(self, growing: Growing) -> None:
        """Have it be told no more."""
        self._open.pop((growing.room, growing.seq), None)

    def ended(self, push: Edited | Deleted) -> None:
        """Take a push by which one may have ended."""
        state = push.state if isinstance(push, Edited) else "cancelled"
        growing = self._open.get((push.room, push.target))
        if growing is not None and state is not None:
            growing.ended(state)


class Growing:
    """A message of one's own that grows; made by `Client.grow`.

    ```python
    async with client.grow("general", reply_to=7) as out:
        await out.write("…")
    ```

    What is written goes out at most ten times a second, and waits out lost connections;
    where nothing is, the server is told now and then that its author is there.
    The message is `done` at the end of the block, and `cut` where an exception leaves
    it. Where somebody cancels it, the task is cancelled, as by `asyncio.timeout`, and
    the `async with` ends without an exception: `state` says how it has ended. Entering
    and leaving raise as `Client.send`.

    Attributes:
        room: Where it is.
        seq: Its place there; 0 before it has one.
        text: What was written so far.
        state: How it has ended; None while it grows.
    """

    def __init__(self, link: Link, writer: Writer, command: Send) -> None:
        self.room = command.room
        self.seq = 0
        self.text = command.text
        self.state: State | None = None
        self._link = link
        self._writer = writer
        self._command = command
        self._size_bytes = len(command.text.encode())
        self._sent = len(command.text)  # what the server has, in code points
        self._ending: State | None = None  # how it is to end
        self._unanswered = False  # whether an end went out and may have been written
        self._failed: Refused | None = None
        self._due = asyncio.Event()  # something is to be sent
        self._moved = asyncio.Event()  # something was
        self._sender: asyncio.Task[None] | None = None
        self._task: asyncio.Task[object] | None = None  # while it may be stopped
        self._stopped = False
        self._cancelling = 0  # cancellations of the task that are not ours

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a growing message is written in a task")
        sent = await self._writer.write(self._command, self._command.client_id)
        self.seq = sent.seq
        self._link.own_growing.add(self)
        self._sender = asyncio.create_task(self._send())
        self._task, self._cancelling = task, task.cancelling()
        return self

    async def write(self, text: str) -> None:
        """Add to the text. It waits only where much has not gone out yet.

        Raises:
            Refused: It is too large, or has ended.
            SendError: The client has ended.
        """
        self._check()
        size_bytes = self._size_bytes + len(text.encode())
        if size_bytes > self._link.max_message_bytes:
            raise Refused(error(Code.TOO_LARGE))
        self._size_bytes = size_bytes
        self.text += text
        self._due.set()
        await asyncio.sleep(0)
        while len(self.text) - self._sent > MOST_UNSENT and self.state is None:
            self._check()
            self._moved.clear()
            await self._moved.wait()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: object, _where: object
    ) -> bool:
        task, self._task = self._task, None  # from here on nobody stops us
        sender = self._sender
        try:
            if self.state is None and sender is not None:
                self._ending = "done" if exc_type is None else "cut"
                self._due.set()
                # What is whole waits out a lost connection, unless somebody cancels it.
                timeout = None if exc_type is None else CUT_SECONDS
                await asyncio.wait([sender], timeout=timeout)
        finally:
            if sender is not None:
                sender.cancel()
            self._link.own_growing.remove(self)
        if self._stopped and task is not None and task.uncancel() <= self._cancelling:
            return exc_type is not None and issubclass(exc_type, asyncio.CancelledError)
        if exc_type is None:
            self._raise()
        return False

    def ended(self, state: State) -> None:
        """Note that it has ended, and stop whoever writes, if that was not we."""
        if self.state is None:
            self.state = state
            self._due.set()
            self._moved.set()
            if self._task is not None:
                self._stopped = True
                self._task.cancel()

    def _check(self) -> None:
        """Raise what is in the way of more text."""
        if self._sender is None:
            raise RuntimeError("use `async with client.grow(…) as out`")
        self._raise()
        if self.state is not None:
            raise Refused(error(Code.NOT_GROWING))

    def _raise(self) -> None:
        if self._failed is not None:
            raise self._failed
        sender = self._sender
        if sender is not None and sender.done() and not sender.cancelled():
            ending = sender.exception()
            if ending is not None:
                raise ending

    # --- sending ---

    async def _send(self) -> None:
        """Send what is written, ten times a second at most, until it has ended."""
        try:
            while self.state is None and self._failed is None:
                if self._sent == len(self.text) and self._ending is None:
                    self._due.clear()
                    if await self._is_due_soon():
                        continue
                with suppress(Lost):
                    await self._append()
                    if self._ending is None:
                        await asyncio.sleep(APPEND_SECONDS)
        finally:
            self._moved.set()

    async def _is_due_soon(self) -> bool:
        """Wait for something to be sent; return False where nothing is for long."""
        try:
            async with asyncio.timeout(THERE_SECONDS):
                return await self._due.wait()
        except TimeoutError:
            return False

    async def _append(self) -> None:
        """Send the next part of the text; raises `Lost`."""
        connection = await self._link.connected()
        part = self.text[self._sent : self._sent + MOST_CHARACTERS]
        is_last = self._sent + len(part) == len(self.text)
        state = self._ending if is_last else None
        command = Append(
            room=self.room, seq=self.seq, at=self._sent, text=part, state=state
        )
        try:
            await connection.call(command)
        except Lost:
            self._unanswered = self._unanswered or state is not None
            raise
        except Refused as refusal:
            if refusal.code == Code.UNAVAILABLE:
                self._unanswered = self._unanswered or state is not None
            await self._refused(refusal)
        else:
            self._sent += len(part)
            self._moved.set()
            if state is not None:
                self.state = self.state or state

    async def _refused(self, refusal: Refused) -> None:
        at = refusal.error.at
        wait = wait_seconds(refusal.error)
        if refusal.code == Code.BAD_OFFSET and at is not None and at < self._sent:
            self._sent = at  # another process has not heard of the rest
        elif wait is not None:
            await asyncio.sleep(wait)
        elif refusal.code == Code.NOT_GROWING:
            # It was our own end, of which nobody knew; or somebody else has ended it.
            own = self._ending if self._unanswered else None
            self.ended(own or "cancelled")
        else:
            self._failed = refusal
            self._moved.set()
