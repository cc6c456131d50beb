"""System checks of limits: each mistake has an id and says what to do."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

import pytest
from django.core import checks
from pytest_django import Settings

from headgate.chat import limit_checks
from headgate.chat.limit_checks import (
    check_limits,
    check_raised_limits,
    check_shared,
    check_throttling,
)


@pytest.mark.parametrize(
    ("given", "check_id", "expected"),
    [
        ({"LIMITS": {"sned": "1/s"}}, "E004", "There is no policy 'sned' here"),
        ({"LIMITS": {"send": "fast"}}, "E004", "'fast' is no rate"),
        ({"LIMITS": {"send": "0/s"}}, "E004", "lets nothing through"),
        ({"LIMITS": {"connect.open": "many"}}, "E004", "no number of connections"),
        ({"LIMITS": {"external": "10/s"}}, "E004", "at its destination"),
        ({"DRY_RUN": ["sned"]}, "E004", "no policy 'sned'"),
        ({"DRY_RUN": ["connect.open"]}, "E004", "no rate"),
        ({"DRY_RUN": ["external"]}, "E004", "at its destination"),
        ({"REFUSALS_BEFORE_CLOSE": 20}, "E005", "nobody would be paused"),
        ({"HTTP_RATE": "fast"}, "E006", "'fast' is no rate"),
        ({"REDIS": "localhost:6379"}, "E007", "no URL of a Redis"),
    ],
)
def test_each_mistake_is_found(
    settings: Settings, given: dict[str, Any], check_id: str, expected: str
) -> None:
    settings.HEADGATE = given
    (found,) = check_limits()

    assert found.id == f"headgate.{check_id}"
    assert expected in found.msg
    assert found.hint


def test_a_password_is_not_shown(settings: Settings) -> None:
    settings.HEADGATE = {"REDIS": "http://user:secret@host"}
    (found,) = check_limits()

    assert "secret" not in f"{found.msg}{found.hint}"


@pytest.mark.parametrize("gone", ["redis", "hiredis"])
def test_a_package_for_redis_that_is_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    def found(name: str) -> ModuleSpec | None:
        return None if name == gone else find_spec(name)

    monkeypatch.setattr(limit_checks, "find_spec", found)
    settings.HEADGATE = {"REDIS": "redis://127.0.0.1:6379/0"}
    (mistake,) = check_limits()

    assert (mistake.id, mistake.hint) == (
        "headgate.E007",
        "pip install 'headgate[redis]'",
    )
    assert gone in mistake.msg


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"LIMITS": {"send": "2/s:20", "typing": "off", "connect.open": "3"}},
        {"DRY_RUN": ["send"], "HTTP_RATE": "600/min"},
        {"REDIS": "redis://127.0.0.1:6379/0", "PROCESSES": 4},
        {"LIMITS": 5},  # which is headgate.E001's
    ],
)
def test_what_is_right_is_left_alone(
    settings: Settings, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    settings.HEADGATE = given

    assert check_limits() == []
    assert check_shared() == []


@pytest.mark.parametrize(
    ("given", "concurrency", "warned"),
    [
        ({"PROCESSES": 4}, "", True),
        ({}, "4", True),
        ({}, "1", False),
        ({}, "many", False),
        ({"PROCESSES": 4, "REDIS": "redis://127.0.0.1"}, "", False),
        ({"PROCESSES": 4, "THROTTLING_ENABLED": False}, "", False),
    ],
)
def test_processes_without_a_store_that_they_share(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, Any],
    concurrency: str,
    *,
    warned: bool,
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", concurrency)
    settings.HEADGATE = given
    found = check_shared()

    assert [each.id for each in found] == (["headgate.W005"] if warned else [])


def test_nothing_limited_is_said_before_a_deployment(settings: Settings) -> None:
    settings.HEADGATE = {"THROTTLING_ENABLED": False}
    assert [each.id for each in check_throttling()] == ["headgate.W006"]

    settings.HEADGATE = {}
    assert check_throttling() == []


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"send": "10/s"}, ["send allows 10/s, but send.all 1/s and command 2/s,"]),
        ({"send": "2/s:20"}, ["send allows 2/s, but send.all 1/s,"]),
        (
            {"send": "10/s", "send.all": "10/s"},
            [
                "send allows 10/s, but command 2/s,",
                "send.all allows 10/s, but command 2/s,",
            ],
        ),
        ({"history": "5/s"}, ["history allows 5/s, but command 2/s,"]),
    ],
)
def test_what_is_raised_and_held_down_elsewhere(
    settings: Settings, limits: dict[str, str], said: list[str]
) -> None:
    settings.HEADGATE = {"LIMITS": limits}
    found = check_raised_limits()

    assert [each.id for each in found] == ["headgate.W010"] * len(said)
    for each, words in zip(found, said, strict=True):
        assert each.msg.startswith(words)
        assert "in LIMITS as well" in (each.hint or "")
    assert all(each in checks.run_checks() for each in found)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"LIMITS": {"send": "10/s", "send.all": "10/s", "command": "20/s"}},
        {"LIMITS": {"send": "10/s", "send.all": "off", "command": "off"}},
        {"LIMITS": {"send": "off"}},  # so that send.all alone rules
        {"LIMITS": {"send.all": "10/min", "command": "30/min"}},  # lowered, and meant
        {"LIMITS": {"send": "2/s"}, "DRY_RUN": ["send.all"]},
        {"LIMITS": {"send": "10/s"}, "THROTTLING_ENABLED": False},
        {"LIMITS": {"send": "10/s", "command": "fast"}},  # which is headgate.E004's
        {"LIMITS": 5},
    ],
)
def test_what_no_other_limit_holds_down(
    settings: Settings, given: dict[str, Any]
) -> None:
    settings.HEADGATE = given

    assert check_raised_limits() == []
