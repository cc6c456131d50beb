"""The room as lines for programs: plain text, or one JSON object per push.

Nothing but that goes to stdout; what there is to say of the connection goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress

import msgspec

from headgate.client import Push, RoomLost, State, Status, UnknownEvent
from headgate.protocol.pushes import Author
from headgate.server.tail_growing import GrowingLines
from headgate.server.tail_text import harmless, line_of, notice_of, state_in_words

__all__ = ["Lines"]


class Lines:
    """Prints each push on a line of its own.

    Args:
        as_json: Whether as JSON.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._last_said = ""
        self._is_away = False
        self._growing = GrowingLines()

    def show(self, push: Push) -> None:
        """Print a push; raises `BrokenPipeError` when nobody reads any more."""
        if self._as_json:
            if not isinstance(push, RoomLost):
                _print(_json_of(push))
            return
        if not self._growing.take(push):
            return
        line = line_of(push)
        if line is not None:
            said = " ".join(part for part in (line.what, line.text) if part)
            name = harmless(line.author.name)
            _print(f"{_to_the_second(line.at)}  {name}  {harmless(said)}")
        elif (notice := notice_of(push)) is not None:
            self.note(notice)

    def note(self, text: str) -> None:
        """Say something that is no part of the room."""
        with suppress(BrokenPipeError):  # nobody reads that either
            print(f"headgate tail: {harmless(text)}", file=sys.stderr, flush=True)

    def state(self, state: State, user: Author | None) -> None:
        """Say what becomes of the connection, once for each change."""
        if state.status is Status.CLOSED:
            return  # whoever ends says why
        if state.status is Status.CONNECTING and self._is_away:
            return  # that there is a try was said before it
        self._is_away = state.status is Status.WAITING
        said = state_in_words(state, time.monotonic())
        if state.status is Status.ONLINE and user is not None:
            said = f"{said} as {user.name}"
        elif state.status is Status.WAITING:
            said = f"{said} ({state.reason})"
        if said != self._last_said:
            self._last_said = said
            self.note(said)

    def close(self) -> None:
        """Let go of stdout, so that nothing fails while the program ends."""
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def _json_of(push: Push) -> str:
    """Return a push as it came, in ASCII: a terminal may be reading it after all."""
    if isinstance(push, UnknownEvent):
        return json.dumps(push.raw)
    return json.dumps(msgspec.to_builtins(push))


def _print(line: str) -> None:
    print(line, flush=True)


def _to_the_second(at: str) -> str:
    """Return a time of the wire without its milliseconds."""
    seconds, point, _ = harmless(at).partition(".")
    return f"{seconds}Z" if point else seconds
