"""The pytest plugin in a project of its own, with nothing set but what it must."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.postgres import fresh_database

pytest_plugins = ["pytester"]

SETTINGS = """
import dj_database_url

SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "headgate.chat",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ASGI_APPLICATION = "asgi.application"
ROOT_URLCONF = "urls"
DATABASES = {"default": dj_database_url.parse("DATABASE_URL", conn_max_age=600)}
"""
ASGI = """
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
application = get_asgi_application()

from headgate.asgi import with_chat

application = with_chat(application)
"""
INI = """
[pytest]
DJANGO_SETTINGS_MODULE = settings
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
pythonpath = .
"""
TESTS = """
import asyncio

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import TestCase

import headgate
from headgate.chat.engine import started_engine
from headgate.chat.models import Room
from headgate.testing import ChatClient, Refused

clients = []


@pytest.fixture
def ada(transactional_db):
    Room.objects.create(slug="general")
    return User.objects.create_user("ada", first_name="Ada")


async def talk(chat_client, ada):
    bob = await User.objects.acreate(username="bob", first_name="Bob")
    one = await chat_client(ada, "general")
    other = await chat_client(bob, "general")
    clients.extend([one, other])
    assert (await one.send("general", "hi"))["seq"] == 1
    push = await other.push("message")
    assert (push["text"], push["author"]["name"]) == ("hi", "Ada")
    await headgate.asend_message("general", bob, "hello")
    assert [push["seq"] for push in await one.pushes()] == [1, 2]
    with pytest.raises(Refused):
        await other.join("nowhere")


async def test_clients(chat_client, ada):
    await talk(chat_client, ada)


async def test_clients_of_the_test_before_are_gone(chat_client, ada):
    assert all(client._task is None or client._task.done() for client in clients)
    assert started_engine() is None
    assert await Room.objects.acount() == 1
    await talk(chat_client, ada)


async def test_blocks(chat_client, ada):
    async with chat_client(ada, "general") as one:
        await one.send("general", "hi")
    assert started_engine() is None


def test_without_async(chat_client, ada):
    async_to_sync(talk)(chat_client, ada)


@pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
async def test_one_that_fails(chat_client, ada):
    await chat_client(ada, "general")
    1 / 0


def test_the_database_is_empty(db):
    assert not Room.objects.exists()


class InTestCase(TestCase):
    async def test_client(self):
        ada = await User.objects.acreate(username="ada", first_name="Ada")
        await Room.objects.acreate(slug="general")
        async with ChatClient(ada, "general") as one:
            await one.send("general", "hi")
            assert (await one.push("message"))["text"] == "hi"
"""
LIMITS = """
import pytest
from django.contrib.auth.models import User
from headgate.chat.models import Room
from headgate.testing import Refused


@pytest.fixture
def ada(transactional_db):
    Room.objects.create(slug="general")
    return User.objects.create_user("ada", first_name="Ada")


async def send(client, count):
    for number in range(count):
        await client.send("general", f"Message {number}")


@pytest.mark.parametrize("again", [1, 2])  # nothing is left of the test before
async def test_the_clock(limits_clock, chat_client, ada, again):
    client = await chat_client(ada, "general")
    await send(client, 10)
    for _ in range(2):
        with pytest.raises(Refused, match="rate_limited") as refused:
            await send(client, 1)
        assert refused.value.error["retry_after_ms"] == 1000
    limits_clock.advance(1.0)
    await send(client, 1)


async def test_off(limits_off, chat_client, ada):
    await send(await chat_client(ada, "general"), 70)


async def test_as_the_settings_say(chat_client, ada, settings):
    settings.HEADGATE = {"LIMITS": {"send": "1/day"}}
    client = await chat_client(ada, "general")
    with pytest.raises(Refused, match="rate_limited"):
        await send(client, 2)
"""
ANYIO = """
import pytest
from django.contrib.auth.models import User
from headgate.chat.models import Room

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_client(chat_client):
    ada = await User.objects.acreate(username="ada", first_name="Ada")
    await Room.objects.acreate(slug="general")
    one = await chat_client(ada, "general")
    await one.send("general", "hi")
    assert (await one.push("message"))["text"] == "hi"
"""


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of these tests are not the project's."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")


@pytest.fixture(params=["memory", "file", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of the project: Django's own choice for tests is memory."""
    with ExitStack() as stack:
        if request.param == "memory":
            yield f"sqlite:///{tmp_path}/db.sqlite3"
        elif request.param == "file":
            yield f"sqlite:///{tmp_path}/db.sqlite3?test={tmp_path}/test.sqlite3"
        else:
            server = request.getfixturevalue("postgres_url")
            yield stack.enter_context(fresh_database(server))


@pytest.fixture
def project(pytester: pytest.Pytester, url: str) -> pytest.Pytester:
    """A project with an application, and no setting of ours."""
    url, _, test_file = url.partition("?test=")
    settings = SETTINGS.replace("DATABASE_URL", url)
    if test_file:
        settings += f"DATABASES['default']['TEST'] = {{'NAME': {test_file!r}}}\n"
    pytester.makepyfile(
        settings=settings,
        asgi=ASGI,
        urls="from django.urls import include, path\n"
        "urlpatterns = [path('', include('headgate.urls'))]\n",
    )
    pytester.makeini(INI)
    return pytester


def test_the_fixture_in_a_project(project: pytest.Pytester) -> None:
    project.makepyfile(test_chat=TESTS)
    done = project.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=6, xfailed=1)


def test_the_fixtures_of_limits(project: pytest.Pytester) -> None:
    project.makepyfile(test_limits=LIMITS)
    done = project.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=4)


def test_the_fixture_with_anyio(project: pytest.Pytester) -> None:
    project.makepyfile(test_chat=ANYIO)
    lines = [line for line in INI.splitlines() if not line.startswith("asyncio")]
    project.makeini("\n".join(lines))
    done = project.runpytest_subprocess("-p", "no:asyncio", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=1)


def test_the_fixture_is_told_of(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess("--fixtures")
    for name in ("chat_client", "limits_clock", "limits_off"):
        done.stdout.fnmatch_lines([f"{name} -- *"])


def test_it_is_a_plugin_by_its_entry_point() -> None:
    (found,) = [
        point.value
        for point in entry_points(group="pytest11")
        if point.name == "headgate"
    ]
    assert found == "headgate.testing.plugin"


def test_loading_it_loads_no_django() -> None:
    code = (
        "import sys, headgate.testing.plugin, headgate.testing\n"
        "print({'django', 'channels', 'asgiref'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_a_project_without_django_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    done = pytester.runpytest_subprocess(
        *("-p", "no:django", "-p", "no:asyncio", "-W", "error"),
    )
    done.assert_outcomes(passed=1)
