"""Where the chat is, under whatever prefix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import RequestFactory
from django.urls import get_script_prefix, set_script_prefix
from pytest_django import Settings

from headgate.chat.http.places import SOCKET, STREAM, path_in_project, place, socket_url


@pytest.fixture
def prefix() -> Iterator[None]:
    """A server that serves the project below /prefix/."""
    before = get_script_prefix()
    set_script_prefix("/prefix/")
    yield
    set_script_prefix(before)


def test_places_are_those_of_the_urls() -> None:
    assert place(SOCKET) == "/ws/chat/"
    assert place(STREAM) == "/api/v1/stream"


def test_below_an_include(settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.chat.http.connecting_urls"

    assert place(SOCKET) == "/sub/ws/chat/"
    assert place(STREAM) == "/sub/api/v1/stream"


def test_a_project_that_mounts_the_websocket_alone(settings: Settings) -> None:
    settings.ROOT_URLCONF = "django.contrib.auth.urls"

    assert place(SOCKET) == "/ws/chat/"
    assert place(STREAM) == "/api/v1/stream"


def test_a_place_is_one_of_the_project(prefix: None) -> None:
    assert place(SOCKET) == "/ws/chat/"


@pytest.mark.parametrize(
    ("path", "root_path", "forced", "found"),
    [
        ("/ws/chat/", "", None, "/ws/chat/"),
        ("/prefix/ws/chat/", "/prefix", None, "/ws/chat/"),
        ("/prefix/ws/chat/", "/prefix/", None, "/ws/chat/"),
        ("/forced/ws/chat/", "", "/forced", "/ws/chat/"),
        ("/prefix", "/prefix", None, "/"),
    ],
)
def test_paths_without_what_the_server_puts_before_them(
    settings: Settings, path: str, root_path: str, forced: str | None, found: str
) -> None:
    settings.FORCE_SCRIPT_NAME = forced

    assert path_in_project({"path": path, "root_path": root_path}) == found


@pytest.mark.parametrize("secure", [False, True])
def test_the_url_is_absolute(prefix: None, rf: RequestFactory, *, secure: bool) -> None:
    scheme = "wss" if secure else "ws"

    url = socket_url(rf.get("/", secure=secure))

    assert url == f"{scheme}://testserver/prefix/ws/chat/"
