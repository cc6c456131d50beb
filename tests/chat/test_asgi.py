"""`with_chat`: one application, under whatever prefix the project has."""

from __future__ import annotations

import gc
import types
import weakref
from typing import Any

import pytest
from channels.routing import ProtocolTypeRouter
from channels.testing import ApplicationCommunicator
from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from django.urls import include, path
from pytest_django import Settings

from headgate.asgi import with_chat
from headgate.chat.consumer import ChatConsumer
from headgate.chat.engine import Engine, started_engine
from headgate.chat.http.places import SOCKET, place
from headgate.chat.models import Room

RESPONSE = "websocket.http.response"

pytestmark = pytest.mark.django_db(transaction=True)


def urlconf(prefix: str) -> Any:
    module: Any = types.ModuleType("urls_of_a_project")
    module.urlpatterns = [path(prefix, include("headgate.urls"))]
    return module


def handshake(path: str, root_path: str = "") -> dict[str, Any]:
    return {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "path": path,
        "raw_path": path.encode(),
        "root_path": root_path,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
        "subprotocols": [],
        "client": ("127.0.0.1", 5000),
        "server": ("testserver", 80),
        "scheme": "ws",
        "extensions": {},
    }


async def answer(scope: dict[str, Any], beside: Any = None) -> dict[str, Any]:
    """Return what a handshake is answered with, and leave."""
    application = with_chat(beside or get_asgi_application())
    talk = ApplicationCommunicator(application, scope)
    await talk.send_input({"type": "websocket.connect"})
    found: dict[str, Any] = await talk.receive_output(5)
    if found["type"] == "websocket.accept":
        await talk.send_input({"type": "websocket.disconnect", "code": 1001})
    await talk.wait(5)
    return found


@pytest.mark.parametrize(
    ("prefix", "force", "root_path", "asked"),
    [
        ("", None, "", "/ws/chat/general/"),
        ("sub/", None, "", "/sub/ws/chat/general/"),
        ("a/b/", None, "", "/a/b/ws/chat/general/"),
        ("", None, "/app", "/app/ws/chat/general/"),
        ("sub/", None, "/app", "/app/sub/ws/chat/general/"),
        ("sub/", "/app", "", "/app/sub/ws/chat/general/"),
        ("", "/app/", "", "/app/ws/chat/general/"),
        # A proxy that takes the prefix away before it passes the request on.
        ("", "/app", "", "/ws/chat/general/"),
    ],
)
async def test_the_socket_is_where_the_project_mounts_it(
    settings: Settings,
    chat: Engine,
    room: Room,
    prefix: str,
    force: str | None,
    root_path: str,
    asked: str,
) -> None:
    settings.HEADGATE = {"GUESTS": True}
    settings.ROOT_URLCONF = urlconf(prefix)
    settings.FORCE_SCRIPT_NAME = force
    assert (await answer(handshake(asked, root_path)))["type"] == "websocket.accept"


@pytest.mark.parametrize(
    "asked", ["/", "/elsewhere/", "/ws/chat/general/", "/sub/ws/chat/a/b/"]
)
async def test_another_path_is_refused(
    settings: Settings, chat: Engine, asked: str
) -> None:
    settings.ROOT_URLCONF = urlconf("sub/")
    found = await answer(handshake(asked))
    assert found["type"] == "websocket.close"


async def refusal(scope: dict[str, Any], beside: Any = None) -> tuple[int, bytes]:
    """Return the status and the text that a server which can is given."""
    scope["extensions"] = {RESPONSE: {}}
    application = with_chat(beside or get_asgi_application())
    talk = ApplicationCommunicator(application, scope)
    await talk.send_input({"type": "websocket.connect"})
    start, body = await talk.receive_output(5), await talk.receive_output(5)
    await talk.wait(5)
    assert (start["type"], body["type"]) == (f"{RESPONSE}.start", f"{RESPONSE}.body")
    return start["status"], body["body"]


