"""The settings of the stand-alone server, by environment variables."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from headgate.chat.conf import Conf
from headgate.server.environment import misspelt_in, settings_in
from headgate.server.exits import EXIT_USAGE, CannotStart
from headgate.server.options import ServeOptions
from headgate.server.settings import build_settings


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("GUESTS", "yes", True),
        ("GUESTS", " True ", True),
        ("GUESTS", "0", False),
        ("RESUME_LIMIT", "500", 500),
        ("RESUME_LIMIT", "10_000", 10_000),
        ("PERMISSIONS", "app.rules.Rules", "app.rules.Rules"),
        ("TICKET_CACHE", "default", "default"),
        ("ALLOWED_ORIGINS", "https://a.example", ["https://a.example"]),
        (
            "ALLOWED_ORIGINS",
            "https://a.example, https://b.example,",
            ["https://a.example", "https://b.example"],
        ),
    ],
)
def test_a_variable_sets_its_key(name: str, text: str, value: object) -> None:
    assert settings_in({f"HEADGATE_{name}": text}) == {name: value}


@pytest.mark.parametrize("name", [field.name for field in fields(Conf)])
def test_an_empty_variable_sets_nothing(name: str) -> None:
    assert settings_in({f"HEADGATE_{name}": " "}) == {}


def test_other_variables_are_left_alone() -> None:
    others = {"HEADGATE_ELSEWHERE": "1", "HEADGATE_REPORTS": "/run", "GUESTS": "yes"}
    assert settings_in(others) == {}
    assert misspelt_in(others) == {}


@pytest.mark.parametrize("name", ["GUEST", "guests", "GUETSS"])
def test_a_misspelt_variable_is_told_with_what_was_meant(name: str) -> None:
    given = {f"HEADGATE_{name}": "yes", "HEADGATE_MAKE_ROOMS": "yes"}
    assert misspelt_in(given) == {f"HEADGATE_{name}": "HEADGATE_GUESTS"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("GUESTS", "perhaps", "yes or no"),
        ("RESUME_LIMIT", "many", "whole number"),
        ("RESUME_LIMIT", "0", "whole number above 0"),
        ("RESUME_LIMIT", "-5", "whole number above 0"),
    ],
)
def test_a_value_that_does_not_fit_ends_the_server(
    name: str, text: str, expected: str
) -> None:
    with pytest.raises(CannotStart, match=expected) as told:
        settings_in({f"HEADGATE_{name}": text})
    assert told.value.code == EXIT_USAGE
    assert f"HEADGATE_{name}" in str(told.value)
    assert repr(text) in str(told.value)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("LIMITS", "send=fast", "'fast' is no rate"),
        ("LIMITS", "sned=1/s", "There is no policy 'sned'"),
        ("DRY_RUN", "connect.open", "is no rate"),
        ("REFUSALS_BEFORE_CLOSE", "20", "not more than REFUSALS_BEFORE_PAUSE"),
        ("REDIS", "localhost", "no URL of a Redis"),
        ("OUTBOUND_NETWORKS", "127.0.0.1/8", "Write networks such as"),
        ("OUTBOUND_PORTS", "443,https", "no port from 1 to 65535"),
    ],
)
def test_what_is_no_limit_or_network_ends_the_server(
    name: str, text: str, expected: str
) -> None:
    with pytest.raises(CannotStart, match=expected) as told:
        settings_in({f"HEADGATE_{name}": text})
    assert told.value.code == EXIT_USAGE
    assert f"HEADGATE_{name}" in str(told.value)


def test_every_key_can_be_set() -> None:
    texts = {
        "bool": "yes",
        "int": "7",
        "str": "a.b",
        "str | None": "a.b",
        "list[str] | None": "a.b",
        "dict[str, str] | None": "send=2/s",
        "float": "2.5",
    }
    environment = {
        f"HEADGATE_{field.name}": texts[str(field.type)] for field in fields(Conf)
    } | {
        "HEADGATE_DRY_RUN": "send,typing",
        "HEADGATE_HTTP_RATE": "10/s",
        "HEADGATE_OUTBOUND_NETWORKS": "10.1.0.0/16",
        "HEADGATE_OUTBOUND_PORTS": "443",
        "HEADGATE_REDIS": "redis://127.0.0.1/0",
        "HEADGATE_REFUSALS_BEFORE_CLOSE": "8",
    }
    assert set(settings_in(environment)) == {field.name for field in fields(Conf)}


def test_the_command_line_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADGATE_GUESTS", "yes")
    monkeypatch.setenv("HEADGATE_OUTBOX_MAX_BYTES", "1000")

    def chat(*, guests: bool | None) -> dict[str, object]:
        options = ServeOptions(data=tmp_path, database=None, guests=guests)
        found: dict[str, object] = build_settings(options, "key")["HEADGATE"]
        return found

    assert chat(guests=None) == {"GUESTS": True, "OUTBOX_MAX_BYTES": 1000}
    assert chat(guests=False) == {
        "GUESTS": False,
        "MAKE_ROOMS": False,
        "OUTBOX_MAX_BYTES": 1000,
    }
