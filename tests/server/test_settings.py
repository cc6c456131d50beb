"""The Django settings of the stand-alone server."""

from __future__ import annotations

import socket
import sys
from typing import Any

import dj_database_url
import psycopg
import pytest

from headgate.server.options import ServeOptions
from headgate.server.settings import build_settings


def options_of(url: str) -> dict[str, Any]:
    """Return with what the database at a URL is opened."""
    database = dict(dj_database_url.parse(url))
    found = build_settings(ServeOptions(database=database), "key")["DATABASES"]
    return dict(found["default"]["OPTIONS"])


def test_a_postgresql_that_is_gone_is_given_up_soon() -> None:
    found = options_of("postgres://h:x@db.example:5432/chat")

    asked_seconds = found["keepalives_interval"] * found["keepalives_count"]
    assert found["keepalives_idle"] + asked_seconds == 11
    assert found["tcp_user_timeout"] == 10_000
    assert found["connect_timeout"] == 5


def test_what_the_url_says_of_its_connections_wins() -> None:
    url = "postgres://h:x@db.example/chat"
    given = f"{url}?keepalives_idle=60&tcp_user_timeout=0&sslmode=require"
    said = {"keepalives_idle": "60", "tcp_user_timeout": "0", "sslmode": "require"}

    assert {k: str(v) for k, v in options_of(given).items()} == {
        k: str(v) for k, v in (options_of(url) | said).items()
    }


@pytest.mark.skipif(sys.platform != "linux", reason="these are names of Linux")
def test_its_connections_have_it(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, **options_of(postgres_url)) as connection:
        wire = socket.socket(fileno=connection.pgconn.socket)
        try:
            has = [
                wire.getsockopt(socket.IPPROTO_TCP, option)
                for option in (
                    socket.TCP_USER_TIMEOUT,
                    socket.TCP_KEEPIDLE,
                    socket.TCP_KEEPINTVL,
                    socket.TCP_KEEPCNT,
                )
            ]
        finally:
            wire.detach()

    assert has == [10_000, 5, 2, 3]