@pytest.mark.parametrize(
    ("prefix", "force", "root_path", "asked", "told"),
    [
        ("", None, "", "/ws/chat/lobby", b" /ws/chat/<room>/, "),
        ("", None, "", "/ws/lobby/", b" /ws/chat/<room>/, "),
        ("sub/", None, "", "/ws/chat/lobby/", b" /sub/ws/chat/<room>/, "),
        ("sub/", None, "/app/", "/app/ws/chat/lobby/", b" /app/sub/ws/chat/<room>/, "),
        ("", "/app", "", "/app/ws/lobby/", b" /app/ws/chat/<room>/, "),
    ],
)
async def test_a_server_that_can_says_where_the_socket_is(
    settings: Settings,
    chat: Engine,
    prefix: str,
    force: str | None,
    root_path: str,
    asked: str,
    told: bytes,
) -> None:
    settings.ROOT_URLCONF = urlconf(prefix)
    settings.FORCE_SCRIPT_NAME = force
    status, text = await refusal(handshake(asked, root_path))
    assert status == 404
    assert told in text
    assert b"slash" in text


@pytest.mark.parametrize("asked", [answer, refusal])
async def test_a_path_without_a_socket_is_in_the_log_once(
    chat: Engine, caplog: pytest.LogCaptureFixture, asked: Any
) -> None:
    path = "/ws/chat\r\nforged/" + "x" * 10_000
    await asked(handshake(path) | {"query_string": b"token=secret-word"})

    (line,) = [each for each in caplog.records if each.name == "headgate.consumer"]
    said = line.getMessage()
    assert line.levelname == "WARNING"
    assert said.startswith(r"socket_not_here path='/ws/chat\r\nforged/xxx")
    assert len(said) < 300
    assert "secret-word" not in caplog.text


