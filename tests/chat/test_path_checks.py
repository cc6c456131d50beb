"""The system check of what the settings name by dotted path."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import checks
from pytest_django import Settings

from headgate.chat.path_checks import check_paths

GOOD: dict[str, Any] = {
    "AUTHENTICATORS": ["django.contrib.auth.authenticate"],
    "PROFILES": "django.contrib.auth.authenticate",
    "BEFORE_SEND": "django.contrib.auth.authenticate",
    "PERMISSIONS": "headgate.chat.permissions.Permissions",
}


def test_what_is_there_is_right(settings: Settings) -> None:
    settings.HEADGATE = GOOD
    assert check_paths() == []
    settings.HEADGATE = {}
    assert check_paths() == []


@pytest.mark.parametrize("key", GOOD)
@pytest.mark.parametrize("path", ["no.such.module", "tests.chat.talker.SECONDS"])
def test_each_path_that_is_wrong_is_an_error(
    settings: Settings, key: str, path: str
) -> None:
    many = isinstance(GOOD[key], list)
    settings.HEADGATE = GOOD | {key: [path] if many else path}
    (mistake,) = check_paths()

    assert mistake.id == "headgate.E003"
    assert mistake.is_serious()
    assert f"HEADGATE['{key}'] names '{path}'" in mistake.msg
    assert str(mistake.hint).startswith("Name a ")
    assert mistake in checks.run_checks()


@pytest.mark.parametrize("path", ["headgate.chat.models.Room", "math.floor"])
def test_permissions_are_a_subclass(settings: Settings, path: str) -> None:
    settings.HEADGATE = {"PERMISSIONS": path}
    (mistake,) = check_paths()

    assert "is no subclass of Permissions" in mistake.msg


def test_what_is_of_the_wrong_type_is_told_of_elsewhere(settings: Settings) -> None:
    settings.HEADGATE = {"PROFILES": 5}
    assert check_paths() == []
    settings.HEADGATE = []
    assert check_paths() == []
