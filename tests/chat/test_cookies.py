"""`signed_in` says what Channels' own layers say, and asks them only where it must."""

from __future__ import annotations

from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from pytest_django import Settings

from headgate.chat.cookies import signed_in
from tests.chat.talker import in_thread, session_of

pytestmark = pytest.mark.django_db(transaction=True)


def scope_of(*cookies: str, **more: Any) -> dict[str, Any]:
    headers = [(b"host", b"testserver"), *((b"cookie", c.encode()) for c in cookies)]
    return {"type": "websocket", "headers": headers, "path": "/", **more}


async def by_channels(scope: dict[str, Any]) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    async def take(scope: dict[str, Any], _receive: Any, _send: Any) -> None:
        found.append(scope)

    await AuthMiddlewareStack(take)(scope, None, None)
    return found[0]


def known(scope: dict[str, Any]) -> tuple[Any, ...]:
    """Return what anybody asks of a scope."""
    user, session = scope["user"], scope["session"]
    return (
        scope["cookies"],
        user.pk,
        user.is_authenticated,
        user.is_anonymous,
        session.session_key,
        dict(session.items()),
    )


@pytest.mark.parametrize(
    "cookies",
    [
        (),
        ("",),
        ("csrftoken=abc",),
        ("csrftoken=abc; theme=dark", "sessionid=of-a-second-header"),
        ("sessionid=unknown",),
        ("sessionid=",),
        ("sessionid=\xff\x00",),
    ],
)
async def test_nobody_is_nobody_as_ever(cookies: tuple[str, ...]) -> None:
    found = await signed_in(scope_of(*cookies))

    expected = await in_thread(known, await by_channels(scope_of(*cookies)))
    assert await in_thread(known, found) == expected


async def test_whoever_is_signed_in_is_known(ada: User) -> None:
    key = await in_thread(session_of, ada)

    found = await signed_in(scope_of(f"theme=dark; sessionid={key}"))

    assert found["user"] == ada
    assert found["session"].session_key == key
    assert found["path"] == "/"


async def test_the_cookie_has_the_projects_name(ada: User, settings: Settings) -> None:
    key = await in_thread(session_of, ada)
    settings.SESSION_COOKIE_NAME = "other"

    assert (await signed_in(scope_of(f"sessionid={key}")))["user"].is_anonymous
    assert (await signed_in(scope_of(f"other={key}")))["user"] == ada


async def test_without_a_session_nobody_is_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("somebody was looked up")

    monkeypatch.setattr("channels.auth.get_user", never)

    found = await signed_in(scope_of("csrftoken=abc"))

    assert isinstance(found["user"], AnonymousUser)
    assert isinstance(found["session"], SessionBase)


async def test_what_layers_above_have_found_is_kept(ada: User) -> None:
    session = (await signed_in(scope_of()))["session"]

    found = await signed_in(scope_of(session=session))

    assert found["session"] is session
    assert found["user"].is_anonymous
