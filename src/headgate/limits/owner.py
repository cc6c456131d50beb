"""Whose a key is: the part in braces, or where there are none all of it.

One person has many keys: `{u:5}` everywhere, `{u:5}/general` in a room, `{u:5}#3` on a
connection. People name the person, and mean all of them.
"""

from __future__ import annotations

__all__ = ["is_meant", "owner_of", "place_of"]


def owner_of(key: str) -> str:
    """Return whose a key is, such as `u:5` of `{u:5}/general`."""
    return _parts(key)[1]


def place_of(key: str) -> str:
    """Return where a key counts: `/general` of `{u:5}/general`, or an empty text."""
    before, _, after = _parts(key)
    return before + after


def is_meant(asked: str, key: str) -> bool:
    """Return whether somebody who asks for `asked` means a key.

    `u:5` and `{u:5}` mean all keys of that person, `{u:5}/general` that one alone.
    """
    before, owner, after = _parts(asked)
    return asked == key if before or after else owner == owner_of(key)


def _parts(key: str) -> tuple[str, str, str]:
    """Return what stands before the braces, in them and after them."""
    before, opening, rest = key.partition("{")
    owner, closing, after = rest.partition("}")
    if not opening or not closing or not owner:
        return "", key, ""
    return before, owner, after
