"""Whose it is: what a request or a WebSocket is counted as.

Written as the chat writes it, so that who is refused there and here is the same
person: `{u:5}` for an account, `{192.0.2.7}` for an address. The braces put all that
is one person's into one slot of a Redis Cluster.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from headgate.contrib.shared import settings_in_force
from headgate.limits.address import address_key, client_address

__all__ = [
    "GivenKey",
    "KeyWord",
    "ScopeKey",
    "checked_key",
    "checked_result",
    "scope_address_key",
    "user_key",
]

KeyWord = Literal["user", "address", "connection"]
# A word, or a function of the scope or the request; whom it gives None is not limited.
GivenKey = KeyWord | Callable[[Any], str | None]


class ScopeKey:
    """Whose one WebSocket or request is.

    It is asked again for each message, so that who signs in during a connection is
    counted as themselves from then on.

    Args:
        key: By what it counts. `user` is the account of `scope["user"]`, and the
            address where nobody has signed in. A request over HTTP has no connection
            of its own: there `connection` is the address too.
        scope: The ASGI scope that the application is given.
    """

    __slots__ = ("_address", "_connection", "_key", "_scope")

    def __init__(self, key: GivenKey, scope: Mapping[str, Any]) -> None:
        self._key = key
        self._scope = scope
        self._address: str | None = None
        self._connection: str | None = None

    def __call__(self) -> str | None:
        """Return the key, or None for who is not limited."""
        return self.by(self._key)

    def by(self, key: GivenKey) -> str | None:
        """Return the key of another kind."""
        if callable(key):
            return checked_result(key, key(self._scope))
        if key == "user":
            found = user_key(self._scope.get("user"))
            if found is not None:
                return found
        elif key == "connection" and self._scope["type"] == "websocket":
            if self._connection is None:
                self._connection = f"{{c:{secrets.token_hex(8)}}}"
            return self._connection
        if self._address is None:
            self._address = scope_address_key(self._scope)
        return self._address


def user_key(user: Any) -> str | None:
    """Return the key of an account, or None where there is none.

    An account is what has a `pk`, or an `id`, and does not say that it is nobody's.
    """
    if user is None or not getattr(user, "is_authenticated", True):
        return None
    pk = getattr(user, "pk", None)
    if pk is None:
        pk = getattr(user, "id", None)
    return None if pk is None else f"{{u:{pk}}}"


def scope_address_key(scope: Mapping[str, Any]) -> str:
    """Return the key of a scope's address, seen through one's own proxies."""
    address = client_address(scope, settings_in_force().trusted_proxies)
    return f"{{{address_key(address)}}}"


def checked_key(key: Any, words: tuple[str, ...] = get_args(KeyWord)) -> GivenKey:
    """Return what to count by, as it was given.

    Raises:
        TypeError: It is a coroutine function.
        ValueError: It is nothing to count by.
    """
    if callable(key):
        if inspect.iscoroutinefunction(key):
            raise TypeError(f"key={key!r} must be a plain function, not an async one.")
        return key  # type: ignore[no-any-return] # what it returns is looked at
    if isinstance(key, str) and key in words:
        return key  # type: ignore[return-value] # it is one of the words
    raise ValueError(
        f"key={key!r}: write {', '.join(words)}, or give a function that returns "
        "a text, or None for who is not to be limited.",
    )


def checked_result(key: Callable[..., Any], found: Any) -> str | None:
    """Return what a function gave as a key.

    Raises:
        TypeError: It is neither a text nor None.
    """
    if found is None or isinstance(found, str):
        return found
    raise TypeError(
        f"The key function {key!r} returned {found!r}: a key is a text, such as "
        f"str({found!r}), or None for who is not to be limited.",
    )
