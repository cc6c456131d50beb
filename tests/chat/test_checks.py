from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.core import checks
from django.db import connection, connections
from pytest_django import Settings

from headgate.chat.checks import check_database, check_settings

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


def test_another_database_is_an_error() -> None:
    real = connections["default"]
    try:
        connections["default"] = cast("Any", SimpleNamespace(vendor="mysql"))
        (found,) = check_database(databases=["default"])
    finally:
        connections["default"] = real

    assert found.id == "headgate.E002"
    assert "mysql" in found.msg
