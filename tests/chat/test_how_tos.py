"""The code of the how-tos does what they say."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from django.urls import path
from django.utils.module_loading import import_string
from pytest_django import Settings
from rest_framework.authtoken.models import Token
from rest_framework.views import APIView
from rest_framework_simplejwt.tokens import AccessToken

import headgate
from headgate.chat import hooks
from headgate.chat.authenticators import asked_user
from headgate.chat.conf import mistakes
from headgate.chat.models import Room
from headgate.chat.path_checks import check_paths
from headgate.chat.people import actor_for
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    ORIGIN,
    Talkers,
    in_thread,
    talk_fixture,
)
from tests.chat.told import no_handlers_fixture  # noqa: F401 - found by its name

pytestmark = pytest.mark.django_db(transaction=True)

DOCS = Path(__file__).parents[2] / "docs/how-to"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(
    r"^In `(\S+)\.py`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


class Page:
    """A how-to: its files, as modules that can be imported, and its settings."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
        self.monkeypatch = monkeypatch

    def use(self) -> None:
        """Make its files modules of a package `shop`."""
        self.monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
        for place, code in FILE.findall(self.text):
            self.module(place.replace("/", "."), code)

    def module(self, name: str, code: str) -> ModuleType:
        """Run code as a module, and let it be imported by its name."""
        made = ModuleType(name)
        self.monkeypatch.setitem(sys.modules, name, made)
        exec(compile(code, name, "exec"), made.__dict__)
        package, _, own = name.rpartition(".")
        if package:
            setattr(sys.modules[package], own, made)
        return made

    def blocks(self, containing: str) -> list[str]:
        """Return the blocks of Python that have these words."""
        return [code for code in BLOCK.findall(self.text) if containing in code]

    def headgate(self) -> dict[str, Any]:
        """Return the settings that it shows."""
        (code,) = self.blocks("HEADGATE = ")
        made: dict[str, Any] = {}
        exec(code, made)
        return dict(made["HEADGATE"])


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Page]:
    return lambda name: Page(name, monkeypatch)


PAGES = (
    "allauth",
    "drf",
    "hooks",
    "permissions",
    "profiles",
    "simplejwt",
)


@pytest.mark.parametrize("name", PAGES)
def test_what_is_python_is_python(page: Callable[[str], Page], name: str) -> None:
    blocks = page(name).blocks("")
    for code in blocks:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(code, name, "exec", flags | ast.PyCF_ONLY_AST)
    assert blocks


# --- permissions ------------------------------------------------------------------


@pytest.fixture
def clerk(transactional_db: None) -> User:
    return User.objects.create_user("clerk", is_staff=True)


async def test_permissions(
    page: Callable[[str], Page],
    settings: Settings,
    talk: Talkers,
    ada: User,
    clerk: User,
) -> None:
    permissions = page("permissions")
    permissions.use()
    settings.HEADGATE = permissions.headgate()
    assert check_paths() == []
    order = {"kind": "group", "subject_type": "shop.order", "subject_id": "7"}
    room = await in_thread(lambda: Room.objects.create(slug="order-7", **order))
    await in_thread(lambda: Room.objects.create(slug="news"))
    await in_thread(lambda: Room.objects.create(slug="team", kind="group"))

    watching, customer = await talk(clerk, room="order-7"), await talk(ada, room="news")
    assert "seq" in await watching.ask("send", room="order-7", text="On its way.")
    assert "seq" in await watching.ask("send", room="news", text="We open at nine.")
    said = await customer.ask("send", room="news", text="hi")
    assert said["error"]["text"] == "Only the shop writes here."
    assert await customer.refusal("join", room="order-7") == "not_found"
    assert await listed(clerk) == ["news", "order-7"]
    assert await listed(ada) == ["news"]

    (test,) = permissions.blocks("def test_")
    made: dict[str, Any] = {}
    exec(test, made)
    test_of_the_page = made["test_those_who_work_here_watch_over_orders"]
    await in_thread(test_of_the_page, room, clerk, ada)

    clerk.is_staff = False
    await in_thread(clerk.save)
    (again,) = permissions.blocks("access_changed")
    await in_thread(exec, again, {"headgate": headgate, "user": clerk})
    assert (await watching.push("rooms"))["left"] == ["order-7"]


