"""One `headgate tail` from beginning to end: watch, show, say, leave.

It is over when the server ends it, when the user leaves, when nobody reads stdout any
more, or when all that a pipe said is saved.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Protocol

from headgate.client import (
    Client,
    ClientError,
    ClosedByServer,
    Push,
    Refused,
    RoomLost,
    State,
    Status,
)
from headgate.client.cookies import pairs_of
from headgate.protocol.pushes import Author, Reset
from headgate.server.exits import EXIT_FAULTS
from headgate.server.tail_keyboard import QUIT, Editor, keys
from headgate.server.tail_lines import Lines
from headgate.server.tail_piped import piped_lines
from headgate.server.tail_screen import Screen
from headgate.server.tail_text import harmless, in_short

__all__ = ["Session"]

MAX_SENDING = 100  # messages of ours that wait to be acknowledged
_TICK_SECONDS = 0.25
_SEEN_SECONDS = 2.0  # how long the last message of a pipe may take to come back
_LEAVING = ("SIGINT", "SIGTERM", "SIGHUP")
_NOT_TAKEN = (
    "HEADGATE_COOKIE was not taken, so you are a guest: is it of this server, and "
    "still signed in?"
)


class View(Protocol):
    """What shows the room."""

    def show(self, push: Push) -> None:
        """Show a push; raises `BrokenPipeError` when nobody reads any more."""

    def note(self, text: str) -> None:
        """Say something that is no part of the room."""

    def state(self, state: State, user: Author | None) -> None:
        """Say what becomes of the connection."""

    def close(self) -> None:
        """Show nothing any more."""


class Session:
    """A room that is watched.

    Args:
        url: The server.
        room: What is watched, and where lines go.
        name: The name that a guest wants.
        cookie: `name=value` pairs that say who we are; empty for a guest.
        history: How many messages from before are shown.
        as_json: Whether pushes are printed as JSON.

    Raises:
        ValueError: The URL, the room or the cookie is none.
    """

    def __init__(
        self,
        *,
        url: str,
        room: str,
        name: str | None,
        cookie: str,
        history: int,
        as_json: bool,
    ) -> None:
        if cookie and "=" not in cookie:
            raise ValueError("HEADGATE_COOKIE is no cookie: sessionid=…")
        self._said_who = bool(cookie)
        self._client = Client(
            url,
            rooms=[room],
            name=name,
            cookies=pairs_of(cookie),
            on_state=self._on_state,
        )
        self._room = room
        self._history = history
        self._as_json = as_json
        self._editor = Editor()
        self._view: View = Lines(as_json=as_json)
        self._over = asyncio.Event()
        self._shown = asyncio.Event()
        self._watched = asyncio.Event()
        self._shown_seq = self._saved_seq = 0
        self._failed = False  # something that was said was not saved
        self._places = asyncio.Semaphore(MAX_SENDING)
        self._sending: set[asyncio.Task[int | None]] = set()

    async def run(self) -> int:
        """Go on until it is over; return the exit code."""
        why: str | None = None
        with ExitStack() as stack:
            tasks = self._begin(stack)
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                unsent = len(self._client.outbox)
            finally:
                await self._end(tasks)
            with suppress(BrokenPipeError):
                found = [each.result() for each in done]
                why = next((each for each in found if each), None)
        if why is None and unsent:
            why = f"not acknowledged when you left: {unsent} of your messages"
        if why is not None:
            print(f"headgate tail: {harmless(why)}", file=sys.stderr)
        return EXIT_FAULTS if self._failed else 0

    def _begin(self, stack: ExitStack) -> list[asyncio.Task[str | None]]:
        """Start what goes on until one of it ends, with why it is no good end."""
        on_screen = sys.stdout.isatty() and not self._as_json
        by_hand = sys.stdin is not None and sys.stdin.isatty()
        can_type = on_screen and by_hand and sys.platform != "win32"
        begun = [asyncio.create_task(_ends_well(self._over))]
        if on_screen:
            screen = Screen(
                self._room,
                lambda: self._client.outbox,
                (lambda: self._editor.line) if can_type else None,
            )
            self._view = screen
            begun.append(asyncio.create_task(_tick(screen)))
        stack.callback(self._view.close)
        if can_type:
            stack.enter_context(keys(sys.stdin.fileno(), self._on_typed))
        _on_signals(stack, self._over.set)
        _on_unread(stack, self._over.set)
        begun.append(asyncio.create_task(self._watch()))
        if sys.stdin is not None and not by_hand:
            begun.append(asyncio.create_task(self._say_lines(sys.stdin.fileno())))
        return begun

    async def _end(self, tasks: list[asyncio.Task[str | None]]) -> None:
        everything = [*tasks, *self._sending]
        for each in everything:
            each.cancel()
        await asyncio.wait(everything)
        await self._client.close()

    # --- watching ---

    async def _watch(self) -> str | None:
        """Show what there is and what comes; return why it ended."""
        client, room = self._client, self._room
        try:
            await client.open()
            joined = await client.join(room)
            await self._show_history((joined.head or 0) + 1)
            self._watched.set()
            async for push in client:
                self._show(push)
                if isinstance(push, RoomLost):
                    self._failed = True
                    return f"{room}: no longer in the room: {push.error.text}"
                if isinstance(push, Reset):
                    await self._show_history(push.head + 1)
        except ClientError as ended:
            self._failed = True
            return f"{room}: {_reason(ended)}"
        return None

    async def _show_history(self, before: int) -> None:
        """Show the last messages before a seq, unless that is not for us."""
        if not self._history:
            return
        try:
            page = await self._client.history(
                self._room, before=before, limit=self._history
            )
        except Refused as refused:
            self._view.note(f"what was said before is not shown: {refused.text}")
        else:
            for message in page.messages:
                self._show(message)

    def _show(self, push: Push) -> None:
        self._view.show(push)
        self._shown_seq = max(self._shown_seq, getattr(push, "seq", 0))
        self._shown.set()

    def _on_state(self, state: State) -> None:
        user = self._client.user
        self._view.state(state, user)
        if state.status is Status.ONLINE and user is not None and self._said_who:
            self._said_who = False
            if user.kind == "guest":
                self._view.note(_NOT_TAKEN)

    # --- saying ---

    async def _say_lines(self, descriptor: int) -> str | None:
        """Say each line of a pipe; return when all are saved, if there were any."""
        # What is said before the room is watched would not be shown here.
        await self._watched.wait()
        are_any = False
        async for line in piped_lines(descriptor):
            if line.strip():
                are_any = True
                await self._places.acquire()
                self._send_soon(line, self._line_done)
        if not are_any:  # such as </dev/null: the room is to be watched
            await self._over.wait()
            return None
        while self._sending:
            await asyncio.wait(self._sending)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SEEN_SECONDS):
                while self._shown_seq < self._saved_seq:
                    self._shown.clear()
                    await self._shown.wait()
        return None

    def _line_done(self, sending: asyncio.Task[int | None]) -> None:
        self._places.release()
        if not sending.cancelled() and sending.result() is None:
            self._failed = True

    def _send_soon(
        self,
        text: str,
        on_done: Callable[[asyncio.Task[int | None]], None] | None = None,
    ) -> None:
        sending = asyncio.create_task(self._send(text))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        if on_done is not None:
            sending.add_done_callback(on_done)

    async def _send(self, text: str) -> int | None:
        """Send a message in its turn; return its seq, or None where that failed."""
        try:
            sent = await self._client.send(self._room, text)
        except ClientError as why:
            self._view.note(f"not sent: “{in_short(text)}”: {_reason(why)}")
            return None
        self._saved_seq = max(self._saved_seq, sent.seq)
        return sent.seq

    def _on_typed(self, typed: str) -> None:
        """Take in keys."""
        before = self._editor.line
        for line in self._editor.feed(typed):
            if line.strip() == QUIT:
                self._over.set()
            elif line.strip():
                self._send_soon(line)
        if self._editor.line not in {before, ""}:
            with suppress(ClientError):  # it has ended; that is told elsewhere
                self._client.typing(self._room)
        self._view.state(self._client.state, self._client.user)


def _reason(error: ClientError) -> str:
    """Return what the server said, for people, or else what happened."""
    said = error.error if isinstance(error, ClosedByServer | Refused) else None
    return str(error) if said is None else said.text


async def _tick(screen: Screen) -> str | None:
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        screen.tick()


async def _ends_well(over: asyncio.Event) -> str | None:
    await over.wait()
    return None


def _on_signals(stack: ExitStack, leave: Callable[[], None]) -> None:
    """Leave in good order when told to."""
    loop = asyncio.get_running_loop()
    for name in _LEAVING:
        number = getattr(signal, name, None)
        if number is None:
            continue
        try:
            loop.add_signal_handler(number, leave)
        except NotImplementedError:  # Windows: KeyboardInterrupt ends it
            return
        stack.callback(loop.remove_signal_handler, number)


def _on_unread(stack: ExitStack, leave: Callable[[], None]) -> None:
    """Leave when whoever reads our stdout has gone, and not only at the next line."""
    if sys.platform == "win32":
        return
    try:
        descriptor = sys.stdout.fileno()
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except (OSError, ValueError):
        return
    if is_pipe:
        # Of the end that is written to, the only news is that the other is closed.
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, leave)
        stack.callback(loop.remove_reader, descriptor)
