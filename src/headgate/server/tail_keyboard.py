"""The line that somebody types: what keys do to it, and where keys come from."""

from __future__ import annotations

import asyncio
import codecs
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["QUIT", "Editor", "keys"]

QUIT = "/quit"
MAX_LINE_CHARACTERS = 4000

# An arrow, a function key, the mouse: none of them does anything here.
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\[O])")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")
_MAX_UNFINISHED = 32


class Editor:
    """A line that grows with keys.

    Attributes:
        line: What has been typed and not been entered.
    """

    def __init__(self) -> None:
        self.line = ""
        self._unfinished = ""

    def feed(self, typed: str) -> list[str]:
        """Take in keys and return the lines that were entered; `QUIT` among them."""
        text = _SEQUENCE.sub("", self._unfinished + typed)
        found = _UNFINISHED.search(text)
        self._unfinished = ""
        if found is not None:
            text = text[: found.start()]
            if len(found.group()) < _MAX_UNFINISHED:
                self._unfinished = found.group()
        entered = []
        for key in text:
            line = self._press(key)
            if line is not None:
                entered.append(line)
        return entered

    def _press(self, key: str) -> str | None:
        """Take in one key; return the line if that enters it."""
        match key:
            case "\r" | "\n":
                line, self.line = self.line, ""
                return line
            case "\x04" if not self.line:  # Ctrl-D
                return QUIT
            case "\x7f" | "\b":
                self.line = self.line[:-1]
            case "\x15":  # Ctrl-U
                self.line = ""
            case "\x17":  # Ctrl-W
                self.line = self.line.rstrip().rpartition(" ")[0]
                self.line += " " if self.line else ""
            case "\t":
                self._add(" ")
            case _ if key.isprintable():
                self._add(key)
        return None

    def _add(self, text: str) -> None:
        if len(self.line) < MAX_LINE_CHARACTERS:
            self.line += text


@contextmanager
def keys(descriptor: int, on_typed: Callable[[str], None]) -> Iterator[None]:
    """Give each key of a terminal as it is pressed; an end of it is Ctrl-D.

    The terminal is as it was afterwards. After it was stopped by Ctrl-Z and goes on,
    keys come again.
    """
    import signal
    import termios
    import tty

    loop = asyncio.get_running_loop()
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    before = termios.tcgetattr(descriptor)

    def ready() -> None:
        try:
            typed = os.read(descriptor, 4096)
        except OSError:
            typed = b""
        if not typed:
            loop.remove_reader(descriptor)
        on_typed(decode(typed) if typed else "\x15\x04")

    def go_on() -> None:
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        on_typed("")

    tty.setcbreak(descriptor, termios.TCSADRAIN)
    loop.add_reader(descriptor, ready)
    loop.add_signal_handler(signal.SIGCONT, go_on)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGCONT)
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
