"""The client as a static file, in a real browser, by the page of the documentation.

The tests themselves are `plain.test.mjs`, run by Node.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.template import Context, Template

from tests.servers import HeadgateServer
from tests.web.node_stage import HERE, node_programs, run_in_node

HOW_TO = HERE.parents[1] / "docs" / "how-to" / "plain-javascript.md"


def block(language: str) -> str:
    """Return the first example in a language."""
    page = HOW_TO.read_text(encoding="utf-8")
    return page.partition(f"\n```{language}\n")[2].partition("\n```\n")[0]


def test_it_is_a_static_file() -> None:
    assert finders.find("headgate_web/client.js")
    shown = Template(block("html")).render(Context())
    assert 'from "/static/headgate_web/client.js"' in shown


@pytest.mark.timeout(900)
def test_in_the_browser(tmp_path: Path) -> None:
    node_programs()
    said = tmp_path / "node.out"
    room, calls = tmp_path / "room.html", tmp_path / "calls.html"
    room.write_text(Template(block("html")).render(Context()), encoding="utf-8")
    script = f'<input><script type="module">{block("js")}</script>'
    calls.write_text(script, encoding="utf-8")
    server = HeadgateServer(tmp_path / "data", ["--guests", "--demo"])
    failed = run_in_node(
        ["--test", "--test-reporter=spec", "plain.test.mjs"],
        {"open": server},
        said,
        ROOM=str(room),
        CALLS=str(calls),
    )
    assert not failed, said.read_text(encoding="utf-8")
