"""The examples of docs/reference/http.md do what the page says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from headgate.chat.http.api import api
from headgate.protocol.codes import ERRORS, Code
from tests.conftest import Serve, _left_out
from tests.e2e.accounts import PASSWORD, make_account

PAGE = Path(__file__).parents[3] / "docs/reference/http.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "--- headgate ---"  # between the answers of two examples


def examples() -> list[tuple[str, Any]]:
    """Return each command of the page with the answer shown below it, or None."""
    found: list[tuple[str, Any]] = []
    for kind, text in BLOCKS.findall(TEXT):
        if kind == "sh":
            found.append((text, None))
        else:
            command, shown = found.pop()
            assert shown is None, "an answer belongs to one command"
            found.append((command, json.loads(text)))
    return found


_LIMITS = "limits"


def shape(value: Any) -> Any:
    """Return a value's fields and types, without what differs each time."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        # The page shows the first of one's limits, and which are used up differs.
        limits = bool(value) and isinstance(value[0], dict) and "policy" in value[0]
        return [_LIMITS] if limits else [shape(each) for each in value]
    return type(value).__name__


def test_every_operation_is_on_the_page() -> None:
    for path, methods in api.get_openapi_schema()["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in TEXT


def test_the_statuses_are_those_of_the_codes() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (`[^|]+`) \|", TEXT, re.MULTILINE)
    differing = {"405": "unknown_command", "426": "unsupported"}  # said by HTTP alone
    for status, codes in rows:
        for code in re.findall(r"`(\w+)`", codes):
            said = ERRORS[Code(code)].http
            assert str(said) == status or differing[status] == code
    assert len(rows) > 10


def test_the_examples_answer_as_shown(serve: Serve, tmp_path: Path) -> None:
    for program in ("bash", "curl", "awk"):
        if shutil.which(program) is None:
            _left_out(f"{program} is not installed")
    server = serve("--guests", environment={"HEADGATE_THROTTLING_ENABLED": "yes"})
    make_account(server, "ada")
    given = examples()
    script = "".join(f"{command}\necho '\n{MARK}'\n" for command, _ in given)
    script = script.replace("http://127.0.0.1:8000", server.url)
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail"],
        input=f"PASSWORD='{PASSWORD}'\n{make_room(server.url)}\n{script}",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    answers = done.stdout.split(MARK)[: len(given)]
    for (command, shown), answer in zip(given, answers, strict=True):
        if shown is not None:
            assert shape(json.loads(answer)) == shape(shown), command


def make_room(url: str) -> str:
    """Return the command by which the room of the examples comes to be."""
    return (
        f"curl -s -o first {url}/ws/chat/general/ "
        "-H 'Content-Type: application/json' -d '{\"message\": \"first\"}'"
    )


@pytest.mark.parametrize("name", ["http.md", "../explanation/identity.md"])
def test_a_sentence_stands_on_its_line(name: str) -> None:
    text = BLOCKS.sub("", (PAGE.parent / name).read_text(encoding="utf-8"))
    for line in text.splitlines():
        if not line.startswith(("|", "-", "1.", "2.", "3.")):
            assert not re.search(r"[a-z]\. [A-Z]", line), line
