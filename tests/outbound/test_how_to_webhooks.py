"""The programs of docs/how-to/webhooks.md do what the page says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from headgate.chat import actions
from headgate.chat.models import Room
from headgate.outbound.models import Delivery, Destination
from headgate.outbound.notices import NOTICES
from headgate.outbound.retries import BASE_SECONDS, LONGEST_SECONDS
from headgate.outbound.signatures import new_secret
from headgate.server.cli import build_parser
from headgate.server.metrics_outbound import OUTBOUND_MEASURES
from tests.conftest import Serve, _left_out
from tests.processes import spawn, stop
from tests.server.services import LOCAL, make_destination, on_data, post, until

DOCS = Path(__file__).parents[2] / "docs/how-to"
NODE = Path(__file__).parents[1] / "e2e/node"
PAGE = (DOCS / "webhooks.md").read_text(encoding="utf-8")
WORKER = (DOCS / "run-a-worker.md").read_text(encoding="utf-8")


def block(kind: str, containing: str, page: str = PAGE) -> str:
    """Return the one block of code that has these words."""
    found = re.findall(rf"^```{kind}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (code,) = [each for each in found if containing in each]
    return str(code)


class Running:
    """A receiver of the page, and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], said: Path, port: int) -> None:
        self.process = process
        self._said = said
        self.port = port
        until(self._listens)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def said(self) -> str:
        return self._said.read_text(encoding="utf-8")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def secret() -> str:
    return new_secret()


@pytest.fixture
def receive(tmp_path: Path, secret: str) -> Iterator[Callable[[str], Running]]:
    """Start a receiver of the page, by its language."""
    running: list[Running] = []

    def start(language: str) -> Running:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        if language == "python":
            file = tmp_path / "receiver.py"
            file.write_text(block("python", "BaseHTTPRequestHandler"))
            program = sys.executable
        else:
            node = shutil.which("node")
            if node is None or not (NODE / "node_modules/standardwebhooks").is_dir():
                _left_out("tests/e2e/node has no modules (run `npm ci` there)")
            program = node
            # Node looks for packages beside the file.
            (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
            file = tmp_path / "receiver.mjs"
            file.write_text(block("js", "createServer"))
        said = tmp_path / "said"
        with said.open("wb") as out:
            process = spawn(
                [program, str(file)],
                stdout=out,
                env=os.environ | {"SECRET": secret, "PORT": str(port)},
            )
        running.append(Running(process, said, port))
        return running[-1]

    yield start
    for each in running:
        stop(each.process, signal.SIGKILL, limit_seconds=10)


@pytest.mark.timeout(360)
@pytest.mark.parametrize("language", ["python", "js"])
def test_a_receiver_of_the_page_takes_what_is_signed_once(
    serve: Serve, receive: Callable[[str], Running], language: str, secret: str
) -> None:
    receiver = receive(language)
    server = serve("--guests", environment=LOCAL)
    make_destination(server, "crm", receiver.url, secrets=[new_secret(), secret])

    post(server, "Where is it?")

    until(lambda: receiver.said() == "room.message Where is it?\n")
    on_data(server, AGAIN)
    make_destination(server, "forger", receiver.url, secrets=[new_secret()])
    post(server, "second")
    until(lambda: "second" in receiver.said())
    on_data(server, REFUSED)
    assert receiver.said().splitlines() == [
        "room.message Where is it?",
        "room.message second",
    ]


# The same call again, as after an answer that was lost.
AGAIN = """
import time
def wait_for(**what):
    until = time.monotonic() + 20
    while not Delivery.objects.filter(**what).exists():
        assert time.monotonic() < until, what
        time.sleep(0.1)
wait_for(state="done")
Delivery.objects.update(state="due", due_at=0, attempts=0)
wait_for(state="done")
"""
REFUSED = AGAIN.partition("wait_for(state")[0] + "wait_for(last_status=401)"


@pytest.mark.django_db(transaction=True)
def test_code_makes_one_that_is_told() -> None:
    room = Room.objects.create(slug="order-7")
    exec(compile(block("python", "Destination.objects.create"), "page", "exec"), {})

    actions.send_message(room, actions.SYSTEM, "hi")

    assert Delivery.objects.get().destination == Destination.objects.get(name="crm")


def test_a_post_of_the_page_stands_in_the_room_once(serve: Serve) -> None:
    server = serve("--guests")
    made = on_data(
        server,
        """
from headgate.outbound.incoming import make_hook
hook = make_hook(Room.objects.create(slug="builds"), "Build server")
print(hook.key, hook.secrets[0])
""",
    )
    key, secret = made.split()
    code = block("python", "def signed")
    given = {"SECRET": secret, "URL": f"{server.url}/hooks/{key}/", "httpx2": httpx2}

    answers = []
    for _ in range(2):
        made_here = dict(given)
        exec(compile(code, "page", "exec"), made_here)
        answers.append(made_here["answer"])

    assert answers[0].status_code == 201
    assert answers[0].json()["seq"] == answers[1].json()["seq"] == 1
    texts = on_data(
        server,
        "from headgate.chat.models import Message\n"
        "print([(m.author_name, m.text) for m in Message.objects.all()])",
    )
    assert texts == "[('Build server', 'Build 412 is **green**.')]\n"


def test_what_the_page_says_is_so() -> None:
    events = PAGE.partition("| `events` |")[2].partition("\n")[0]
    named = set(re.findall(r"`([\w.]+)`", events))
    assert named == {"message", "edited", "deleted", "membership", *NOTICES}

    attempts = Destination._meta.get_field("max_attempts").default
    waits = [min(LONGEST_SECONDS, BASE_SECONDS * 2**n) for n in range(1, attempts)]
    assert f"of up to {waits[0]:.0f} s, then of up to {waits[1]:.0f} s" in PAGE
    assert f"at most {LONGEST_SECONDS / 3600:.0f} h" in PAGE
    mean_hours = sum(waits) / 2 / 3600
    assert f"After {attempts} attempts, which are about {mean_hours:.0f} hours" in PAGE


def test_the_unit_and_the_alert_of_a_worker() -> None:
    unit = block("ini", "ExecStart", WORKER)
    (command,) = re.findall(r"manage\.py headgate (.*)", unit)
    options = build_parser().parse_args(command.split())
    stop_seconds = float(re.findall(r"TimeoutStopSec=(\d+)", unit)[0])
    assert options.drain_seconds < stop_seconds
    known = {each.name for each in OUTBOUND_MEASURES}
    named = set(re.findall(r"headgate_outbound_\w+", WORKER))
    assert named <= known
    assert named & set(re.findall(r"\w+", block("yaml", "alert:", WORKER)))
