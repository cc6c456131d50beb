"""Reports of refusals, and resets: between processes, in files and in Redis."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.limits import Limiter, MemoryStore, Policy, Refusals, Refused
from headgate.limits.owner import is_meant, owner_of, place_of
from headgate.limits.publisher import Publisher
from headgate.limits.redis import RedisStore
from headgate.limits.redis_reports import RedisReports
from headgate.limits.report_files import VARIABLE, ReportFiles, reports_folder
from headgate.limits.reports import (
    FRESH_SECONDS,
    KEPT_SECONDS,
    Report,
    Reports,
    ReportsUnusable,
    merged,
)
from tests.limits.worlds import eventually
from tests.redis_server import RedisServer

NOW = 1_800_000_000.0
SEND = Policy("send", "1/h")


class Seconds:
    """A time that only the test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture(params=["files", "redis"])
def reports(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Seconds
) -> Iterator[Reports]:
    """A place of reports: a folder, and again a Redis."""
    found: Reports
    if request.param == "files":
        found = ReportFiles(tmp_path / "reports", clock=clock)
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        found = RedisReports(server.url, clock=clock)
    yield found
    found.close()


def refused(key: str = "{u:5}", **more: object) -> Refused:
    given = {
        "policy": "send",
        "key": key,
        "count": 1,
        "last_at": NOW,
        "free_at": NOW + 5,
        "dry_run": False,
    }
    return Refused(**(given | more))  # type: ignore[arg-type]


def refuse(limiter: Limiter, key: str = "{u:5}") -> None:
    """Refuse a key once."""
    while limiter.decide_one(SEND, key).allowed:
        pass


# --- whose a key is ---


@pytest.mark.parametrize(
    ("key", "owner", "place"),
    [
        ("{u:5}", "u:5", ""),
        ("{u:5}/general", "u:5", "/general"),
        ("{u:5}#3", "u:5", "#3"),
        ("ip:{192.0.2.7}", "192.0.2.7", "ip:"),
        ("u:5", "u:5", ""),
        ("2001:db8::/64", "2001:db8::/64", ""),
        ("{}x", "{}x", ""),
        ("{x", "{x", ""),
        ("", "", ""),
    ],
)
def test_whose_a_key_is(key: str, owner: str, place: str) -> None:
    assert (owner_of(key), place_of(key)) == (owner, place)


def test_who_asks_for_a_person_means_all_their_keys() -> None:
    keys = ["{u:5}", "u:5", "{u:5}/general", "{u:50}", "{u:50}/u:5", "u:5/x"]

    for asked in ("u:5", "{u:5}"):
        assert [key for key in keys if is_meant(asked, key)] == keys[:3]
    assert [key for key in keys if is_meant("{u:5}/general", key)] == keys[2:3]


# --- a report ---


