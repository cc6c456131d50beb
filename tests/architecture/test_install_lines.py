"""What the pages say to install is what they mean: another's `headgate` is on PyPI."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "client/README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
)
INSTALLED = re.compile(r"pip install ([^`\n]+)")
# The name by itself, with or without extras, and not the end of a path.
BARE_NAME = re.compile(r"(?<![\w/.-])headgate(\[[\w,]+\])?(?![\w/.-])")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_headgate_is_installed_from_a_clone(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = [each for each in INSTALLED.findall(text) if BARE_NAME.search(each)]
    assert lines == [], "write path/to/headgate: the name is another project's"


@pytest.mark.parametrize("what", ["asgi", "channels", "drf", "views"])
def test_each_example_of_throttling_says_what_to_install(what: str) -> None:
    text = (ROOT / f"docs/how-to/throttle-{what}.md").read_text(encoding="utf-8")
    before = text.partition("\n## ")[0]
    assert "path/to/headgate" in "\n".join(INSTALLED.findall(before))
    if "uvicorn " in before:
        assert "uvicorn websockets" in before, "without it, it answers no WebSocket"
