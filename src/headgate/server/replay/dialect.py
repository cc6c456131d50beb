"""Any other chat that speaks JSON: how to say something there, and find it again.

A dialect is the JSON that a client of that chat sends, with `$text` where the text
goes. Each text begins with a mark that names the run and the message. It is looked
for in whatever the chat sends, wherever it stands there, so that nothing needs to be
known about the chat's own messages.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from headgate.server.replay.texts import make_text

__all__ = ["BadDialect", "Dialect", "MarkReader", "marked_text"]

_NAMES = re.compile(r"\$(text|client_id|author|room)\b")
_MOST_KNOWN = 100_000  # payloads remembered; a chat may say much that is not ours


class BadDialect(Exception):  # noqa: N818 - it is an answer to the user
    """A dialect that cannot be used."""


class Dialect:
    """A template for what is sent."""

    def __init__(self, template: str) -> None:
        """Take the template as the user wrote it; raises `BadDialect`."""
        try:
            self._template: Any = json.loads(template)
        except (ValueError, RecursionError) as exc:
            raise BadDialect(f"The dialect is not JSON: {exc}.") from exc
        if "$text" not in set(_strings(self._template)):
            raise BadDialect(
                'The dialect has no value "$text" to say where the text goes; '
                """an example that has: '{"message": "$text"}'."""
            )

    def message(self, *, text: str, client_id: str, author: int, room: str) -> bytes:
        """Return what is sent for a message."""
        names = {
            "text": text,
            "client_id": client_id,
            "author": str(author),
            "room": room,
        }
        return msgspec.json.encode(_filled(self._template, names))


def _strings(value: Any) -> list[str]:
    """Return every string value, and the names that are inside of one."""
    if isinstance(value, str):
        return [match.group() for match in _NAMES.finditer(value)]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [found for item in value for found in _strings(item)]
    return []


def _filled(value: Any, names: dict[str, str]) -> Any:
    """Return a template with the names replaced, once each."""
    if isinstance(value, str):
        return _NAMES.sub(lambda match: names[match.group(1)], value)
    if isinstance(value, dict):
        return {key: _filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    return value


def marked_text(run: str, author: int, row: int, size_bytes: int) -> str:
    """Return a text that begins with its mark; longer only if the mark needs it."""
    mark = f"hg{run}a{author}r{row}z"
    left = size_bytes - len(mark) - 1
    return f"{mark} {make_text(row, left)}" if left > 0 else mark


class MarkReader:
    """Finds the marks of one run in what a chat sends.

    Attributes:
        altered: Rows whose mark came with another text than was sent.
    """

    def __init__(self, run: str, texts: list[str]) -> None:
        self.altered: set[int] = set()
        self._mark = re.compile(rb"hg%ba\d+r(\d+)z" % run.encode())
        self._texts = texts
        self._known: dict[bytes, tuple[int, ...]] = {}

    def rows(self, payload: bytes) -> tuple[int, ...]:
        """Return which messages of this run, with their own text, are in a payload."""
        known = self._known.get(payload)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[payload] = self._read(payload)
        return known

    def _read(self, payload: bytes) -> tuple[int, ...]:
        """Find the marks, and the texts around them."""
        found = [int(digits) for digits in self._mark.findall(payload)]
        rows = [row for row in found if 0 <= row < len(self._texts)]
        if not rows:
            return ()
        try:
            said = list(_values(msgspec.json.decode(payload)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            said = [payload.decode("utf-8", "replace")]
        right = []
        for row in rows:
            text = self._texts[row]
            if any(text in value for value in said):
                right.append(row)
            else:
                self.altered.add(row)
        return tuple(right)


def _values(value: Any) -> list[str]:
    """Return every string value in JSON."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [found for item in value for found in _values(item)]
    return []