def test_a_report_is_read_as_it_was_written() -> None:
    report = Report("host", 7, NOW, (refused(), refused(free_at=None, dry_run=True)))
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "[]",
        "{}",
        b"\xff",
        '{"host": "a", "process": 1, "at": 2, "refused": 3}',
        '{"host": "a", "process": 1, "at": 2, "refused": [{"key": "x"}]}',
    ],
)
def test_what_is_no_report_is_told(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Report.from_json(text)


def test_processes_are_put_together() -> None:
    one = [refused(count=2), refused("{u:6}", last_at=NOW - 9, free_at=None)]
    other = [
        refused(count=3, last_at=NOW - 1, free_at=NOW + 9),
        refused("{u:6}", last_at=NOW - 20),
        refused(dry_run=True, last_at=NOW - 30),
        refused("{u:7}", last_at=NOW - FRESH_SECONDS),  # an old one
    ]
    reports = [Report("a", 1, NOW, tuple(one)), Report("b", 1, NOW, tuple(other))]

    assert merged(reports, NOW) == [
        refused(count=5, free_at=NOW + 9),
        refused("{u:6}", count=2, last_at=NOW - 9, free_at=None),
        refused(dry_run=True, last_at=NOW - 30),
    ]


# --- where reports are ---


def test_each_process_has_one_report(reports: Reports) -> None:
    assert reports.read() == []
    first = Report("host", 1, NOW, (refused(),))
    others = [Report("host", 2, NOW, ()), Report("other/..", 1, NOW, (refused("x"),))]

    for each in (Report("host", 1, NOW - 1, ()), first, *others):
        reports.write(each)

    found = sorted(reports.read(), key=lambda each: (each.host, each.process))
    assert found == [first, *others]


def test_a_reset_is_seen_by_those_who_were_there(
    reports: Reports, clock: Seconds
) -> None:
    assert list(reports.resets(0)) == []
    reports.reset("u:5")
    clock.now += 10
    reports.reset("{u:6}/general")

    assert {(each.key, each.at) for each in reports.resets(NOW)} == {
        ("u:5", NOW),
        ("{u:6}/general", NOW + 10),
    }
    assert [each.key for each in reports.resets(NOW + 1)] == ["{u:6}/general"]
    clock.now += KEPT_SECONDS
    assert [each.key for each in reports.resets(0)] == ["{u:6}/general"]


def test_the_same_key_can_be_reset_twice(reports: Reports) -> None:
    reports.reset("u:5")
    reports.reset("u:5")
    assert len({each.name for each in reports.resets(NOW)}) == 2


# --- files ---


@pytest.fixture
def files(tmp_path: Path, clock: Seconds) -> ReportFiles:
    return ReportFiles(tmp_path / "reports", clock=clock)


def test_the_folder_and_its_files_are_for_this_user_alone(files: ReportFiles) -> None:
    files.write(Report("host", 7, NOW, ()))
    files.reset("u:5")

    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(each.stat().st_mode) for each in files.folder.iterdir()}
    assert modes == {0o600}
    assert (files.folder / "host-7.json").exists()


def test_reading_makes_no_folder(files: ReportFiles) -> None:
    assert files.read() == []
    assert files.resets(0) == []
    assert not files.folder.exists()


def test_old_files_are_ignored_and_then_removed(
    files: ReportFiles, clock: Seconds
) -> None:
    files.write(Report("host", 7, NOW, (refused(),)))
    files.reset("u:5")
    (files.folder / ".host-8.json.0123").touch()
    clock.now += FRESH_SECONDS
    assert files.read() == []
    files.write(Report("host", 9, clock.now, ()))
    assert len(list(files.folder.iterdir())) == 4

    old = time.time() - KEPT_SECONDS - 1
    for path in files.folder.iterdir():
        os.utime(path, (old, old))
    files.write(Report("host", 9, clock.now, ()))
    assert [path.name for path in files.folder.iterdir()] == ["host-9.json"]


def test_what_is_no_report_is_passed_over(files: ReportFiles) -> None:
    files.write(Report("host", 7, NOW, ()))
    (files.folder / "notes.json").write_text("mine")
    (files.folder / "reset-1.json").write_text("[]")
    (files.folder / "reset-2.json").write_text("{}")
    (files.folder / "reset-3.json").write_text("{")

    assert len(files.read()) == 1
    assert files.resets(0) == []


