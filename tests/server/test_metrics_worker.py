"""Where a worker shows what it measures, and why it may not be able to."""

from __future__ import annotations

import argparse
import socket
import sys
from typing import Any

import httpx
import pytest
from django.db import DatabaseError

from headgate.outbound.models import Destination
from headgate.server import metrics_outbound
from headgate.server.exits import CannotStart
from headgate.server.metrics_worker import shown
from headgate.server.worker_verb import add_arguments
from tests.server.scraping import Scrape

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
DUE = "headgate_outbound_due"


def address_of(*arguments: str) -> Any:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments).metrics


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        ("10.0.0.7:9464", ("10.0.0.7", 9464)),
        ("[::1]:0", ("::1", 0)),
    ],
)
def test_an_address(text: str, address: tuple[str, int]) -> None:
    assert address_of("--metrics", text) == address
    assert address_of() is None


@pytest.mark.parametrize("text", ["", "nowhere", ":80", "70000", "10.0.0.7:", "-1"])
def test_what_is_no_address(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        address_of(f"--metrics={text}")
    assert "Write a port, such as 9464" in capsys.readouterr().err


def test_without_an_address_nothing_is_shown() -> None:
    with shown(None, lambda: None) as url:
        assert url is None


def test_what_the_database_says_is_shown_and_stands_while_it_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Destination.objects.create(name="crm", url="https://crm.example/")

    def scraped(url: str) -> Scrape:
        return Scrape(httpx.get(url, timeout=20).text)

    monkeypatch.setattr(metrics_outbound, "KEPT_SECONDS", 0.0)
    with shown(("127.0.0.1", 0), lambda: None) as url:
        assert url is not None
        assert scraped(url).values(DUE, "destination") == ["crm"]
        Destination.objects.create(name="pager", url="https://pager.example/")
        assert scraped(url).values(DUE, "destination") == ["crm", "pager"]

        def away() -> Any:
            raise DatabaseError("it is away")

        monkeypatch.setattr(metrics_outbound, "_totals", away)
        assert scraped(url).values(DUE, "destination") == ["crm", "pager"]
        assert "metrics_not_read error=it is away" in caplog.text
    with pytest.raises(httpx.ConnectError):
        scraped(url)


def test_it_cannot_listen_where_somebody_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(CannotStart, match=f"at 127.0.0.1:{port}: ") as raised,
            shown(("127.0.0.1", port), lambda: None),
        ):
            raise AssertionError("it listens")
    assert raised.value.code == 3


def test_without_the_package_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with (
        pytest.raises(CannotStart, match=r"pip install 'headgate\[metrics\]'"),
        shown(("127.0.0.1", 0), lambda: None),
    ):
        raise AssertionError("it shows something")
