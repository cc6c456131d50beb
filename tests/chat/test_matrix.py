"""Who may do what over which door: one table, and every door held to it.

The operations are those of `headgate.chat.permissions`, the commands those of the
protocol and the HTTP operations those of the API's own description. What is added to
one of them without a rule here makes a test fail.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from channels.testing import ApplicationCommunicator
from django.contrib.auth.models import Permission, User
from django.core.asgi import get_asgi_application
from django.test import AsyncClient
from django.utils import timezone
from pytest_django import Settings

from headgate.asgi import with_chat
from headgate.chat import actions
from headgate.chat.actions import NotSent
from headgate.chat.http.api import api
from headgate.chat.models import Room
from headgate.chat.people import Actor, actor_for, guest_token, new_guest
from headgate.chat.permissions import (
    MESSAGE_OPERATIONS,
    MODERATION_OPERATIONS,
    ROOM_OPERATIONS,
)
from headgate.protocol.commands import COMMANDS
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Ended,
    Talkers,
    in_thread,
    talk_fixture,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(360)]

# --- the rules --------------------------------------------------------------------

OK = "ok"
# An operation on a message is another one on one's own and on somebody else's.
OPERATIONS = (
    *ROOM_OPERATIONS,
    *MODERATION_OPERATIONS,
    *(f"{name} {whose}" for name in MESSAGE_OPERATIONS for whose in ("own", "other's")),
)
_WRITER = dict.fromkeys(OPERATIONS, OK) | {
    "moderate": "forbidden",
    "manage": "forbidden",
    "edit other's": "forbidden",
    "delete other's": "forbidden",
    "cancel other's": "forbidden",
}
_MODERATOR = _WRITER | {"moderate": OK, "delete other's": OK, "cancel other's": OK}
_OWNER = _MODERATOR | {"manage": OK}
_MUTED = _WRITER | {"send": "muted", "edit own": "muted", "delete own": "muted"}
_OUTSIDE = dict.fromkeys(OPERATIONS, "not_found")
_BANNED = dict.fromkeys(OPERATIONS, "banned")

RULES: dict[tuple[str, str], dict[str, str]] = {
    ("public", "guest"): _WRITER,
    ("public", "user"): _WRITER,
    ("public", "member"): _WRITER,
    ("public", "muted"): _MUTED,
    ("public", "removed"): _WRITER,
    ("public", "banned"): _BANNED,
    ("public", "moderator"): _MODERATOR,
    ("public", "owner"): _OWNER,
    ("public", "staff"): _MODERATOR,
    ("group", "guest"): _OUTSIDE,
    ("group", "user"): _OUTSIDE,
    ("group", "member"): _WRITER,
    ("group", "muted"): _MUTED,
    ("group", "removed"): _OUTSIDE,
    ("group", "banned"): _BANNED,
    ("group", "moderator"): _MODERATOR,
    ("group", "owner"): _OWNER,
    ("group", "staff"): _OUTSIDE,
    ("missing", "guest"): _OUTSIDE,
    ("missing", "user"): _OUTSIDE,
}

# --- the doors --------------------------------------------------------------------


@dataclass
class Scene:
    """Somebody, a room, and a message of theirs and one of another in it."""

    talk: Talkers
    actor: Actor
    slug: str
    own: int
    others: int

    def target(self, operation: str) -> int:
        return self.own if operation.endswith(" own") else self.others


Do = Callable[[Scene, str], Awaitable[str]]


def outcome(said: dict[str, Any]) -> str:
    return said["error"]["code"] if "error" in said else OK


async def by_v1(scene: Scene, operation: str) -> str:
    hello = {} if scene.actor.user else {"guest": guest_token(scene.actor)}
    talker = await scene.talk(scene.actor.user, room=scene.slug, **hello)
    try:
        entered = outcome(talker.welcome["rooms"][scene.slug])
        if operation == "watch":
            return entered
        name = operation.partition(" ")[0]
        fields = {
            "history": {},
            "send": {"text": "hi"},
            "typing": {},
            "read": {"seq": 1},
            "edit": {"target": scene.target(operation), "text": "anew"},
            "delete": {"target": scene.target(operation)},
            "cancel": {"seq": scene.target(operation)},
        }[name]
        said = outcome(await talker.ask(name, room=scene.slug, **fields))
        if said == "not_growing":  # who may not is told that instead
            return OK
        # Whoever could not join is told that, and no more.
        return entered if said == "not_joined" else said
    finally:
        await scene.talk.end(talker)


async def by_plain(scene: Scene, operation: str) -> str:
    talker = await scene.talk.plain(scene.actor.user, room=scene.slug)
    try:
        if operation == "send":
            await talker.say({"message": "hi"})
        else:
            await talker.say({})  # answered at once by whoever lets one in
        said = await talker.hear()
        code = str(said.get("error", OK))
        return OK if code == "bad_command" else code
    finally:
        await scene.talk.end(talker)


async def by_http(scene: Scene, operation: str) -> str:
    client = AsyncClient()
    headers = {}
    if scene.actor.user:
        await in_thread(client.force_login, scene.actor.user)
    else:
        headers["Headgate-Guest"] = guest_token(scene.actor)
    here = f"/api/v1/rooms/{scene.slug}"
    there = f"{here}/messages/{scene.target(operation)}"

    async def ask(method: str, path: str, body: Any = None) -> str:
        answer = await client.generic(
            method,
            path,
            "" if body is None else json.dumps(body),
            content_type="application/json",
            headers=headers,
        )
        if answer.status_code < 400:
            return OK
        code = str(json.loads(answer.content)["code"])
        # Who may not cancel is told that instead.
        return OK if code == "not_growing" else code

    if operation == "history":
        found = {await ask("GET", f"{here}/{of}") for of in ("messages", "events")}
        assert len(found) == 1
        return found.pop()
    method, path, body = {
        "watch": ("GET", here, None),
        "send": ("POST", f"{here}/messages", {"text": "hi"}),
        "moderate": ("PATCH", here, {"slow_mode_ms": 0}),
        "manage": ("GET", f"{here}/destinations", None),
        "edit": ("PATCH", there, {"text": "anew"}),
        "delete": ("DELETE", there, None),
        "cancel": ("POST", f"{there}/cancel", None),
    }[operation.partition(" ")[0]]
    return await ask(method, path, body)


async def by_socket_url(scene: Scene, operation: str) -> str:
    client = AsyncClient()
    headers = {}
    if scene.actor.user:
        await in_thread(client.force_login, scene.actor.user)
    else:
        headers["Headgate-Guest"] = guest_token(scene.actor)
    method, body = ("GET", "") if operation == "watch" else ("POST", '{"message":"hi"}')
    answer = await client.generic(
        method,
        f"/ws/chat/{scene.slug}/",
        body,
        content_type="application/json",
        headers=headers,
    )
    if answer.status_code < 400:
        return OK
    return str(json.loads(answer.content)["code"])


async def by_stream(scene: Scene, operation: str) -> str:
    headers = [(b"host", b"testserver")]
    if scene.actor.user:
        client = AsyncClient()
        await in_thread(client.force_login, scene.actor.user)
        cookie = f"sessionid={client.cookies['sessionid'].value}"
        headers.append((b"cookie", cookie.encode()))
    else:
        headers.append((b"headgate-guest", guest_token(scene.actor).encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/api/v1/stream",
        "raw_path": b"/api/v1/stream",
        "root_path": "",
        "query_string": f"rooms={scene.slug}".encode(),
        "headers": headers,
        "client": ("127.0.0.1", 5000),
        "server": ("testserver", 80),
    }
    talk = ApplicationCommunicator(with_chat(get_asgi_application()), scope)
    await talk.send_input({"type": "http.request", "body": b"", "more_body": False})
    start = await talk.receive_output(5)
    body = await talk.receive_output(5)
    if start["status"] < 400:
        await talk.send_input({"type": "http.disconnect"})
    await talk.wait(5)
    return OK if start["status"] < 400 else str(json.loads(body["body"])["code"])


async def by_python(scene: Scene, operation: str) -> str:
    target = scene.target(operation)
    name = operation.partition(" ")[0]
    try:
        if name == "send":
            await in_thread(actions.send_message, scene.slug, scene.actor, "hi")
        elif name == "edit":
            await in_thread(
                lambda: actions.edit_message(
                    scene.slug, target, "anew", by=scene.actor
                ),
            )
        else:
            await in_thread(
                lambda: actions.delete_message(scene.slug, target, by=scene.actor),
            )
    except NotSent as refusal:
        return str(refusal.code)
    return OK


CHANGES = tuple(name for name in OPERATIONS if " " in name)
DOORS: dict[str, tuple[Do, tuple[str, ...]]] = {
    "v1": (
        by_v1,
        tuple(name for name in OPERATIONS if name not in MODERATION_OPERATIONS),
    ),
    # Guests of plain mode are new ones each time, so they have no messages.
    "plain": (by_plain, ("watch", "send")),
    "http": (by_http, ("watch", "history", "send", "moderate", "manage", *CHANGES)),
    "socket url": (by_socket_url, ("watch", "send")),
    "stream": (by_stream, ("watch",)),
    "python": (
        by_python,
        ("send", *(name for name in CHANGES if not name.startswith("cancel"))),
    ),
}

# Which operation each command, and each operation of the API, is.
COMMAND_OPERATIONS: dict[str, str | None] = {
    "hello": "watch",
    "join": "watch",
    "leave": None,  # anybody may go
    "send": "send",
    "append": "send",
    "cancel": "cancel",
    "edit": "edit",
    "delete": "delete",
    "typing": "typing",
    "read": "read",
    "history": "history",
    "ping": None,  # about no room
}
API_OPERATIONS: dict[tuple[str, str], str | None] = {
    ("post", "/connect"): None,  # about the caller; rooms are decided on joining
    ("get", "/rooms"): "rooms",  # by `Permissions.rooms`: see test_api_rooms
    ("get", "/rooms/{room}"): "watch",
    ("patch", "/rooms/{room}"): "moderate",
    ("get", "/rooms/{room}/members"): "moderate",
    ("patch", "/rooms/{room}/members/{id}"): "moderate",
    ("get", "/rooms/{room}/messages"): "history",
    ("post", "/rooms/{room}/messages"): "send",
    ("get", "/rooms/{room}/events"): "history",
    ("patch", "/rooms/{room}/messages/{seq}"): "edit",
    ("delete", "/rooms/{room}/messages/{seq}"): "delete",
    ("post", "/rooms/{room}/messages/{seq}/cancel"): "cancel",
    ("get", "/limits"): None,  # about the caller
    # Of `headgate.outbound`, which adds them.
    ("get", "/rooms/{room}/destinations"): "manage",
    ("post", "/rooms/{room}/destinations"): "manage",
    ("get", "/rooms/{room}/destinations/{name}"): "manage",
    ("patch", "/rooms/{room}/destinations/{name}"): "manage",
    ("delete", "/rooms/{room}/destinations/{name}"): "manage",
    ("post", "/rooms/{room}/destinations/{name}/test"): "manage",
    ("post", "/rooms/{room}/destinations/{name}/secrets"): "manage",
    ("get", "/rooms/{room}/destinations/{name}/deliveries"): "manage",
    ("post", "/rooms/{room}/destinations/{name}/deliveries/replay"): "manage",
    ("post", "/rooms/{room}/destinations/{name}/deliveries/drop"): "manage",
    ("get", "/rooms/{room}/incoming"): "manage",
    ("post", "/rooms/{room}/incoming"): "manage",
    ("delete", "/rooms/{room}/incoming/{id}"): "manage",
}


def test_every_operation_has_a_rule_and_a_door() -> None:
    for rules in RULES.values():
        assert tuple(rules) == OPERATIONS
    assert set(itertools.chain(*(does for _, does in DOORS.values()))) == set(
        OPERATIONS
    )


def test_every_command_is_an_operation() -> None:
    names = {command.__struct_config__.tag for command in COMMANDS}
    assert set(COMMAND_OPERATIONS) == names
    known = {*ROOM_OPERATIONS, *MESSAGE_OPERATIONS, None}
    assert set(COMMAND_OPERATIONS.values()) <= known


def test_every_operation_of_the_api_is_an_operation() -> None:
    described = {
        (method, path.removeprefix("/api/v1"))
        for path, methods in api.get_openapi_schema(path_prefix="/api/v1")[
            "paths"
        ].items()
        for method in methods
    }
    assert set(API_OPERATIONS) == described


# --- the matrix -------------------------------------------------------------------


def _actor(role: str) -> Actor:
    if role == "guest":
        return new_guest("Gus")
    user = User.objects.create_user("ada", first_name="Ada")
    if role == "staff":
        right = Permission.objects.get(
            content_type__app_label="headgate_chat", codename="delete_message"
        )
        user.user_permissions.add(right)
        user = User.objects.get(pk=user.pk)
    return actor_for(user)


# What is done to somebody, who was a member before, for each role.
_BECOME: dict[str, Callable[[Room, Actor], Any]] = {
    "guest": actions.remove_member,
    "user": actions.remove_member,
    "staff": actions.remove_member,
    "member": lambda _room, _actor: None,
    "moderator": lambda room, actor: actions.set_role(room, actor, "moderator"),
    "owner": lambda room, actor: actions.set_role(room, actor, "owner"),
    "muted": lambda room, actor: actions.mute(
        room, actor, timezone.now() + timedelta(hours=1)
    ),
    "removed": actions.remove_member,
    "banned": actions.ban,
}


def _scene(kind: str, role: str) -> tuple[Actor, str, int, int]:
    """Return somebody, a room's name, and the seqs of a message of theirs and not."""
    actor = _actor(role)
    if kind == "missing":
        return actor, "nowhere", 1, 2
    room = Room.objects.create(slug="here", kind=kind)
    other = User.objects.create_user("grace", first_name="Grace")
    actions.add_member(room, other)
    others = actions.send_message(room, other, "from another").seq
    actions.add_member(room, actor)
    own = actions.send_message(room, actor, "my own").seq
    _BECOME[role](room, actor)
    return actor, room.slug, own, others


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("kind", "role"), RULES)
async def test_door_holds_to_the_rules(
    talk: Talkers, settings: Settings, kind: str, role: str, door: str
) -> None:
    settings.HEADGATE = {"GUESTS": True}
    do, does = DOORS[door]
    actor, slug, own, others = await in_thread(_scene, kind, role)
    # What takes the messages away comes last.
    order = sorted(does, key=lambda name: name.startswith("delete"))
    found = {}
    for operation in order:
        found[operation] = await do(Scene(talk, actor, slug, own, others), operation)
    expected = RULES[kind, role]
    assert found == {name: expected[name] for name in order}
