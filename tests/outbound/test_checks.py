"""What the system checks say about external services."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from headgate.outbound import checks


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"OUTBOUND_NETWORKS": ["10.1.0.0/33"]}, "OUTBOUND_NETWORKS"),
        ({"OUTBOUND_NETWORKS": ["intranet"]}, "OUTBOUND_NETWORKS"),
        ({"OUTBOUND_PORTS": ["https"]}, "OUTBOUND_PORTS"),
    ],
)
def test_networks_and_ports_that_are_none(
    settings: Settings, given: dict[str, Any], expected: str
) -> None:
    settings.HEADGATE = given
    (found,) = checks.check_addresses()
    assert found.id == "headgate.E014"
    assert expected in found.msg


def test_what_is_right_is_not_told(settings: Settings) -> None:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["10.1.0.0/16"], "OUTBOUND_PORTS": ["80"]}
    assert checks.check_addresses() == []
    assert checks.check_can_call() == []


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "can_call", lambda: False)
    (found,) = checks.check_can_call()
    assert (found.id, found.hint) == (
        "headgate.W007",
        "pip install 'headgate[outbound]'",
    )
