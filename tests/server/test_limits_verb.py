"""`headgate limits`: on a server's data, in a project, and without either."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headgate.limits import Limiter, Policy
from headgate.limits import Refused as Refusal
from headgate.limits.redis import RedisStore
from headgate.limits.redis_reports import RedisReports
from headgate.limits.report_files import VARIABLE, ReportFiles
from headgate.limits.reports import Report
from headgate.server import tables
from headgate.server.tables import print_table
from tests.conftest import Serve
from tests.limits.worlds import eventually
from tests.redis_server import RedisServer
from tests.server.test_manage import WITHOUT_SERVER
from tests.servers import run_headgate
from tests.small_project import SmallProject

LIMITED = {"HEADGATE_THROTTLING_ENABLED": "yes"}


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a project or data, whose reports are in `reports`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    monkeypatch.setenv(VARIABLE, "reports")
    return tmp_path


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder of reports is named, so each server has its own."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    monkeypatch.delenv(VARIABLE, raising=False)


def headgate(*arguments: object, code: int = 0) -> str:
    """Return what `headgate limits` prints, or what it says where it fails."""
    done = run_headgate("limits", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def as_json(*arguments: object) -> Any:
    return json.loads(headgate(*arguments, "--json"))


def lines(text: str) -> list[list[str]]:
    """Return the words of each line."""
    return [line.split() for line in text.splitlines()]


def reported(files: ReportFiles | RedisReports, *refused: Refusal) -> None:
    files.write(Report("another", 7, time.time(), refused))


def refusal(key: str, policy: str = "send", ago: float = 5, **more: Any) -> Refusal:
    now = time.time()
    given = {"count": 2, "last_at": now - ago, "free_at": now + 3700, "dry_run": False}
    return Refusal(policy, key, **(given | more))


# --- without a project ---


def test_without_a_project_the_policies_are_left_out(nowhere: Path) -> None:
    assert "manage.py headgate limits" in headgate()
    assert as_json() == {
        "throttling_enabled": True,
        "http_rate": None,
        "policies": None,
        "caps": None,
    }


def test_who_is_refused_without_a_project(nowhere: Path) -> None:
    said = headgate("--who")
    assert said.startswith("Nobody was refused in the last 10 minutes.")
    assert "in reports." in said

    reported(
        ReportFiles(nowhere / "reports"),
        refusal("{u:5}/general"),
        refusal("192.0.2.7", policy="search", ago=6, dry_run=True, free_at=None),
        refusal("\x1b[31m", ago=7, free_at=0.0),
    )
    first, *rows = lines(headgate("--who"))
    assert first == [
        "who",
        "name",
        "where",
        "policy",
        "refused",
        "last",
        "free",
        "again",
    ]
    # The program takes its time, so what is said of time is not to the second.
    assert re.fullmatch(
        r"u:5 general send 2 \d+ s ago in (1 h( 1 min)?|59 min)", " ".join(rows[0])
    )
    assert " ".join(rows[1]).endswith(
        "s ago never at that cost would have been refused (dry run)"
    )
    assert rows[2][0] == "\N{REPLACEMENT CHARACTER}[31m"

    found = as_json("--who")["refused"]
    assert [each["owner"] for each in found] == ["u:5", "192.0.2.7", "\x1b[31m"]
    assert found[0] | {"last_at": 0, "free_at": 0} == {
        "owner": "u:5",
        "name": None,
        "where": "/general",
        "policy": "send",
        "key": "{u:5}/general",
        "count": 2,
        "last_at": 0,
        "free_at": 0,
        "dry_run": False,
    }


@pytest.mark.parametrize("key", ["u:5", "{u:5}", "{u:5}/general"])
def test_a_key_is_shown_and_reset(nowhere: Path, key: str) -> None:
    files = ReportFiles(nowhere / "reports")
    reported(files, refusal("{u:5}/general"), refusal("{u:6}"))

    assert [row[0] for row in lines(headgate("--show", key))] == ["who", "u:5"]
    assert [each["owner"] for each in as_json("--show", key)["refused"]] == ["u:5"]
    assert "within about a second" in headgate("--reset", key)
    assert [each.key for each in files.resets(0)] == [key]
    assert [row["owner"] for row in as_json("--who")["refused"]] == ["u:6"]

    reported(files, refusal("{u:5}/general", ago=0))
    assert as_json("--reset", key) == {"key": key, "known": True}


def test_a_key_of_which_nothing_is_known(nowhere: Path) -> None:
    for option in ("--show", "--reset"):
        said = headgate(option, "192.0.2.9", code=1)
        assert said.startswith("headgate: Nothing is known of 192.0.2.9: ")
        assert "in the memory of each process" in said
    # Whoever was refused longer ago is reset all the same.
    assert len(ReportFiles(nowhere / "reports").resets(0)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--who", "--show", "u:5"], "not allowed with argument --who"),
        (["--show"], "expected one argument"),
        (["--reset", " "], "write u:5, an address or a name"),
        (["--fly"], "unrecognized arguments"),
    ],
)
def test_a_wrong_line_ends_with_2(
    nowhere: Path, arguments: list[str], said: str
) -> None:
    assert said in headgate(*arguments, code=2)


def test_data_that_is_not_there_is_not_made(nowhere: Path) -> None:
    assert "Name the folder" in headgate("--data", "missing", code=4)
    assert not (nowhere / "missing").exists()


def test_a_folder_of_reports_that_cannot_be_used(nowhere: Path) -> None:
    (nowhere / "reports").symlink_to(nowhere)
    assert VARIABLE in headgate("--who", code=4)


def test_settings_that_cannot_be_used(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "no.settings")
    said = headgate(code=6)
    assert "'no.settings'" in said
    assert "unset the variable" in said


_WITHOUT = """
import sys