async def listed(user: User) -> list[str]:
    client = AsyncClient()
    await in_thread(client.force_login, user)
    rooms = (await client.get("/api/v1/rooms")).json()["rooms"]
    return [room["room"] for room in rooms]


# --- profiles ---------------------------------------------------------------------


async def test_profiles(
    page: Callable[[str], Page],
    settings: Settings,
    talk: Talkers,
    room: Room,
    ada: User,
) -> None:
    profiles = page("profiles")
    profiles.use()
    settings.HEADGATE = profiles.headgate()
    assert check_paths() == []

    welcome = (await talk(ada)).welcome["user"]
    assert (welcome["name"], welcome["avatar_url"]) == (
        "Ada",
        f"/media/avatars/{ada.pk}.png",
    )
    nameless = await in_thread(User.objects.create_user, "secret-login")
    assert (await talk(nameless)).welcome["user"]["name"] == f"Customer {nameless.pk}"


# --- hooks ------------------------------------------------------------------------


@pytest.mark.usefixtures("no_handlers")
async def test_hooks(
    page: Callable[[str], Page],
    settings: Settings,
    talk: Talkers,
    room: Room,
    ada: User,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "shop")
    hooking = page("hooks")
    hooking.use()
    settings.HEADGATE = hooking.headgate() | {"GUESTS": True}
    assert check_paths() == []
    await in_thread(lambda: Room.objects.create(slug="order-7"))

    guest, talker = await talk(name="Gus"), await talk(ada)
    said = await guest.ask("send", room="general", text="see http://shop.example")
    assert said["error"]["text"] == "Guests may not send links."
    assert "seq" in await talker.ask("send", room="general", text="http://shop.example")
    await talker.ask("send", room="general", text="it is 1234567812345678")
    await talker.ask("send", room="general", text="!help")
    messages = await guest.until("general", 4)
    texts = [each["text"] for each in messages if each.get("push") == "message"]
    assert texts[1:] == [
        "it is [card number]",
        "!help",
        "Somebody will be with you soon.",
    ]

    await talker.ask("send", room="order-7", text="Where is it?")
    await talk.end(talker)
    async with asyncio.timeout(60):
        while "gone who=" not in caplog.text or "order talked about" not in caplog.text:  # noqa: ASYNC110 - lines of a log
            await asyncio.sleep(0.01)
    assert "order talked about room=order-7 seq=1" in caplog.text
    assert f"gone who=u:{ada.pk} code=1001" in caplog.text


def test_the_hooks_are_told_of_as_they_are(page: Callable[[str], Page]) -> None:
    events = re.findall(r"^\| `(\w+)` \| [a-z]", page("hooks").text, re.MULTILINE)
    known = [*hooks._ROOM_EVENTS, *hooks._CONNECTION_EVENTS]
    assert [each for each in events if each in known] == known


# --- tokens -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["drf", "simplejwt"])
def test_the_settings_of_tokens_are_right(
    page: Callable[[str], Page], settings: Settings, name: str
) -> None:
    settings.HEADGATE = page(name).headgate()

    assert mistakes(settings.HEADGATE) == []
    assert check_paths() == []


async def test_a_page_connects_with_its_token(
    page: Callable[[str], Page],
    settings: Settings,
    talk: Talkers,
    room: Room,
    ada: User,
) -> None:
    """What the page's script does: a ticket by POST, then hello and join."""
    jwt = page("simplejwt")
    settings.HEADGATE = jwt.headgate()
    script = jwt.text.partition("```js\n")[2].partition("```")[0]
    for part in ('"/api/v1/connect"', "Bearer ${access}", 'cmd: "hello", ticket'):
        assert part in script
    headers = {"Authorization": f"Bearer {AccessToken.for_user(ada)}", "Origin": ORIGIN}
    answer = await AsyncClient().post(
        "/api/v1/connect",
        {"rooms": ["general"]},
        content_type="application/json",
        headers=headers,
    )
    found = answer.json()
    assert answer.status_code == 200
    names = re.search(r"const \{ ([^}]+) \} = await answer", script)
    assert names is not None
    assert set(names[1].split(", ")) <= set(found)

    talker = await talk.raw(subprotocols=[found["protocol"]], room=None)
    await talker.say({"cmd": "hello", "ticket": found["ticket"]})
    welcome = await talker.push("welcome")
    assert welcome["user"]["name"] == "Ada Lovelace"
    for joined in found["rooms"]:
        assert "head" in await talker.ask("join", room=joined)
    assert welcome["ticket"]

    refused = await AsyncClient().post(
        "/api/v1/connect",
        {},
        content_type="application/json",
        headers={"Authorization": "Bearer nonsense"},
    )
    assert (refused.status_code, bool(refused.json()["detail"])) == (401, True)


