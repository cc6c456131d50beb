"""Who presents a token of ours in `Authorization: Bearer …`, over every door.

It is no cookie, which browsers send whatever page asks: so neither an Origin nor
CSRF's token has to come with it.
"""

from __future__ import annotations

from headgate.chat import storage
from headgate.chat.authenticators import Asked, NotAuthenticated
from headgate.chat.origin import header
from headgate.chat.people import Actor
from headgate.chat.token_people import people_of_token

__all__ = ["WrongToken", "actor_by_token"]

MAX_CHARACTERS = 256  # of a token; no longer one is looked up


class WrongToken(NotAuthenticated):
    """There is nobody with this token."""


async def actor_by_token(asked: Asked) -> Actor | None:
    """Return who is named by the token of a request or a scope, or None.

    Raises:
        WrongToken: There is a token of ours, and nobody has it.
        LogUnavailable: The database is away.
    """
    said = _said(asked)
    scheme, _, token = said.partition(" ")
    scheme, token = scheme.lower(), token.strip()
    # Who means to be somebody is nobody's guest.
    if scheme == "bearer" and not token:
        raise _wrong("There is no token after Bearer.")
    people = people_of_token(token) or people_of_token(said.strip())
    if people is None:
        return None
    if scheme != "bearer":
        text = f"A token stands after Bearer: Authorization: Bearer {people.prefix}…"
        raise _wrong(text)
    found = None
    if len(token) <= MAX_CHARACTERS:
        found = await storage.read(people.by_token, token)
    if found is None:
        raise _wrong("This token is not known, or its bot is disabled.")
    return found


def _wrong(text: str) -> WrongToken:
    return WrongToken(text, challenge='Bearer realm="headgate"')


def _said(asked: Asked) -> str:
    if hasattr(asked, "headers"):
        return str(asked.headers.get("Authorization", ""))
    return next(iter(header(asked, b"authorization")), "")
