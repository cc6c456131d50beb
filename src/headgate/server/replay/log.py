"""Reading the log back: what the server itself says that it kept.

A connection of its own asks for the head before the run, and a fresh one reads
everything from there to the end afterwards, page by page.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headgate.server.replay import words
from headgate.server.replay.judge import Answer, Event
from headgate.server.replay.link import Link
from headgate.server.replay.wire import OpeningFailed

if TYPE_CHECKING:
    from headgate.server.replay.judge import Judge
    from headgate.server.replay.tally import Tally
    from headgate.server.replay.wire import Target

__all__ = ["LogReader", "read_log"]

_ANSWER_SECONDS = 30.0


class LogReader(Link):
    """A connection that asks one thing after the other."""

    def __init__(self, target: Target, tally: Tally, judge: Judge) -> None:
        super().__init__(target, tally)
        self._judge = judge
        self._reply: asyncio.Future[Answer] | None = None
        self._last_id = 1
        self.head = 0

    def greet(self) -> None:
        """Say hello."""
        self.send(words.hello("replay"))

    def heard(self, payload: bytes) -> None:
        """Take a reply; pushes are for watchers."""
        answer = self._judge.read(payload)
        if not isinstance(answer, Answer):
            return
        if answer.push == "welcome":
            self.send(words.join(self._judge.room))
        elif answer.error is not None:
            said = f"{answer.error.code} {answer.error.text}".strip()
            self.give_up(f"The server refused: {said}", barred=True)
        elif answer.reply == 1 and answer.head is not None:
            self.head = answer.head
            self.ready()
        elif answer.reply == self._last_id:
            self._resolve(answer)

    def _resolve(self, answer: Answer) -> None:
        """Hand over what was waited for."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(answer)

    def lost(self) -> None:
        """Fail what is waited for."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(OpeningFailed(self.failure))

    async def page(self, after: int) -> Answer:
        """Return a page of the messages after a seq."""
        if not self.is_ready:
            raise OpeningFailed(self.failure)
        self._last_id += 1
        self._reply = asyncio.get_running_loop().create_future()
        self.send(words.history(self._judge.room, self._last_id, after))
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await self._reply


async def read_log(
    target: Target, tally: Tally, judge: Judge, *, after: int
) -> tuple[list[Event], int]:
    """Return the log's messages after a seq, and its head; tries until cancelled."""
    while True:
        reader = LogReader(target, tally, judge)
        try:
            await reader.connect()
            return await _read_pages(reader, tally, judge, after)
        except (OSError, OpeningFailed) as exc:
            if reader.barred:
                tally.problem(f"The log could not be read: {exc}")
                raise
            await asyncio.sleep(0.2)
        finally:
            reader.stop()


async def _read_pages(
    reader: LogReader, tally: Tally, judge: Judge, after: int
) -> tuple[list[Event], int]:
    """Read page after page, up to the head that the first page tells."""
    log: list[Event] = []
    head: int | None = None
    while True:
        page = await reader.page(after)
        if head is None:
            head = page.head if page.head is not None else reader.head
        messages = page.messages or []
        tally.progress += 1
        log += [Event(m.seq, judge.row_of(m.client_id, m.text)) for m in messages]
        furthest = max((m.seq for m in messages), default=after)
        if furthest <= after or furthest >= head:
            return log, head
        after = furthest