def test_a_link_is_not_followed(files: ReportFiles, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    files.folder.symlink_to(tmp_path / "elsewhere")

    for act in (files.read, lambda: files.reset("u:5"), lambda: files.resets(0)):
        with pytest.raises(ReportsUnusable, match="is no folder of its own"):
            act()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_that_others_may_write_to_is_not_taken(files: ReportFiles) -> None:
    files.folder.mkdir()
    files.folder.chmod(0o777)

    with pytest.raises(ReportsUnusable, match="chmod 700"):
        files.write(Report("host", 7, NOW, ()))


def test_a_folder_of_somebody_else_is_not_taken(
    files: ReportFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(Report("host", 7, NOW, ()))
    monkeypatch.setattr(os, "getuid", lambda: 12345)

    with pytest.raises(ReportsUnusable, match=f"Run this as that user.*{VARIABLE}"):
        files.read()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReportsUnusable, match=VARIABLE):
        ReportFiles(tmp_path / "file" / "reports").reset("u:5")


def test_where_the_folder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    own = tmp_path / f"headgate-{os.getuid()}"
    assert reports_folder() == own
    assert reports_folder("abc") == Path(f"{own}-abc")

    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    assert reports_folder("abc") == tmp_path / "mine"


# --- Redis ---


def test_a_person_is_reset_in_redis_under_all_policies(
    redis_server: RedisServer,
) -> None:
    store = RedisStore(redis_server.url)
    limiter = Limiter(store)
    reports = RedisReports(redis_server.url)
    meant = ["{u:5}", "{u:5}/general", "u:5"]
    others = ["{u:50}", "u:50", "{u:6}/{u:5}", "{u:6}/u:5"]
    for key in (*meant, *others):
        limiter.decide_one(SEND, key)
        limiter.decide_one(Policy("typing", "1/min"), key)

    found = {(each.policy, each.key) for each in reports.stored("u:5")}
    assert found == {(policy, key) for policy in ("send", "typing") for key in meant}
    assert 0 < reports.stored("{u:5}/general")[0].rested_after_us <= 3_600_000_000

    reports.reset("{u:5}/general")
    assert {each.key for each in reports.stored("u:5")} == {"{u:5}", "u:5"}
    reports.reset("u:5")
    assert reports.stored("u:5") == []
    assert len(reports.stored("u:50")) == 4
    assert len(reports.stored("u:6")) == 4
    reports.close()
    store.close()


def test_nothing_in_a_key_is_a_pattern(redis_server: RedisServer) -> None:
    store = RedisStore(redis_server.url, prefix="a*[b]")
    keys = ["*", "a?", "[a-z]", "\\", "x"]
    for key in keys:
        Limiter(store).decide_one(SEND, key)
    reports = RedisReports(redis_server.url, prefix="a*[b]")

    for key in keys:
        assert [each.key for each in reports.stored(key)] == [key]
    reports.close()
    store.close()


def test_many_keys_are_reset_in_batches(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        until = int((time.time() + 60) * 1_000_000)
        client.mset({f"headgate:limit:send::{{u:5}}/{n}": until for n in range(5000)})
        client.mset({f"headgate:limit:send::{{u:6}}/{n}": until for n in range(5000)})
    reports = RedisReports(redis_server.url)

    assert len(reports.stored("u:5")) == 5000
    reports.reset("u:5")
    assert reports.stored("u:5") == []
    assert len(reports.stored("u:6")) == 5000
    assert redis_server.calls("keys") == 0
    reports.close()


def test_redis_forgets_reports(redis_server: RedisServer) -> None:
    reports = RedisReports(redis_server.url)
    reports.write(Report("host", 7, time.time(), ()))
    reports.reset("u:5")

    with redis_server.client() as client:
        lives = {name: int(client.ttl(name)) for name in client.scan_iter("*")}  # type: ignore[arg-type]
    assert len(lives) == 3
    assert 590 <= lives["{headgate:reports}:of:host-7"] <= FRESH_SECONDS
    assert all(0 < seconds <= KEPT_SECONDS for seconds in lives.values())
    reports.close()


def test_redis_that_is_away_is_told(redis_server: RedisServer) -> None:
    reports = RedisReports(redis_server.url)
    redis_server.kill()
    for act in (
        reports.read,
        lambda: reports.reset("u:5"),
        lambda: reports.resets(0),
        lambda: reports.stored("u:5"),
        lambda: reports.write(Report("host", 7, NOW, ())),
    ):
        with pytest.raises(ReportsUnusable, match="Check that it runs"):
            act()
    with pytest.raises(ReportsUnusable, match="its URL"):
        RedisReports("http://localhost")


# --- publishing ---


class Counting(ReportFiles):
    """Files that count what is written."""

    written = 0

    def write(self, report: Report) -> None:
        self.written += 1
        super().write(report)


@pytest.fixture
def counting(tmp_path: Path, clock: Seconds) -> Counting:
    return Counting(tmp_path / "reports", clock=clock)


def limiter_on(clock: Seconds) -> Limiter:
    return Limiter(refusals=Refusals(clock=clock))


def test_only_what_changes_is_written(counting: Counting, clock: Seconds) -> None:
    limiter = limiter_on(clock)
    publisher = Publisher(limiter, counting, clock=clock)
    assert not publisher.publish()
    assert counting.written == 0

    limiter.refusals.changed = None  # the test publishes itself
    refuse(limiter)
    assert [publisher.publish() for _ in range(3)] == [True] * 3
    assert counting.written == 1
    [report] = counting.read()
    assert (report.process, report.at) == (os.getpid(), NOW)
    assert [(each.policy, each.key, each.count) for each in report.refused] == [
        ("send", "{u:5}", 1)
    ]

    refuse(limiter)
    publisher.publish()
    assert counting.read()[0].refused[0].count == 2

    clock.now += FRESH_SECONDS + 60
    assert not publisher.publish()
    assert counting.read()[0].refused == ()
    publisher.publish()
    assert counting.written == 3


def test_a_reset_is_followed_once(counting: Counting, clock: Seconds) -> None:
    counting.reset("u:5")  # before this process began
    clock.now += 1
    limiter = limiter_on(clock)
    publisher = Publisher(limiter, counting, clock=clock)
    limiter.refusals.changed = None
    for key in ("{u:5}", "{u:5}/general", "{u:6}"):
        refuse(limiter, key)
    publisher.publish()
    assert len(counting.read()[0].refused) == 3

    counting.reset("u:5")
    publisher.publish()
    assert [each.key for each in counting.read()[0].refused] == ["{u:6}"]
    assert limiter.decide_one(SEND, "{u:5}").allowed
    assert limiter.decide_one(SEND, "{u:5}/general").allowed
    assert not limiter.decide_one(SEND, "{u:6}").allowed

    publisher.publish()
    assert not limiter.decide_one(SEND, "{u:5}").allowed


def test_memory_that_was_reset_counts_its_keys_rightly() -> None:
    store = MemoryStore()
    limiter = Limiter(store)
    for number in range(500):
        limiter.decide_one(SEND, f"{{u:5}}/{number}")
        limiter.decide_one(SEND, f"{{u:{number + 6}}}")
    store.reset_all("u:5")
    assert len(store) == 500
    store.reset_all("u:7")
    assert len(store) == 499


def test_the_thread_begins_at_the_first_refusal(tmp_path: Path) -> None:
    files = ReportFiles(tmp_path)
    limiter = Limiter()
    publisher = Publisher(limiter, files)
    limiter.decide_one(SEND, "{u:5}")
    assert publisher._thread is None

    refuse(limiter)
    eventually(lambda: [each for each in files.read() if each.refused])
    thread = publisher._thread
    assert thread is not None
    assert thread.daemon

    files.reset("{u:5}")
    eventually(lambda: not files.read()[0].refused)
    assert limiter.decide_one(SEND, "{u:5}").allowed

    # It rests now; the next refusal wakes the same thread.
    refuse(limiter)
    eventually(lambda: files.read()[0].refused)
    assert publisher._thread is thread
    publisher.close()
    thread.join(10)
    assert not thread.is_alive()
    refuse(limiter)
    assert publisher._thread is thread


def test_a_plain_limiter_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "reports"))
    limiter = Limiter()
    refuse(limiter)
    assert limiter.refusals.changed is None
    assert not (tmp_path / "reports").exists()


