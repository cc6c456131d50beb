"""Projects of somebody else's, and their servers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.postgres import fresh_database
from tests.small_project import ProjectServer, SmallProject

ServeProject = Callable[[SmallProject, Sequence[object]], ProjectServer]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project with its tables on SQLite, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    SmallProject(folder).migrate()
    return folder


@pytest.fixture
def project(migrated: Path, tmp_path: Path) -> SmallProject:
    """A project with its tables, on SQLite."""
    folder = tmp_path / "project"
    shutil.copytree(migrated, folder)
    return SmallProject(folder)


@pytest.fixture
def project_on_either(
    project: SmallProject, database_url: str | None
) -> Iterator[SmallProject]:
    """A project with its tables, on SQLite and again on PostgreSQL."""
    if database_url is None:
        yield project
        return
    with fresh_database(database_url) as url:
        moved = SmallProject(project.folder, url)
        moved.migrate()
        yield moved


@pytest.fixture
def serve_project() -> Iterator[ServeProject]:
    """Start a project's server by a command; all are ended with the test."""
    with ExitStack() as stack:

        def start(project: SmallProject, command: Sequence[object]) -> ProjectServer:
            server = ProjectServer(project, command)
            stack.callback(_end, server)
            server.start()
            return server

        yield start


def _end(server: ProjectServer) -> None:
    try:
        if server.running:
            server.stop()
    finally:
        sys.stderr.write(server.stderr)