def comment(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """The view of the page, once it was run."""
    view: Callable[..., HttpResponse] = sys.modules["shop.views"].comment
    return view(request, **kwargs)


urlpatterns = [path("orders/<int:pk>/comment", comment)]


async def test_a_view_of_the_framework_connects(
    page: Callable[[str], Page],
    settings: Settings,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drf = page("drf")
    drf.use()
    (code,) = drf.blocks("@api_view")
    settings.ROOT_URLCONF = __name__
    settings.HEADGATE = drf.headgate()
    # As the project's REST_FRAMEWORK has it, which is read once.
    classes = [import_string(each) for each in settings.HEADGATE["AUTHENTICATORS"]]
    monkeypatch.setattr(APIView, "authentication_classes", classes)
    drf.module("shop.views", code)
    await in_thread(lambda: Room.objects.create(slug="order-7"))
    token = (await in_thread(lambda: Token.objects.create(user=ada))).key

    answer = await AsyncClient().post(
        "/orders/7/comment",
        {"text": "Where is it?"},
        content_type="application/json",
        headers={"Authorization": f"Token {token}"},
    )
    assert (answer.status_code, answer.json()) == (201, {"seq": 1})
    assert '"rooms":["order-7"]' in answer["Headgate-Connect"]


async def test_a_function_that_knows_keys(
    page: Callable[[str], Page], settings: Settings, ada: User
) -> None:
    drf = page("drf")
    drf.use()
    (code,) = drf.blocks("def by_api_key")
    made = drf.module("shop.keys", code)

    class ApiKey:
        """A model of the project, as the page has it."""

        class objects:  # noqa: N801 - as a manager is called
            @staticmethod
            def get_user(key: str) -> User | None:
                return ada if key == "right" else None

    made.__dict__["ApiKey"] = ApiKey
    settings.HEADGATE = {"AUTHENTICATORS": ["shop.keys.by_api_key"]}
    assert check_paths() == []
    request = HttpRequest()
    request.META["HTTP_X_API_KEY"] = "right"
    for asked in (request, {"headers": [(b"x-api-key", b"right")]}):
        assert await asked_user(asked) == ada
    for asked in (HttpRequest(), {"headers": []}):
        assert await asked_user(asked) is None
    assert actor_for(ada).name == "Ada Lovelace"


# --- apps -------------------------------------------------------------------------


async def test_an_app_comes_back(
    page: Callable[[str], Page], talk: Talkers, ada: User
) -> None:
    """By the hello of the page, with seqs of this log."""
    code = re.search(r"```json\n(.*?)```", page("mobile-apps").text, re.DOTALL)
    assert code is not None
    hello: dict[str, Any] = json.loads(code[1])
    made = await in_thread(lambda: Room.objects.create(slug="order-7"))
    for n in range(3):
        sent = headgate.asend_message(made, ada, f"m{n}", client_id=f"c-{16 + n}")
        await sent
    first = await talk(ada, room=None)
    hello["ticket"] = first.welcome["ticket"]
    hello["resume"]["order-7"] = {"seq": 1, "epoch": made.epoch}

    talker = await talk.raw(headers=[(b"host", b"testserver")], room=None)
    await talker.say(hello)
    welcome = await talker.push("welcome")
    assert welcome["rooms"]["order-7"]["landed"] == {"c-17": 2}
    assert [said["seq"] for said in await talker.until("order-7", 3)] == [2, 3]
