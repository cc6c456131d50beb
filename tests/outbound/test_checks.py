"""What the system checks say about external services."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
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


class Apart:
    """A router that leaves the services where they were."""

    def db_for_write(self, model: Any, **_: Any) -> str | None:
        return "chat" if model._meta.app_label == "headgate_chat" else None


def test_the_chat_and_its_services_have_one_database(settings: Settings) -> None:
    assert checks.check_one_database() == []
    settings.DATABASE_ROUTERS = [Apart()]
    (found,) = checks.check_one_database()
    assert found.id == "headgate.E015"
    assert "'chat'" in found.msg
    assert "'default'" in found.msg
    assert found in run_checks()


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "can_call", lambda: False)
    (found,) = checks.check_can_call()
    assert (found.id, found.hint) == (
        "headgate.W007",
        "pip install 'headgate[outbound]'",
    )
