"""Who acts: signed-in users, guests and the system.

An `Actor` has a key that is never null and never shown as a secret: `u:5` for a
user, `g:…` for a guest, `s:` for the system. A guest is a signed id and a name;
there is no row, and whoever presents the signed value again is the same guest.
"""

from __future__ import annotations

import secrets
import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from django.core import signing

from headgate.chat.profiles import has_profiles, profiles_of
from headgate.protocol.fields import MAX_GUEST_NAME
from headgate.protocol.pushes import Author

__all__ = [
    "SYSTEM",
    "Actor",
    "actor_for",
    "as_now",
    "author",
    "clean_name",
    "guest_token",
    "key_of",
    "new_guest",
]

Kind = Literal["user", "guest", "bot", "system", "deleted"]

_KINDS: dict[str, Kind] = {"u": "user", "g": "guest", "b": "bot", "s": "system"}
_GUEST_SALT = "headgate.guest"
_MAX_NAME = 150  # characters of a user's name, as the log keeps them


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who does something; `user` is None for guests and the system.

    `session` is a digest of the Django session that they came with, or empty:
    logging out of that session ends what was opened with it.
    """

    key: str
    name: str
    user: Any = None
    session: str = ""
    avatar_url: str | None = None

    @property
    def author(self) -> Author:
        """Return how others see this actor."""
        return author(self.key, self.name, self.avatar_url)


SYSTEM = Actor("s:", "")


@lru_cache(maxsize=4096)  # frozen, and asked for with each event
def author(key: str, name: str, avatar_url: str | None = None) -> Author:
    """Return the public author of a key and the name kept beside it."""
    return Author(key, _KINDS.get(key[:1], "deleted"), name, avatar_url)


def actor_for(who: Any) -> Actor:
    """Return the actor for a user object; an `Actor` is returned as it is.

    The name is what the project's `PROFILES` say, and without them the user's full
    name. A user name or an e-mail address is often what somebody signs in with, so
    neither is shown. With `PROFILES` it is not to be called on an event loop.

    Raises:
        TypeError: For None, an anonymous user, or an unsaved one.
        SynchronousOnlyOperation: On an event loop, where the project has `PROFILES`.
    """
    if isinstance(who, Actor):
        return who
    key, unnamed = key_of(who), f"User {who.pk}"
    if has_profiles():
        # Whom the project does not show is not shown by another name of theirs.
        profile = profiles_of([key]).get(key)
        if profile is None:
            return Actor(key, unnamed[:_MAX_NAME], who)
        name = clean_name(profile.name, _MAX_NAME) or unnamed
        return Actor(key, name[:_MAX_NAME], who, avatar_url=profile.avatar_url)
    full_name = getattr(who, "get_full_name", None)
    name = (full_name() if full_name is not None else "") or unnamed
    return Actor(key, name[:_MAX_NAME], who)


def key_of(who: Any) -> str:
    """Return the key of a user object or an `Actor`; raises `TypeError` for nobody."""
    if isinstance(who, Actor):
        return who.key
    if who is None or not getattr(who, "is_authenticated", False) or who.pk is None:
        raise TypeError(
            f"{who!r} is not somebody who can write: pass a saved user, "
            "headgate.chat.people.new_guest(name), or headgate.chat.people.SYSTEM.",
        )
    return f"u:{who.pk}"


def as_now(actor: Actor, user: Any) -> Actor:
    """Return an actor with their account, and their profile, as these are now."""
    if not has_profiles():
        return replace(actor, user=user)
    return replace(actor_for(user), session=actor.session)


def new_guest(name: str | None, token: str | None = None) -> Actor:
    """Return the guest of a token, with a new name if one is given, or a new guest.

    A token that was not signed here, or was signed with a secret that is gone,
    makes a new guest: the welcome tells the client who it is.
    """
    kept: dict[str, str] = {}
    if token:
        try:
            kept = signing.loads(token, salt=_GUEST_SALT)
        except signing.BadSignature:
            kept = {}
    key = kept.get("id") or secrets.token_hex(8)
    wanted = clean_name(name) or kept.get("name") or f"Guest {key[:4]}"
    return Actor(f"g:{key}", wanted)


def guest_token(guest: Actor) -> str:
    """Return what a guest presents to be the same guest again."""
    kept = {"id": guest.key.removeprefix("g:"), "name": guest.name}
    return signing.dumps(kept, salt=_GUEST_SALT)


def clean_name(name: str | None, longest: int = MAX_GUEST_NAME) -> str:
    """Return a name without what can hide or reorder text (controls, bidi marks)."""
    kept = (c for c in name or "" if unicodedata.category(c) not in {"Cc", "Cf", "Cs"})
    return " ".join("".join(kept).split())[:longest].rstrip()
