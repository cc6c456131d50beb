"""The styles of the chat and of the page around it, and what is written about them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHAT = (ROOT / "client/src/style.css").read_text(encoding="utf-8")
PAGE = (ROOT / "src/headgate/web/static/headgate_web/page.css").read_text("utf-8")
GUIDE = (ROOT / "docs/how-to/embed-the-page.md").read_text(encoding="utf-8")
USED = re.compile(r"var\((--headgate-[a-z]+), (light-dark\([^)]*\)|[^;)]*)\)")
ROW = re.compile(r"^\| `(--headgate-[a-z]+)` \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def defaults(css: str) -> dict[str, str]:
    """Return each property's default, however the file is laid out."""
    in_line = re.sub(r"\s+", " ", css).replace("( ", "(").replace(" )", ")")
    return dict(USED.findall(in_line))


def test_the_page_and_the_chat_look_alike() -> None:
    chat, page = defaults(CHAT), defaults(PAGE)
    assert len(page) >= 8
    assert page == {name: chat[name] for name in page}


def test_the_guide_has_all_properties() -> None:
    documented = dict(ROW.findall(GUIDE))
    assert set(documented) == set(re.findall(r"--headgate-[a-z]+", CHAT))
    for name, default in defaults(CHAT).items():
        if name == "--headgate-font":
            continue
        values = re.sub(r"light-dark\((.*)\)", r"\1", default)
        assert documented[name].replace("`", "") == values, name


@pytest.mark.parametrize("css", [CHAT, PAGE], ids=["chat", "page"])
def test_nothing_is_loaded_from_elsewhere(css: str) -> None:
    assert not re.search(r"url\(|@import|@font-face", css)