for name in "django", "channels", "msgspec", "rich", "redis", "uvicorn":
    sys.modules[name] = None  # as if it were not installed
from headgate.server.cli import main

sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 0, "The policies of the chat are not shown"),
        (["--who"], 0, "u:5"),
        (["--show", "u:5"], 0, "send"),
        (["--who", "--redis", "redis://127.0.0.1:1"], 6, "'headgate[redis]'"),
    ],
)
def test_where_only_the_limiter_is_installed(
    nowhere: Path, arguments: list[str], code: int, said: str
) -> None:
    reported(ReportFiles(nowhere / "reports"), refusal("{u:5}"))
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, "limits", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr


# --- Redis ---


@pytest.fixture
def redis_reports(redis_server: RedisServer) -> Iterator[RedisReports]:
    found = RedisReports(redis_server.url)
    yield found
    found.close()


def test_in_redis_what_is_counted_is_shown(
    nowhere: Path, redis_server: RedisServer, redis_reports: RedisReports
) -> None:
    where = ("--redis", redis_server.url)
    assert headgate("--who", *where) == "Nobody was refused in the last 10 minutes.\n"
    said = headgate("--show", "u:5", *where, code=1)
    assert "nothing of it is counted in Redis" in said

    store = RedisStore(redis_server.url)
    limiter = Limiter(store)
    for key in ("{u:5}/general", "{u:6}"):
        limiter.decide_one(Policy("send", "1/h"), key)
    reported(redis_reports, refusal("{u:5}/general"))
    store.close()

    assert [row[0] for row in lines(headgate("--who", *where))] == ["who", "u:5"]
    counted = lines(headgate("--show", "u:5", *where))[1]
    assert counted[:4] == ["send", "general", "?", "?"]
    [row] = as_json("--show", "u:5", *where)["stored"]
    assert 3500 < row.pop("whole_burst_after_seconds") <= 3600
    assert row == {
        "owner": "u:5",
        "where": "/general",
        "policy": "send",
        "key": "{u:5}/general",
        "remaining": None,
        "free_after_seconds": None,
    }

    assert "was reset" in headgate("--reset", "u:5", *where)
    assert redis_reports.stored("u:5") == []
    assert len(redis_reports.stored("u:6")) == 1


def test_redis_that_is_away(nowhere: Path, redis_server: RedisServer) -> None:
    redis_server.kill()
    said = headgate("--who", "--redis", redis_server.url, code=4)
    assert "Check that it runs" in said


# --- a server's data ---


