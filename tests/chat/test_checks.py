from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.core import checks
from django.db import connection, connections
from pytest_django import Settings

from headgate.chat.checks import (
    check_database,
    check_servers,
    check_settings,
    check_time_zones,
    check_transaction_mode,
)
from tests.chat.test_asgi_server import install

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def test_the_test_project_is_right() -> None:
    found = checks.run_checks(databases=["default"], include_deployment_checks=False)

    assert [f for f in found if (f.id or "").startswith("headgate.")] == []


def test_each_mistake_in_the_settings_is_an_error(settings: Settings) -> None:
    settings.HEADGATE = {"GUESTS": "yes", "NOPE": 1}

    found = check_settings()

    assert [f.id for f in found] == ["headgate.E001", "headgate.E001"]
    assert all(f.is_serious() and f.hint for f in found)
    assert found[0] in checks.run_checks()


def test_times_by_a_local_clock_are_an_error(settings: Settings) -> None:
    settings.USE_TZ = False

    (found,) = check_time_zones()

    assert (found.id, found.level) == ("headgate.E016", checks.ERROR)
    assert "USE_TZ = True" in (found.hint or "")
    assert found in checks.run_checks()


def test_no_database_is_asked_unless_named() -> None:
    assert check_database() == []
    assert check_database(databases=[]) == []


@pytest.fixture
def careless() -> Iterator[None]:
    """A SQLite connection that does not wait for the disk; PostgreSQL has no such."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous = NORMAL")
    yield
    connection.close()


@pytest.mark.usefixtures("careless")
def test_a_sqlite_that_does_not_wait_for_the_disk_is_warned_of() -> None:
    found = check_database(databases=["default"])

    if connection.vendor == "sqlite":
        assert [(f.id, f.level) for f in found] == [("headgate.W001", checks.WARNING)]
        assert "init_command" in (found[0].hint or "")
    else:
        assert found == []


@pytest.mark.parametrize(
    ("mode", "warned"),
    [
        (None, True),
        ("deferred", True),
        ("IMMEDIATE", False),
        ("immediate", False),
        ("EXCLUSIVE", False),
    ],
)
def test_a_sqlite_whose_transactions_cannot_go_on_to_write_is_warned_of(
    monkeypatch: pytest.MonkeyPatch,
    mode: str | None,
    warned: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    options = connection.settings_dict["OPTIONS"] | {"transaction_mode": mode}
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)

    found = check_transaction_mode()

    if connection.vendor == "sqlite" and warned:
        assert [(f.id, f.level) for f in found] == [("headgate.W011", checks.WARNING)]
        assert '"IMMEDIATE" to the "OPTIONS" of DATABASES["default"]' in (
            found[0].hint or ""
        )
        assert found[0] in checks.run_checks()
    else:
        assert found == []


@pytest.fixture
def other_database() -> Iterator[str]:
    """The alias of a database that Headgate does not know."""
    connections["other"] = cast("Any", SimpleNamespace(vendor="mysql"))
    yield "other"
    del connections["other"]


class ChatElsewhere:
    """A router that has the chat on the other database."""

    def db_for_write(self, model: Any, **_: Any) -> str | None:
        return "other" if model._meta.app_label == "headgate_chat" else None


def test_another_database_is_an_error(settings: Settings, other_database: str) -> None:
    settings.DATABASE_ROUTERS = [ChatElsewhere()]

    (found,) = check_database(databases=["default", other_database])

    assert found.id == "headgate.E002"
    assert "mysql" in found.msg


def test_a_database_that_is_not_the_chats_is_not_judged(other_database: str) -> None:
    """Or nobody could migrate it."""
    assert check_database(databases=[other_database]) == []


@pytest.mark.usefixtures("careless")
def test_only_the_chats_database_has_to_wait_for_the_disk(
    settings: Settings,
) -> None:
    settings.DATABASE_ROUTERS = [ChatElsewhere()]

    assert check_database(databases=["default"]) == []


@pytest.mark.parametrize(
    ("name", "version", "check_id"),
    [("daphne", "4.2.1", "headgate.W003"), ("uvicorn", "0.52.0", "headgate.W004")],
)
def test_a_server_that_is_too_old_is_warned_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    version: str,
    check_id: str,
) -> None:
    assert check_servers() == []
    install(tmp_path, name, version)
    monkeypatch.syspath_prepend(tmp_path)

    (found,) = check_servers()

    assert (found.id, found.level) == (check_id, checks.WARNING)
    assert f"{name} {version}" in found.msg
    assert f"pip install '{name}>=" in (found.hint or "")
    assert found in checks.run_checks()


def run_mysite(tmp_path: Path, *arguments: str, first_apps: str = "") -> str:
    """Run a command of a project to its end, and return all that it says.

    The address is taken for none, so that `runserver` ends right after its checks.
    """
    e2e = Path(__file__).parents[1] / "e2e"
    done = subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "mysite.settings",
            "MYSITE_DATABASE": str(tmp_path / "chat.sqlite3"),
            "MYSITE_FIRST_APPS": first_apps,
            "PYTHONPATH": str(e2e),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return done.stdout + done.stderr


RUNSERVER = ("runserver", "--noreload", "203.0.113.1:8000")  # nobody's address
W002 = "(headgate.W002) This runserver is WSGI"


@pytest.mark.parametrize(
    ("first_apps", "arguments", "warned"),
    [
        ("", RUNSERVER, True),
        ("whitenoise.runserver_nostatic", RUNSERVER, True),
        ("daphne", RUNSERVER, False),
        ("whitenoise.runserver_nostatic daphne", RUNSERVER, False),
        ("daphne", (*RUNSERVER, "--noasgi"), True),
        ("", ("check",), False),
    ],
)
def test_a_runserver_without_websockets_is_warned_of(
    tmp_path: Path,
    first_apps: str,
    arguments: tuple[str, ...],
    warned: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    said = run_mysite(tmp_path, *arguments, first_apps=first_apps)

    assert (W002 in said) is warned
    assert ("manage.py headgate serve" in said) is warned
    assert "System check identified" in said
