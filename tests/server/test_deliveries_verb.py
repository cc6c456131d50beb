"""`headgate deliveries`: what is owed is listed, shown, replayed and dropped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.server.services import on_data, where
from tests.server.terminal import on_terminal, plain
from tests.servers import HeadgateServer, run_headgate
from tests.small_project import SmallProject

# Of two destinations and a room: some dead, one due, one done, one dropped.
SCENE = """
import time
from django.contrib.auth.models import User
from headgate.chat import actions
room = Room.objects.create(slug="general")
ada = User.objects.create_user("ada", first_name="Ada")
crm = Destination.objects.create(
    name="crm", url="https://crm.example/", events=["message"], rooms=["*"]
)
other = Destination.objects.create(name="other", url="https://other.example/")
for n in range(3):
    actions.send_message(room, ada, f"text {n}")
    time.sleep(0.002)  # ids of one millisecond have no order
first, second, third = Delivery.objects.order_by("pk")
for each in (first, second):
    Delivery.objects.filter(pk=each.pk).update(
        state="dead", attempts=2, last_status=500, last_error="It answered 500."
    )
for n in (1, 2):
    Attempt.objects.create(
        delivery=first, number=n, at=1790000000, outcome="failed", status=500,
        service_seconds=0.25, error="It answered 500.\\x1b[31m",
    )
def make(state, ago):
    time.sleep(0.002)
    return Delivery.objects.create(
        destination=other, event="service.degraded", payload={"service": "crm"},
        state=state, due_at=time.time(), created_at=time.time() - ago,
    )
