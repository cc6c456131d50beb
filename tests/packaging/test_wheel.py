"""The wheel as somebody installs it: in an empty environment, where there is no Node.

Its static files are collected and hashed, and the page is served with them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.small_project import ProjectServer, SmallProject

ROOT = Path(__file__).parents[2]
STATIC = "headgate/web/static/headgate_web"
INSTALL_SECONDS = 600

_HASHED_FILES = """
MIDDLEWARE.insert(0, "whitenoise.middleware.WhiteNoiseMiddleware")
STATIC_ROOT = FILE.parent / "collected"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage",
    },
}
"""
_ROOM = """
from headgate.chat.models import Room

Room.objects.create(slug="lobby", title="Lobby")
"""


def installed(*command: object) -> None:
    """Run what fetches packages; without a network a skip, in CI a failure."""
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_SECONDS,
    )
    if "connection" in done.stderr.lower() and os.environ.get("CI") != "true":
        pytest.skip("the packages that the wheel needs cannot be fetched")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    installed(sys.executable, "-m", "pip", "wheel", ROOT, "--no-deps", "-w", folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def empty_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the wheel, and what `server` asks for."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin/python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install"]
    pip += ["--no-compile"]  # what is used is compiled then
    installed(*pip, "--only-binary", ":all:", f"{wheel}[server]")
    return python


def content_of(wheel: Path, name: str) -> bytes:
    """Return a static file of the wheel."""
    with zipfile.ZipFile(wheel) as content:
        return content.read(f"{STATIC}/{name}")


def get(url: str) -> bytes:
    """Return the body of a page."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
    return body


def test_what_is_in_it(wheel: Path) -> None:
    for name in "chat.js", "chat.css", "client.js":
        assert content_of(wheel, name) == (ROOT / "src" / STATIC / name).read_bytes()
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
    assert "headgate/py.typed" in names
    assert any(name.startswith("headgate/web/templates/") for name in names)
    # One package and what is said of it: no sources of the script, no tests.
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"headgate"}
    assert not [name for name in names if name.endswith((".ts", ".map"))]


@pytest.mark.timeout(INSTALL_SECONDS * 2 + 60)
def test_the_page_of_an_empty_environment(
    wheel: Path,
    empty_python: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(empty_python.parent))
    assert shutil.which("node") is None
    project = SmallProject(tmp_path / "project")
    project.add("mysite/settings.py", _HASHED_FILES)

    def manage(*arguments: str) -> None:
        done = subprocess.run(
            [empty_python, "-W", "error", "manage.py", *arguments],
            cwd=project.folder,
            env=project.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"

    manage("makemigrations", "people", "app")
    manage("migrate")
    manage("collectstatic", "--no-input")
    manage("shell", "--command", _ROOM)
    server = ProjectServer(project, [empty_python, "manage.py", "headgate", "serve"])
    server.start()
    try:
        room = f"{server.url}/chat/lobby/"
        page = get(room).decode()
        for kind in "js", "css":
            found = re.findall(
                rf'"(/static/headgate_web/chat\.[0-9a-f]{{12}}\.{kind})"', page
            )
            assert len(found) == 1, page
            assert get(urljoin(room, found[0])) == content_of(wheel, f"chat.{kind}")
    finally:
        server.stop()