class Failing(ReportFiles):
    """Files on a disk that is full, until there is room."""

    full = True
    tried = 0

    def write(self, report: Report) -> None:
        self.tried += 1
        if self.full:
            raise ReportsUnusable("the disk is full")
        super().write(report)


def test_a_place_that_cannot_be_written_to_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.limits.publisher.EVERY_SECONDS", 0.01)
    files = Failing(tmp_path)
    limiter = Limiter()
    publisher = Publisher(limiter, files)
    with caplog.at_level(logging.WARNING, "headgate.limits"):
        refuse(limiter)
        eventually(lambda: files.tried >= 3)
        assert [each.getMessage() for each in caplog.records] == [
            "limits_report_failed error='the disk is full'"
        ]
        files.full = False
        eventually(files.read)
    publisher.close()


# --- between processes ---

_ANOTHER = """
import sys, time
from headgate.contrib.shared import limiter
from headgate.limits import Policy

policy = Policy("send", "1/h")
limiter().decide_one(policy, "{u:5}")
print("ready", flush=True)
until = time.monotonic() + 30
while not limiter().decide_one(policy, "{u:5}").allowed:
    assert time.monotonic() < until
    time.sleep(0.05)
print("free", flush=True)
"""


@pytest.mark.parametrize("where", ["files", "redis"])
def test_another_process_is_seen_and_follows_a_reset(
    request: pytest.FixtureRequest, tmp_path: Path, where: str
) -> None:
    environment = {**os.environ, VARIABLE: str(tmp_path / "reports")}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    reports: Reports = ReportFiles(tmp_path / "reports")
    if where == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        environment["HEADGATE_REDIS"] = server.url
        reports = RedisReports(server.url)
    with subprocess.Popen(
        [sys.executable, "-c", _ANOTHER],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as another:
        assert another.stdout is not None
        assert another.stdout.readline() == "ready\n"
        eventually(lambda: [each for each in reports.read() if each.refused])
        [report] = reports.read()
        assert report.process == another.pid
        assert [(each.policy, each.key) for each in report.refused] == [
            ("send", "{u:5}")
        ]
        reports.reset("u:5")
        assert another.stdout.readline() == "free\n"
    assert another.returncode == 0
    assert (tmp_path / "reports").exists() == (where == "files")
    reports.close()


_FORKING = """
import os, sys, time
from headgate.contrib.shared import limiter
from headgate.limits import Policy

policy = Policy("send", "1/h")
for _ in range(3):
    limiter().decide_one(policy, "{parent}")
limiter().refusals._lock.acquire()  # as another thread may at that moment
child = os.fork()
if child == 0:
    for _ in range(3):
        limiter().decide_one(policy, "{child}")
    time.sleep(60)
print(child, flush=True)
limiter().refusals._lock.release()
sys.stdin.readline()
os.kill(child, 9)
os.waitpid(child, 0)
"""


def test_a_child_reports_its_own_refusals(tmp_path: Path) -> None:
    environment = {**os.environ, VARIABLE: str(tmp_path)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    files = ReportFiles(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", _FORKING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())

        def seen() -> dict[int, list[str]]:
            return {
                each.process: [refused.key for refused in each.refused]
                for each in files.read()
            }

        eventually(lambda: len(seen()) == 2)
        found = seen()
        parent.communicate("\n")
    assert found == {parent.pid: ["{parent}"], child: ["{child}"]}


def test_readers_never_see_half_a_report(tmp_path: Path) -> None:
    files = ReportFiles(tmp_path)
    many = tuple(refused(f"{{u:{n}}}") for n in range(1000))
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            files.write(Report("host", 7, time.time(), many))

    files.write(Report("host", 7, time.time(), many))
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            [text] = [path.read_text() for path in tmp_path.glob("[!.]*.json")]
            assert len(json.loads(text)["refused"]) == 1000
    finally:
        ended.set()
        writer.join()