done, dropped, old = make("done", 0), make("dropped", 0), make("dead", 7200)
print(json.dumps({k: str(v.pk) for k, v in dict(
    first=first, second=second, due=third, done=done, dropped=dropped, old=old
).items()}))
"""


class Data:
    """A server's data with deliveries in it, and the command on it."""

    def __init__(self, server: HeadgateServer, ids: dict[str, str]) -> None:
        self.server = server
        self.ids = ids

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Return what the command prints, or what it says where it fails."""
        done = run_headgate("deliveries", *arguments, *where(self.server))
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code not in {0, 1} else done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))

    def names(self, *arguments: str) -> list[str]:
        """Return which deliveries are listed, by their names here."""
        by_id = {value: name for name, value in self.ids.items()}
        found = self.json("list", *arguments)["deliveries"]
        return [by_id[each["id"]] for each in found]

    def states(self) -> dict[str, str]:
        found = self.json("list")["deliveries"]
        by_id = {each["id"]: each["state"] for each in found}
        return {name: by_id[value] for name, value in self.ids.items()}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    server = HeadgateServer(tmp_path / "data")
    return Data(server, json.loads(on_data(server, SCENE)))


def test_they_are_listed_and_found(data: Data) -> None:
    everything = ["old", "dropped", "done", "due", "second", "first"]
    assert data.names() == everything
    assert data.names("--destination", "crm") == ["due", "second", "first"]
    assert data.names("--room", "general", "--state", "dead") == ["second", "first"]
    assert data.names("--since", "1h") == everything[1:]
    assert data.names("--limit", "2") == everything[:2]
    assert data.names(data.ids["due"]) == ["due"]

    rows = data("list", "--state", "dead").splitlines()
    assert rows[0].split() == [
        *("id", "destination", "event", "tells", "state", "tries", "next", "last")
    ]
    assert rows[2].split() == [
        *(data.ids["second"], "crm", "message", "general", "2", "dead", "2"),
        *("It", "answered", "500."),
    ]
    assert "And 5 older ones" in data("list", "--limit", "1")
    assert data("list", "--state", "done", "--room", "general") == (
        "There are no such deliveries.\n"
    )


def test_a_narrow_terminal_gets_a_line_for_each(data: Data) -> None:
    why = "It is private: it is not called. If it is meant, list its network."
    on_data(data.server, f"Delivery.objects.update(last_error={why!r})")
    command = ["deliveries", "list", "--state", "due", *where(data.server)]
    with on_terminal(*command, columns=80) as terminal:
        assert terminal.wait() == 0
    heading, row = plain(terminal.raw).decode().splitlines()
    assert heading.split()[:2] == ["id", "destination"]
    assert row.startswith(f"{data.ids['due']}  crm  ")
    assert row.endswith("  It is private: it is not called. …")
    assert why in data("show", data.ids["due"])


def test_the_next_call_waits_for_its_destination(data: Data) -> None:
    def listed(columns: str) -> str:
        on_data(data.server, f"import time\nDestination.objects.update({columns})")
        return data("list", data.ids["due"]).splitlines()[1]

    assert "  now" in listed("paused=False")
    line = listed("not_before=time.time() + 7200")
    assert re.search(r"  in (2 h|1 h 5[89] min)", line), line
    assert "  paused" in listed("paused=True")


def test_whoever_reads_it_may_end_first(data: Data) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "headgate", "deliveries", "list", *where(data.server)],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_is_shown_with_each_attempt(data: Data) -> None:
    shown = data("show", data.ids["first"], data.ids["old"])

    assert "text 0" in shown
    assert shown.count("failed") == 2
    assert "2026-09-21 14:13:20 UTC" in shown
    assert "{'service': 'crm'}" in shown
    assert "\x1b" not in shown
    first, old = data.json("show", data.ids["first"], data.ids["old"])["deliveries"]
    assert (first["text"], first["author"], len(first["tries"])) == ("text 0", "Ada", 2)
    assert (old["payload"], old["tries"]) == ({"service": "crm"}, [])


def test_what_was_given_up_is_replayed(data: Data) -> None:
    assert data("replay", "--destination", "crm") == "2 deliveries are owed again.\n"
    assert data.json("replay", "--since", "1h") == {"count": 0}
    states = data.states()
    assert [states[name] for name in ("first", "second", "old")] == [
        *("due", "due", "dead")
    ]
    assert (states["done"], states["dropped"]) == ("done", "dropped")

    # By its id also what somebody dropped.
    assert data("replay", data.ids["dropped"]) == "1 delivery is owed again.\n"
    assert data("replay", data.ids["done"], code=1) == "0 deliveries are owed again.\n"


def test_what_is_due_or_given_up_is_dropped(data: Data) -> None:
    assert data("drop", data.ids["due"]) == "1 delivery is owed no more.\n"
    assert data("drop", "--room", "general") == "2 deliveries are owed no more.\n"
    states = data.states()
    assert {states[name] for name in ("due", "first", "second")} == {"dropped"}
    assert (states["old"], states["done"]) == ("dead", "done")


WRONG: list[tuple[list[str], str]] = [
    (["list", "--destination", "odd"], "There are: crm, other."),
    (["list", "--room", "odd"], "There is no room 'odd'."),
    (["list", "x"], "is no id of a delivery"),
    (["list", "--since", "soon"], "Write a number and s, min, h or d"),
    (["list", "--limit", "0"], "from 1 to 10000"),
    (["show"], "name deliveries by their ids"),
    (["show", "0" * 32], "There is no delivery 0000"),
    (["replay"], "say which"),
    (["drop", "--state", "due"], "is for list only"),
    (["burn"], "invalid choice"),
]


def test_what_cannot_be_asked(data: Data) -> None:
    for arguments, said in WRONG:
        assert said in data(*arguments, code=2)


def test_in_a_project(project: SmallProject) -> None:
    settings = (project.folder / "mysite/settings.py").read_text(encoding="utf-8")
    project.write(
        "mysite/settings.py", settings + '\nINSTALLED_APPS += ["headgate.outbound"]\n'
    )

    behind = project.manage("headgate", "deliveries", "list")
    assert behind.returncode == 5
    assert "The tables of headgate.outbound are not up to date" in behind.stderr

    project.manage("migrate", code=0)
    listed = project.manage("headgate", "deliveries", "list", "--json", code=0)
    assert json.loads(listed.stdout) == {"deliveries": []}
