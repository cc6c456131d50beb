"""What many tests share: real servers, and a real PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from tests.file_order import longest_first
from tests.postgres import VARIABLE, fresh_database, postgres, postgres_programs
from tests.redis_server import RedisServer, redis_program
from tests.redis_server import redis_server as running_redis
from tests.servers import HeadgateServer
from tests.steady import SteadyClock


class Serve(Protocol):
    """Starts a server: a fresh one, or with `share` another one on the same data."""

    def __call__(
        self,
        *arguments: str,
        database_url: str | None = None,
        share: HeadgateServer | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> HeadgateServer:
        """Return a server that takes connections.

        `arguments` are more options of `headgate serve`, and `environment` is added to
        that of the tests, in which nothing is limited. With `database_url`, the
        server has a database of its own, made for it on that PostgreSQL.
        """


@pytest.hookimpl(trylast=True)  # after pytest-django has put its tests in order
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Where processes share the files, have the longest begin first."""
    if hasattr(config, "workerinput"):
        items[:] = longest_first(items)


@pytest.fixture(autouse=True)
def _unlimited(request: pytest.FixtureRequest) -> None:
    """Limit nothing, but in tests that are about limits: those marked `limits`."""
    if request.node.get_closest_marker("limits") is None:
        request.getfixturevalue("limits_off")


@pytest.fixture(scope="session", autouse=True)
def _own_reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Report refusals where nobody looks but these tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("refusals") / "limits"
        patch.setenv("HEADGATE_REPORTS", str(folder))
        yield


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL for this run: that of the environment, or a temporary one."""
    given = os.environ.get(VARIABLE, "")
    if given:
        yield given
        return
    if postgres_programs() is None:
        _left_out("PostgreSQL is not installed")
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Run the test twice: None stands for SQLite, a URL for a PostgreSQL."""
    if request.param == "sqlite":
        return None
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="session")
def session_redis() -> Iterator[RedisServer]:
    """The Redis of this run; ask for `redis_server`."""
    if redis_program() is None:
        _left_out("Redis is not installed")
    with running_redis() as server:
        yield server


@pytest.fixture
def redis_server(session_redis: RedisServer) -> RedisServer:
    """A Redis that runs and is empty, whatever the last test did to it."""
    session_redis.ready()
    return session_redis


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start real servers; all are ended with the test."""
    with contextlib.ExitStack() as stack:
        count = 0

        def start(
            *arguments: str,
            database_url: str | None = None,
            share: HeadgateServer | None = None,
            environment: Mapping[str, str] | None = None,
        ) -> HeadgateServer:
            nonlocal count
            count += 1
            data = tmp_path / f"data{count}"
            database = database_url
            if share is not None:
                data, database = share.data, share.database_url
            elif database_url is not None:
                database = stack.enter_context(fresh_database(database_url))
            server = HeadgateServer(
                data, arguments, database_url=database, environment=environment
            )
            stack.callback(_end, server)
            server.start()
            return server

        yield start


@pytest.fixture
def steady() -> Iterator[SteadyClock]:
    """A clock for what is promised in seconds, on a machine that may stand still."""
    with SteadyClock() as clock:
        yield clock


@pytest.fixture(scope="session")
def needs_nginx() -> None:
    """Leave a test out where nginx or Redis is not installed."""
    path = f"{os.environ['PATH']}:/usr/sbin"  # where only root looks on Debian
    for program in ("nginx", "redis-server", "openssl"):
        if shutil.which(program, path=path) is None:
            _left_out(f"{program} is not installed")


def _end(server: HeadgateServer) -> None:
    """End a server; pytest shows what it said where the test failed."""
    try:
        if server.running:
            server.stop()
    finally:
        sys.stderr.write(server.stderr)


def _left_out(why: str) -> NoReturn:
    """Skip a test, unless nothing may be left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why}, and with CI=true nothing may be left out")
    pytest.skip(why)
