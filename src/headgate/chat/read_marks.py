"""Read marks, joined: of those that come within a second the last one is written.

Whoever scrolls through a room moves their mark with each message. Each move that asked
for a reply gets it once a mark at or past it is saved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from headgate.chat.entries import ReadMark, Verdict

__all__ = ["ReadMarks"]

JOINED_SECONDS = 1.0

Answer = Callable[[Verdict], Any]
Tell = Callable[[Verdict], None]


class _Waiting:
    """The marks of one room that wait to be written as one."""

    __slots__ = ("answers", "due", "mark", "tell")

    def __init__(self, mark: ReadMark, due: asyncio.TimerHandle, tell: Tell) -> None:
        self.mark = mark
        self.answers: list[Answer] = []
        self.due = due
        self.tell = tell


class ReadMarks:
    """The read marks of one connection.

    Args:
        submit: Takes a mark and what to do with the log's verdict.
        say: Says a reply to the client.
    """

    def __init__(
        self,
        submit: Callable[[ReadMark, Answer], None],
        say: Callable[[Any], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._submit = submit
        self._say = say
        # By room: until when the next mark waits, and what waits.
        self._quiet_until: dict[int, float] = {}
        self._waiting: dict[int, _Waiting] = {}

    def move(self, mark: ReadMark, answer: Answer, tell: Tell) -> None:
        """Write a mark now, or with those that come within the second.

        `answer` returns the reply to this one, and `tell` tells others of what was
        written: once, however many moves it was.
        """
        room_id = mark.room_id
        waiting = self._waiting.get(room_id)
        now = self._loop.time()
        quiet_until = self._quiet_until.get(room_id, 0.0)
        if waiting is None and now >= quiet_until:
            self._write(mark, [answer], tell)
            return
        if waiting is None:
            due = self._loop.call_at(quiet_until, self._write_waiting, room_id)
            waiting = self._waiting[room_id] = _Waiting(mark, due, tell)
        if mark.seq > waiting.mark.seq:
            waiting.mark = mark
        waiting.answers.append(answer)

    def close(self) -> None:
        """Write what waits: where somebody has read to is not lost with them."""
        for room_id in list(self._waiting):
            self._waiting[room_id].due.cancel()
            self._write_waiting(room_id)

    def _write_waiting(self, room_id: int) -> None:
        waiting = self._waiting.pop(room_id)
        self._write(waiting.mark, waiting.answers, waiting.tell)

    def _write(self, mark: ReadMark, answers: list[Answer], tell: Tell) -> None:
        now = self._loop.time()
        self._quiet_until = {
            room: until for room, until in self._quiet_until.items() if until > now
        }
        self._quiet_until[mark.room_id] = now + JOINED_SECONDS

        def answered(verdict: Verdict) -> Any:
            tell(verdict)
            for answer in answers[:-1]:
                said = answer(verdict)
                if said is not None:
                    self._say(said)
            return answers[-1](verdict)

        self._submit(mark, answered)
