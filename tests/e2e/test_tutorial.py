"""The tutorial "Chat in your project in ten minutes", followed word for word.

Its blocks are run as they stand, with two differences: the package is that of this
checkout, and the server takes a free port.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headgate.client import Client
from headgate.protocol.pushes import Message

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs/tutorial/embed.md").read_text(encoding="utf-8")
STEP = re.compile(
    r"^(?P<order>[^\n]*)\n\n```(?P<language>\w+)\n(?P<block>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
ADDRESS = "http://127.0.0.1:8000"
SERVE = "python manage.py headgate serve"

pytestmark = pytest.mark.timeout(1500)


def steps() -> list[tuple[str, str]]:
    """Return what the tutorial says before each block, and the block."""
    return [(found["order"], found["block"]) for found in STEP.finditer(TUTORIAL)]


class Reader:
    """Somebody who follows the tutorial in an empty directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ADDRESS
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DJANGO_SETTINGS_MODULE", "VIRTUAL_ENV", "PYTHONPATH"}
        }
        # What is used is compiled then; all that is installed would take a minute.
        self.environment["PIP_NO_COMPILE"] = "1"

    def run(self, block: str) -> str:
        """Run shell commands in one shell that stays where it was."""
        block = block.replace("-e 'path/to/headgate[server]'", f"'{ROOT}[server]'")
        block = block.replace(ADDRESS, self.address)
        ended = subprocess.run(
            ["sh", "-ec", f"{self.prelude}{block}\necho\npwd"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert ended.returncode == 0, f"{block}\n{ended.stdout}\n{ended.stderr}"
        *said, where = ended.stdout.splitlines()
        self.folder = Path(where)
        return "\n".join(said)

    @property
    def prelude(self) -> str:
        """What an activated environment keeps doing."""
        found = next(
            (
                each / ".venv/bin/activate"
                for each in (self.folder, *self.folder.parents)
                if (each / ".venv/bin/activate").exists() and each != ROOT
            ),
            None,
        )
        return "" if found is None else f". '{found}'\n"

    def write(self, order: str, block: str) -> None:
        """Write a file, or add to it, as told."""
        name = re.search(r"`([\w/]+\.py)`", order)
        assert name is not None, order
        path = self.folder / name[1]
        if order.startswith("Add to the end of"):
            block = path.read_text(encoding="utf-8") + "\n" + block
        elif order.startswith("Replace"):
            assert path.exists()
        else:
            assert order.startswith("Write into"), order
            assert not path.exists()
        path.write_text(block, encoding="utf-8")

    @contextmanager
    def server(self) -> Iterator[None]:
        """Start the server in its own terminal, and press Ctrl-C at the end."""
        complaints = self.folder / "complaints.txt"
        with complaints.open("w") as stderr:
            process = subprocess.Popen(
                ["sh", "-ec", f"{self.prelude}exec {SERVE} --port 0"],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Headgate listening on http://"), line
            self.address = line.split()[-1]
            yield
        finally:
            process.send_signal(2)
            ended = process.wait(timeout=60)
            if process.stdout is not None:
                process.stdout.close()
        assert (ended, complaints.read_text()) == (0, "")


def get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return str(answer.read().decode())


async def texts(address: str, room: str, count: int) -> list[str]:
    """Return the first messages of a room, as a guest sees them come."""
    found: list[str] = []
    async with Client(address, name="Gus") as client:
        await client.join(room, after=0)
        async for push in client:
            if isinstance(push, Message):
                found.append(push.text)
            if len(found) == count:
                break
    return found


async def test_the_tutorial_works_word_for_word(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    todo = iter(steps())

    def do(*expected: str) -> str:
        """Do the next step; `expected` is what it must be about."""
        order, block = next(todo)
        for word in expected:
            assert word in order + block, f"{word} is not in {order}\n{block}"
        if order.endswith("Run:") or order.startswith("Run"):
            return reader.run(block)
        reader.write(order, block)
        return ""

    do("startproject")
    do("settings.py")
    do("urls.py")
    do("asgi.py")
    do("migrate")
    _order, block = next(todo)
    assert block.strip() == SERVE
    with reader.server():
        _order, listening = next(todo)
        assert listening.strip() == f"Headgate listening on {ADDRESS}"
        page = get(f"{reader.address}/chat/lobby/")
        assert "Lobby" in page
        for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
            assert get(reader.address + asset)
        do("send_message")
        said = do("curl")  # two answers, with nothing between them
        saved, end = json.JSONDecoder().raw_decode(said)
        history = json.loads(said[end:])
        assert saved["message"] == "Message received and saved."
        assert [each["text"] for each in history["messages"]] == [
            "The shop opens at nine.",
            "hi from curl",
        ]
        assert await texts(reader.address, "lobby", 2) == [
            "The shop opens at nine.",
            "hi from curl",
        ]
        assert "headgate" in get(f"{reader.address}/api/v1/docs").lower()
    do("orders.py")
    do("urls.py")
    do("createsuperuser")
    with reader.server():
        await comment_on_an_order(reader.address)
    assert next(todo, None) is None


async def comment_on_an_order(address: str) -> None:
    """Sign in with a browser's means, and comment: the client is connected then."""
    import httpx

    async with httpx.AsyncClient(
        base_url=address, follow_redirects=True, timeout=30
    ) as browser:
        await browser.get("/sign-in/")
        form = {
            "username": "ada",
            "password": "correct-horse",
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        answer = await browser.post("/sign-in/", data=form)
        assert "Order 7" in answer.text
        cookies: dict[str, Any] = dict(browser.cookies)

    async with Client(address, cookies=cookies) as client:
        answer = await client.http.post("/orders/7/comment", json={"text": "When?"})
        assert answer.status_code == 201
        connect = json.loads(answer.headers["Headgate-Connect"])
        assert connect["rooms"] == ["order-7"]
        deadline = time.monotonic() + 60
        sent = await client.send("order-7", "Still there?")
        async for push in client:
            assert time.monotonic() < deadline
            if isinstance(push, Message) and push.seq == sent.seq:
                break