@pytest.mark.limits
async def test_a_server_is_looked_at_and_its_people_are_reset(
    at_home: None, serve: Serve
) -> None:
    given = {**LIMITED, "HEADGATE_DRY_RUN": "typing"}
    server = serve("--guests", "--demo", "--limit", "typing=1/5s", environment=given)
    data = ("--data", server.data)
    limits = as_json(*data)
    [typing] = [each for each in limits["policies"] if each["name"] == "typing"]
    assert (typing["rate"], typing["dry_run"]) == ("1/5s", True)  # as it was started
    assert limits["caps"] == {"connect.open": 10, "connect.address.open": 500}

    # By requests, which nobody paces: the client would not go so far as to be refused.
    messages = f"{server.url}/api/v1/rooms/general/messages"
    async with httpx.AsyncClient(timeout=30) as client:

        async def post(times: int) -> list[int]:
            asked = [client.post(messages, json={"text": f"{n}"}) for n in range(times)]
            return sorted(each.status_code for each in await asyncio.gather(*asked))

        assert (await post(12))[-1] == 429
        eventually(lambda: as_json("--who", *data)["refused"])
        [row] = as_json("--who", *data)["refused"]
        assert (row["owner"], row["policy"]) == ("127.0.0.1", "send")
        assert (row["where"], row["name"]) == ("/general", None)
        assert [path.name for path in (server.data / "limits").iterdir()] != []

        def is_used() -> bool:
            asked = httpx.get(f"{server.url}/api/v1/limits?room=general", timeout=30)
            return any("room" in each for each in asked.json()["limits"])

        assert "is reset" in headgate("--reset", "127.0.0.1", *data)
        eventually(lambda: not is_used())  # it is in force within a second or two
        assert await post(9) == [201] * 9
    assert as_json("--who", *data)["refused"] == []
    headgate("--show", "127.0.0.1", *data, code=1)


def test_the_redis_of_a_server_is_known(
    at_home: None, serve: Serve, redis_reports: RedisReports, redis_server: RedisServer
) -> None:
    server = serve("--redis", redis_server.url)
    reported(redis_reports, refusal("{u:5}"))
    data = ("--data", server.data)
    assert [each["owner"] for each in as_json("--who", *data)["refused"]] == ["u:5"]
    assert headgate(*data).startswith("Nothing is limited: THROTTLING_ENABLED is off.")
    assert (server.data / "served.json").stat().st_mode & 0o777 == 0o600

    server.stop()
    (server.data / "served.json").write_text("[")
    assert as_json("--who", *data)["refused"] == []


def test_policies_are_a_table(at_home: None, tmp_path: Path) -> None:
    made = run_headgate("user", "ada", "--data", tmp_path, given="a long one 1\n")
    assert made.returncode == 0, made.stderr
    files = ReportFiles(tmp_path / "limits")
    reported(files, refusal("{u:1}", policy="history"))
    data = ("--data", tmp_path)

    rows = lines(headgate(*data))
    assert rows[0][:4] == ["policy", "rate", "burst", "most"]
    table = {row[0]: row for row in rows if row}
    assert table["send.all"][1:6] == ["60/min:20", "20", "80/min", "user", "refused"]
    assert table["typing"][1:4] == ["1/3s", "1", "2/3s"]
    assert table["slow_mode"][1] == "off"
    assert table["connect.open"][1] == "10"
    assert "more than the rate: who rested has the whole burst" in headgate(*data)

    for key in ("ada", "u:1", "{u:1}"):
        assert lines(headgate("--show", key, *data))[1][:2] == ["u:1", "ada"]
    assert as_json("--show", "ada", *data)["key"] == "u:1"
    headgate("--reset", "ada", *data)
    assert [each.key for each in files.resets(0)] == ["u:1"]
    assert "Nothing is known of eve" in headgate("--show", "eve", *data, code=1)


