"""The npm package, each step of its `npm test` by itself."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.architecture.test_files import MAX_LINES, NAMES_OF_NOTHING
from tests.npm.conftest import CLIENT, Npm

# Its programs use both cores, which on a busy machine they do not have.
pytestmark = pytest.mark.timeout(900)

ROOT = CLIENT.parent

SOURCES = sorted(path for path in (CLIENT / "src").rglob("*.ts"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_size_and_name(path: Path) -> None:
    first, *rest = path.read_text(encoding="utf-8").splitlines()
    assert len(rest) < MAX_LINES, "split it: a file holds one idea"
    assert path.stem not in NAMES_OF_NOTHING
    assert first.startswith("//") or first == '"use client";', "say what it is"


def test_types(npm: Npm) -> None:
    npm("run", "types")


def test_rules_of_style(npm: Npm) -> None:
    npm("run", "lint")


def test_units(npm: Npm) -> None:
    npm("run", "unit")


def test_what_is_published(npm: Npm) -> None:
    """The committed bundle is the sources' own, nothing is too large, all is there."""
    npm("run", "build", "--", "--check")
    npm("run", "size")
    npm("run", "pack:check")


RENDER = """
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { createClient } from "headgate";
import { HeadgateProvider, useConnection, useRoom } from "headgate/react";

const client = createClient({ bootstrap: "http://127.0.0.1/api/v1/connect" });
function Room() {
  const { timeline } = useRoom("general");
  return createElement("p", null, useConnection().status, timeline.messages.length);
}
const page = createElement(HeadgateProvider, { client }, createElement(Room));
const html = renderToString(page);
if (!html.startsWith("<p>idle")) throw new Error(html);
"""


@pytest.mark.parametrize("page", ["docs/how-to/react.md", "client/README.md"])
def test_it_renders_with_the_react_of_who_installs_it(
    npm: Npm, tmp_path: Path, page: str
) -> None:
    """Installed as the page says: with two Reacts no hook works."""
    text = (ROOT / page).read_text(encoding="utf-8")
    (command,) = re.findall(
        r"^npm (install .*path/to/headgate/client)$", text, re.MULTILINE
    )
    project = tmp_path / "project"
    project.mkdir()
    named = {"private": True, "type": "module", "scripts": {"render": "node page.mjs"}}
    (project / "package.json").write_text(json.dumps(named), encoding="utf-8")
    (project / "page.mjs").write_text(RENDER, encoding="utf-8")
    there = ("--prefix", str(project), "--offline", "--no-audit", "--no-fund")
    modules = CLIENT / "node_modules"
    react = [str(modules / name) for name in ("react", "react-dom", "scheduler")]
    npm("pack", "--ignore-scripts", "--pack-destination", str(tmp_path), *react)
    npm(*there, "install", *map(str, tmp_path.glob("*.tgz")))  # not as links

    npm("run", "build", "--", "--check")
    npm(*there, *command.replace("path/to/headgate/client", str(CLIENT)).split())
    npm(*there, "run", "render")


def test_the_script_names_no_map() -> None:
    """Django's hashing storages would look for it, and fail."""
    bundle = ROOT / "src/headgate/web/static/headgate_web"
    for name in "chat.js", "chat.css", "client.js":
        assert "sourceMappingURL" not in (bundle / name).read_text(encoding="utf-8")


def test_the_version_is_that_of_the_python_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    ours = json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))
    locked = json.loads((CLIENT / "package-lock.json").read_text(encoding="utf-8"))
    version = project["project"]["version"]
    assert ours["version"] == version.replace(".dev", "-dev.")
    assert locked["version"] == ours["version"]
    assert locked["packages"][""]["version"] == ours["version"]


def test_it_depends_on_nothing() -> None:
    package = json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))
    assert "dependencies" not in package
    assert package["peerDependenciesMeta"] == {"react": {"optional": True}}


def test_the_licence_is_the_same() -> None:
    ours = (CLIENT / "LICENSE").read_bytes()
    assert ours == Path(ROOT / "LICENSE").read_bytes()
