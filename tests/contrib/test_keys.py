"""Whose it is, from a scope."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from headgate.contrib.keys import ScopeKey, user_key
from headgate.limits import Limiter
from tests.contrib.sockets import ws_scope


@pytest.mark.parametrize(
    ("user", "key"),
    [
        (None, None),
        (SimpleNamespace(is_authenticated=True, pk=5), "{u:5}"),
        (SimpleNamespace(is_authenticated=False, pk=None), None),
        (SimpleNamespace(is_authenticated=True, pk=None), None),
        (SimpleNamespace(id="a-b"), "{u:a-b}"),
        (SimpleNamespace(username="ada", is_authenticated=True), None),
    ],
)
def test_accounts(user: Any, key: str | None) -> None:
    assert user_key(user) == key


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (("192.0.2.7", 1), "{192.0.2.7}"),
        (("2001:db8::1", 1), "{2001:db8::/64}"),
        (None, "{-}"),
    ],
)
def test_addresses(client: Any, key: str, limiter: Limiter) -> None:
    assert ScopeKey("user", ws_scope(client=client))() == key


def test_each_connection_is_its_own() -> None:
    first, second = (ScopeKey("connection", ws_scope()) for _ in range(2))
    assert first() == first()
    assert first() != second()