class Beside:
    """An application of a project, with WebSockets and a lifespan of its own.

    Args:
        steps: How many messages of the lifespan it answers, before it raises.
    """

    def __init__(self, steps: int = 2) -> None:
        self.steps = steps
        self.saw: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve anything."""
        self.saw.append(scope.get("path", ""))
        if scope["type"] != "lifespan":
            await receive()
            await send({"type": f"{scope['type']}.close", "code": 4321})
            return
        for _ in range(self.steps):
            message = await receive()
            engine = "open" if started_engine() else "closed"
            self.saw.append(f"{message['type']}, {engine}")
            await send({"type": f"{message['type']}.complete"})
        if self.steps < 2:
            raise ValueError("no lifespan")


@pytest.mark.parametrize(
    "asked",
    ["/ws/notifications/", "/", "/ws/chat-admin/", "/sub/ws/", "/sub/ws/chats/"],
)
@pytest.mark.parametrize("routed", [True, False])
async def test_another_socket_is_the_projects_own(
    settings: Settings,
    chat: Engine,
    asked: str,
    routed: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    settings.ROOT_URLCONF = urlconf("sub/")
    beside = Beside()
    router = ProtocolTypeRouter({"websocket": beside})
    found = await answer(handshake(asked), router if routed else beside)
    assert found == {"type": "websocket.close", "code": 4321}
    assert beside.saw == [asked]


@pytest.mark.parametrize(
    "asked", ["/sub/ws/chat", "/sub/ws/chat/a/b/", "/sub/ws/chat/lobby"]
)
async def test_a_path_below_the_chats_is_refused_beside_a_projects_own_sockets(
    settings: Settings, chat: Engine, asked: str
) -> None:
    settings.ROOT_URLCONF = urlconf("sub/")
    beside = Beside()
    status, text = await refusal(handshake(asked), beside)
    assert (status, beside.saw) == (404, [])
    assert b" /sub/ws/chat/<room>/, " in text


async def test_a_router_without_sockets_is_asked_for_none(chat: Engine) -> None:
    router = ProtocolTypeRouter({"http": get_asgi_application()})
    status, text = await refusal(handshake("/ws/notifications/"), router)
    assert status == 404
    assert b" /ws/chat/<room>/, " in text


async def test_a_path_of_the_chat_is_not_in_the_log(
    chat: Engine, room: Room, caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True}
    await answer(handshake("/ws/chat/general/"))
    assert "socket_not_here" not in caplog.text


async def test_a_project_that_mounts_the_socket_alone_has_it_at_the_root(
    settings: Settings,
) -> None:
    module: Any = types.ModuleType("urls_without_the_chat")
    module.urlpatterns = []
    settings.ROOT_URLCONF = module
    assert place(SOCKET) == "/ws/chat/"


async def test_the_engine_ends_with_the_server(chat: Engine) -> None:
    application = with_chat(get_asgi_application())
    talk = ApplicationCommunicator(application, {"type": "lifespan"})
    await talk.send_input({"type": "lifespan.startup"})
    assert await talk.receive_output(5) == {"type": "lifespan.startup.complete"}
    assert started_engine() is chat
    await talk.send_input({"type": "lifespan.shutdown"})
    assert await talk.receive_output(5) == {"type": "lifespan.shutdown.complete"}
    await talk.wait(5)
    assert django_settings.ROOT_URLCONF
    assert started_engine() is None


async def lived(beside: Any) -> list[str]:
    """Return what a server is told at its start and its stop."""
    talk = ApplicationCommunicator(with_chat(beside), {"type": "lifespan"})
    told = []
    for step in ("startup", "shutdown"):
        await talk.send_input({"type": f"lifespan.{step}"})
        told.append((await talk.receive_output(5))["type"])
    await talk.wait(5)
    return told


BOTH = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_the_project_follows_the_lifespan_and_the_chat_ends_first(
    chat: Engine,
) -> None:
    beside = Beside()
    assert await lived(beside) == BOTH
    assert beside.saw == ["", "lifespan.startup, open", "lifespan.shutdown, closed"]


@pytest.mark.parametrize("steps", [0, 1])
async def test_a_lifespan_that_the_project_leaves_open_is_answered(
    chat: Engine, caplog: pytest.LogCaptureFixture, steps: int
) -> None:
    assert await lived(Beside(steps)) == BOTH
    assert started_engine() is None
    assert ("lifespan_failed" in caplog.text) is (steps == 1)


async def test_a_start_that_the_project_fails_is_the_last_word(chat: Engine) -> None:
    async def beside(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no disk"})

    talk = ApplicationCommunicator(with_chat(beside), {"type": "lifespan"})
    await talk.send_input({"type": "lifespan.startup"})
    assert (await talk.receive_output(5))["message"] == "no disk"
    await talk.wait(5)


async def test_the_socket_follows_urls_that_change(
    chat: Engine, room: Room, settings: Settings
) -> None:
    """Where it is, is kept; for no longer than the URLs are these."""
    settings.HEADGATE = {"GUESTS": True}
    for prefix in ("first/", "second/"):
        settings.ROOT_URLCONF = urlconf(prefix)
        accepted = await answer(handshake(f"/{prefix}ws/chat/general/"))
        assert accepted["type"] == "websocket.accept"
    assert (await answer(handshake("/first/ws/chat/general/")))["code"] == 1000


async def test_a_connection_that_has_begun_keeps_no_scope(
    chat: Engine, room: Room, settings: Settings
) -> None:
    """Scopes are large, and connections last."""
    settings.HEADGATE = {"GUESTS": True}
    kept: list[weakref.ref[Any]] = []

    class Watching(ChatConsumer):
        async def identify(self, scope: Any) -> Any:
            kept.append(weakref.ref(scope["session"]))
            return await super().identify(scope)

    app = with_chat(get_asgi_application(), consumer=Watching())
    talk = ApplicationCommunicator(app, handshake("/ws/chat/general/"))
    await talk.send_input({"type": "websocket.connect"})
    assert (await talk.receive_output(5))["type"] == "websocket.accept"
    await talk.send_input({"type": "websocket.receive", "text": '{"message": "a"}'})
    assert "seq" in (await talk.receive_output(5))["text"]

    gc.collect()
    assert [each() for each in kept] == [None]
    await talk.send_input({"type": "websocket.disconnect", "code": 1001})
    await talk.wait(5)
