"""People whom another app knows by a token of its own, such as bots.

What they may, and how often, goes by their key, as for those who have an account. How
a token is presented says `headgate.chat.bearer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headgate.chat.people import Actor

__all__ = [
    "TokenPeople",
    "is_known_by_token",
    "is_still_good",
    "know",
    "people_of_token",
    "takes_tokens",
]


@dataclass(frozen=True, slots=True)
class TokenPeople:
    """Some people, and how they are known; the functions ask the database.

    Attributes:
        prefix: With which their tokens begin.
        keys: With which their keys begin, such as `b:`.
        by_token: Returns whose token it is, or None.
        is_good: Returns whether somebody who came in by a token would now, too.
    """

    prefix: str
    keys: str
    by_token: Callable[[str], Actor | None]
    is_good: Callable[[Actor], bool]


_known: dict[str, TokenPeople] = {}


def know(people: TokenPeople) -> None:
    """Know these people from now on."""
    _known[people.keys] = people


def takes_tokens() -> bool:
    """Return whether anybody is known by a token here."""
    return bool(_known)


def people_of_token(token: str) -> TokenPeople | None:
    """Return whose kind of token it is, whether or not anybody has it."""
    found = (each for each in _known.values() if token.startswith(each.prefix))
    return next(found, None)


def is_known_by_token(key: str) -> bool:
    """Return whether a key is that of people who come in by a token."""
    return key[:2] in _known


def is_still_good(actor: Actor) -> bool:
    """Return whether somebody who came in by a token may still be there.

    Of whoever is known by something else it says nothing: True. Asks the database.
    """
    people = _known.get(actor.key[:2])
    return people is None or people.is_good(actor)
