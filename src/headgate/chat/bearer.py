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
    token = _bearer(asked)
    people = people_of_token(token)
    if people is None:
        return None
    found = None
    if len(token) <= MAX_CHARACTERS:
        found = await storage.read(people.by_token, token)
    if found is None:
        text = "This token is not known, or its bot is disabled."
        raise WrongToken(text, challenge='Bearer realm="headgate"')
    return found


def _bearer(asked: Asked) -> str:
    if hasattr(asked, "headers"):
        said = asked.headers.get("Authorization", "")
    else:
        said = next(iter(header(asked, b"authorization")), "")
    scheme, _, token = said.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
