"""`manage.py headgate import` as whoever calls it meets it: processes, exit codes."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from headgate.client import Client
from headgate.protocol.pushes import Message
from headgate.server.cli import main
from tests.processes import spawn, stop
from tests.server.conftest import ServeProject
from tests.small_project import SmallProject
from tests.steady import SteadyClock

FIELDS = (
    *("--model", "app.Messages", "--text-field", "message"),
    *("--at-field", "at", "--author-field", "author"),
)
IMPORT = ("headgate", "import", *FIELDS, "--room", "old")
COMMAND = [sys.executable, "manage.py", *IMPORT]
ROWS = 6_000

FILL = """
from datetime import timedelta
from django.utils import timezone
from app.models import Messages
from people.models import Person
ada = Person.objects.create(email="ada@example.org", full_name="Ada")
then = timezone.now() - timedelta(days=400)
Messages.objects.bulk_create(
    Messages(
        message=f"m{{n}}", author=ada if n % 3 else None,
        at=then + timedelta(minutes=n * 7919 % {rows}),
    )
    for n in range({rows})
)
"""
ADD_BLANK = "from app.models import Messages\nMessages.objects.create(message='')"
DELETE_BLANK = (
    "from app.models import Messages\nMessages.objects.filter(message='').delete()"
)
# How many messages of the room were imported, and whether its log is whole.
LOG = """
from headgate.chat.models import Event, Room
room = Room.objects.get(slug="old")
events = Event.objects.filter(room=room).order_by("seq")
rows = list(events.values_list("seq", "at", "client_id"))
imported = [row for row in rows if (row[2] or "").startswith("import:")]
found = {
    "gapless": [row[0] for row in rows] == list(range(1, room.head + 1)),
    "ordered": [row[1] for row in imported] == sorted(row[1] for row in imported),
    "imported": len(imported),
    "once": len({row[2] for row in imported}) == len(imported),
    "others": len(rows) - len(imported),
}
"""


def fill(project: SmallProject, rows: int) -> None:
    project.shell(FILL.format(rows=rows))


def whole(rows: int, others: int = 0) -> dict[str, object]:
    return {
        "gapless": True,
        "ordered": True,
        "imported": rows,
        "once": True,
        "others": others,
    }


# --- what it says ---


def test_a_table_is_brought_in(project_on_either: SmallProject) -> None:
    project = project_on_either
    fill(project, 1_200)
    project.shell(
        "from app.models import Messages\nMessages.objects.create(message='')"
    )

    looked = project.manage(*IMPORT, "--dry-run", code=1)
    assert "would be done (nothing was written)" in looked.stdout
    done = project.manage(*IMPORT, code=1)

    lines = done.stdout.splitlines()
    assert lines[0].startswith("app.Messages: done, in ")
    assert [line.strip() for line in lines[1:]] == [
        "1,201 read",
        "1,200 added",
        "0 known from an earlier import",
        "1 refused",
        "1 rooms made",
    ]
    assert looked.stdout.splitlines()[1:] == lines[1:]
    said = done.stderr.splitlines()
    assert said[0] == "refused: app.messages 1201: the text is blank."
    assert said[-1] == (
        "app.Messages: 1,201 of 1,201 rows, 1,200 added, 0 known, 1 refused, "
        "1 rooms made"
    )
    assert project.shell(LOG) == whole(1_200)

    project.shell(
        "from app.models import Messages\nMessages.objects.filter(message='').delete()"
    )
    again = project.manage(*IMPORT, code=0)
    assert "1,200 known" in again.stdout
    assert project.shell(LOG) == whole(1_200)


def test_a_table_with_hardly_anything(project: SmallProject) -> None:
    """The one of the well-known recipe: a text, and the room in the URL alone."""
    project.shell(
        "from app.models import Messages\n"
        "for n in range(3): Messages.objects.create(message=f'm{n}', chat_id=7)"
    )
    bare = ["--model", "app.Messages", "--text-field", "message"]
    project.manage("headgate", "import", *bare, "--room-field", "chat_id", code=0)
    found = project.shell(
        "from headgate.chat.models import Message\n"
        "found = [[m.room.slug, m.seq, m.text, m.author_name]"
        " for m in Message.objects.order_by('seq')]"
    )
    assert found == [["7", n + 1, f"m{n}", "Unknown"] for n in range(3)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "app.Message"], "There is no model 'app.Message'."),
        (["--text-field", "text"], "has no column 'text'; it has id, message, chat_id"),
        (["--room", "no room"], "'no room' cannot be a room: a room's name has 1 to"),
        (["--kind", "group", "--author-field", "message"], "there would be none"),
        (["--kind", "direct"], "invalid choice: 'direct'"),
        (["--room-field", "chat_id"], "not allowed with argument"),
    ],
)
def test_what_does_not_fit_ends_with_2(
    project: SmallProject, arguments: list[str], said: str
) -> None:
    done = project.manage(*IMPORT, *arguments, code=2)
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [IMPORT[1:], ["import"]])
def test_without_a_project_it_says_where_to_go(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "python manage.py headgate import" in capsys.readouterr().err


def test_without_tables_it_says_to_migrate(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.manage("makemigrations", "people", "app", code=0)
    done = project.manage(*IMPORT, code=5)
    assert "Run `python manage.py migrate`" in done.stderr


def test_a_terminal_shows_a_bar(project: SmallProject) -> None:
    fill(project, 3_000)
    project.shell(
        "from app.models import Messages\nMessages.objects.create(message='')"
    )
    main_end, other_end = pty.openpty()
    with subprocess.Popen(
        COMMAND,
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=other_end,
        env=project.environment | {"COLUMNS": "150", "TERM": "xterm"},
    ) as running:
        os.close(other_end)
        shown = read_all(main_end)
        assert running.stdout is not None
        summary = running.stdout.read().decode()
    assert running.returncode == 1
    assert "3,000 added" in summary
    assert "━" in shown
    assert "/3001" in shown
    assert "refused: app.messages 3001: the text is blank." in shown
    assert "of 3,001 rows" not in shown


def read_all(terminal: int) -> str:
    """Return what comes until the other end is closed."""
    shown = b""
    try:
        while data := os.read(terminal, 65536):
            shown += data
    except OSError:  # so Linux tells the end
        pass
    os.close(terminal)
    return shown.decode()


# --- when it is cut off ---


def events(project: SmallProject) -> int:
    """Return how many events there are, faster than the project itself could."""
    query = "SELECT count(*) FROM headgate_chat_event"
    if project.database_url is None:
        with closing(sqlite3.connect(project.folder / "db.sqlite3")) as file:
            return int(file.execute(query).fetchone()[0])
    with psycopg.connect(project.database_url) as connection:
        found = connection.execute(query).fetchone()
        return int(found[0]) if found else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_cut_off_it_goes_on(
    project_on_either: SmallProject, number: signal.Signals
) -> None:
    project = project_on_either
    rows = 15_000
    fill(project, rows)
    errors = project.folder / "errors"
    with errors.open("wb") as file:
        running = spawn(
            COMMAND,
            cwd=project.folder,
            stdout=subprocess.DEVNULL,
            stderr=file,
            env=project.environment,
        )
        while not events(project):
            assert running.poll() is None
            time.sleep(0.01)
        code = stop(running, number, limit_seconds=20)
    if number == signal.SIGINT:
        assert code == 130
        assert "Run the same command again, and it goes on" in errors.read_text()
    else:
        assert code == -signal.SIGKILL
    written = events(project)
    assert 0 < written < rows
    assert project.shell(LOG) == whole(written)

    again = project.manage(*IMPORT, code=0)

    assert f"{written:,} known from an earlier import" in again.stdout
    assert project.shell(LOG) == whole(rows)


# --- beside a server ---


async def test_beside_a_server_people_write_and_see_it(
    project_on_either: SmallProject, serve_project: ServeProject, steady: SteadyClock
) -> None:
    project = project_on_either
    fill(project, ROWS)
    project.shell(
        "from headgate.chat.models import Room\n"
        "Room.objects.create(slug='old', title='Old')"
    )
    server = serve_project(project, [sys.executable, "manage.py", "headgate", "serve"])

    async with (
        Client(server.url, rooms=["old"]) as watcher,
        Client(server.url, rooms=["old"]) as writer,
    ):
        importing = await asyncio.create_subprocess_exec(
            *COMMAND,
            cwd=project.folder,
            stdout=asyncio.subprocess.PIPE,
            env=project.environment,
        )
        ended = asyncio.create_task(importing.communicate())
        waited: list[float] = []
        while not ended.done():
            begun = time.monotonic()
            await writer.send("old", f"now {len(waited)}")
            waited.append(steady.since(begun))
            await asyncio.sleep(0.01)
        out, _ = await ended
        assert importing.returncode == 0
        assert f"{ROWS:,} added" in out.decode()
        # Somebody who writes beside it is not kept waiting.
        assert max(waited) < 5
        seqs = await seen(watcher, ROWS + len(waited))

    assert seqs == list(range(1, ROWS + len(waited) + 1))
    assert project.shell(LOG) == whole(ROWS, others=len(waited))
    assert server.stop() == 0


async def seen(watcher: Client, upto: int) -> Sequence[int]:
    """Return the seqs of the messages that a client is given."""
    seqs: list[int] = []
    async with asyncio.timeout(30):
        while not seqs or seqs[-1] < upto:
            push = await anext(watcher)
            if isinstance(push, Message):
                seqs.append(push.seq)
    return seqs