def test_the_default_folder_is_found(
    at_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_headgate("user", "ada", given="a long one 1\n")
    assert "send.all" in headgate()


# --- a project ---


def test_in_a_project(
    at_home: None, project: SmallProject, redis_server: RedisServer, tmp_path: Path
) -> None:
    project.add(
        "mysite/settings.py",
        f"HEADGATE = {{'REDIS': {redis_server.url!r}, 'HTTP_RATE': '600/min', "
        "'LIMITS': {'send': '2/h:4'}, 'DRY_RUN': ['history']}\n",
    )
    told = project.manage("headgate", "limits", code=0).stdout
    assert "Requests to the views of the project: 600/min" in told
    assert ["send", "2/h:4", "4", "6/h"] in [row[:4] for row in lines(told)]
    assert "let pass (dry run of: refused)" in told

    project.shell(
        "from django.contrib.auth import get_user_model\n"
        "from headgate.chat.models import LimitOverride, Room\n"
        "from headgate.chat.actions import set_room_limits, set_slow_mode\n"
        "from headgate.contrib.shared import limiter\n"
        "from headgate.limits import Policy\n"
        "ada = get_user_model().objects.create(email='ada@example.org')\n"
        "eve = get_user_model().objects.create(email='eve@example.org')\n"
        "LimitOverride.objects.create(user=eve, policy='send', rate='1/h:2')\n"
        "room = Room.objects.create(slug='general')\n"
        "set_room_limits(room, {'send': '1/h:9'})\n"
        "set_slow_mode(room, 3600)\n"
        "for who in ('{u:1}', '{u:1}/general', '{u:2}/general'):\n"
        "    limiter().decide_one(Policy('send', '1/h:9'), who)\n"
        "limiter().decide_one(Policy('slow_mode', '1/h'), '{u:1}/general')\n"
        "limiter().decide_one(Policy('slow_mode', '1/h'), '{u:1}/general')\n"
        "limiter().decide_one(Policy('mine', '1/h'), '{u:1}')\n"
    )

    def shown(who: str) -> dict[tuple[str, str], int | None]:
        done = project.manage("headgate", "limits", "--show", who, "--json", code=0)
        stored = json.loads(done.stdout)["stored"]
        return {(row["policy"], row["where"]): row["remaining"] for row in stored}

    assert shown("ada@example.org") == {
        ("send", ""): 2,  # of 4 at 2/h; an hour is two of them
        ("send", "/general"): 8,
        ("slow_mode", "/general"): 0,
        ("mine", ""): None,
    }
    assert shown("u:2") == {("send", "/general"): 1}
    told = project.manage("headgate", "limits", "--show", "u:1", code=0).stdout
    assert ["slow_mode", "general", "0", "in"] in [row[:4] for row in lines(told)]

    done = project.manage("headgate", "limits", "--reset", "ada@example.org", code=0)
    assert done.stdout.startswith("u:1 was reset")
    project.manage("headgate", "limits", "--show", "u:1", code=1)
    project.manage("headgate", "limits", "--data", "x", code=2)


def test_projects_of_one_user_are_kept_apart(
    at_home: None,
    project: SmallProject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    own = f"headgate-{os.getuid()}"
    reported(ReportFiles(tmp_path / "tmp" / own), refusal("{u:5}"))

    who = ("headgate", "limits", "--who")
    said = project.manage(*who, code=0).stdout
    assert said.startswith("Nobody was refused")
    folder = Path(said.split()[-1].rstrip("."))
    assert folder.name.startswith(f"{own}-")
    reported(ReportFiles(folder), refusal("{u:6}"))
    assert "u:6" in project.manage(*who, code=0).stdout


def test_a_project_needs_no_packages_of_the_server(
    at_home: None, project: SmallProject
) -> None:
    manage = (project.folder / "manage.py").read_text()
    without = WITHOUT_SERVER.replace('"dj_database_url", ', "")
    project.write("manage.py", without + manage)
    assert "send.all" in project.manage("headgate", "limits", code=0).stdout


# --- tables ---


def test_a_terminal_gets_a_table_that_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tables.sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    print_table(("who", "refused", "why"), [("[b]u:5[/b]", "7", "many words " * 9)])
    bold = re.compile(r"\x1b\[[01]m")
    shown = bold.sub("", capsys.readouterr().out).splitlines()
    assert "[b]u:5[/b]" in shown[1]
    assert len(shown) > 2
    assert all(len(line) <= 40 for line in shown)
