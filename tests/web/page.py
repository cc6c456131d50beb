"""A page as a browser reads it: tags, links, what people see, what scripts are told."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

__all__ = ["Page"]

# Attributes whose value a browser runs or draws without asking the policy twice.
INLINE = re.compile(r"^(on.*|style)$")
# Attributes that people read or hear.
SAID = {"placeholder", "title", "aria-label", "alt"}
EMPTY = {"meta", "link", "input", "img"}  # have no end


class Page(HTMLParser):
    """The tags, attributes, links and texts of a page.

    `said` are the texts that people get to see or hear; `told` is what the elements'
    scripts are told, by the element.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[str] = []
        self.inline: list[str] = []
        self.said: list[str] = []
        self.told: dict[str, dict[str, Any]] = {}
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag not in EMPTY:
            self._open.append(tag)
        if tag == "a":
            self.links.append(given.get("href") or "")
        self.said += [value for name, value in attrs if name in SAID and value]
        self.inline += [f"{tag} {name}" for name in given if INLINE.match(name)]
        runs = tag == "script" and given.get("type") != "application/json"
        if tag == "style" or (runs and "src" not in given):
            self.inline.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            if data.strip():
                self.told[self._open[-2]] = json.loads(data)
        elif data.strip():
            self.said.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [given for name, given in self.tags if name == tag]

    def one(self, tag: str) -> dict[str, str | None]:
        (found,) = self.all(tag)
        return found
