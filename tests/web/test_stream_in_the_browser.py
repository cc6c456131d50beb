"""The event stream in a real browser, by the example of the documentation.

The tests themselves are `stream.test.mjs`, run by Node.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.servers import HeadgateServer
from tests.web.node_stage import HERE, node_programs, run_in_node

HOW_TO = HERE.parents[1] / "docs" / "how-to" / "event-stream.md"


def example() -> str:
    """Return the example of the documentation for browsers."""
    page = HOW_TO.read_text(encoding="utf-8")
    found = re.search(r"```js\n(let last.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.timeout(900)
def test_in_the_browser(tmp_path: Path) -> None:
    node_programs()
    said, script = tmp_path / "node.out", tmp_path / "example.js"
    script.write_text(example(), encoding="utf-8")
    server = HeadgateServer(tmp_path / "data", ["--guests", "--demo"])
    failed = run_in_node(
        ["--test", "--test-reporter=spec", "stream.test.mjs"],
        {"open": server},
        said,
        EXAMPLE=str(script),
    )
    assert not failed, said.read_text(encoding="utf-8")
    assert server.stderr.count("origin_refused") == 2
