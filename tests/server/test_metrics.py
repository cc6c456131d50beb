"""`/metrics` of real servers: when it is there, who is answered, and for whom."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)

from headgate.chat.histogram import Histogram
from headgate.chat.measured import MEASURES
from headgate.server.metrics_access import why_refused
from headgate.server.metrics_families import SERVER_MEASURES, Family, Sample
from headgate.server.metrics_loop_lag import LOOK_SECONDS, LoopLag
from headgate.server.metrics_outbound import OUTBOUND_MEASURES
from headgate.server.metrics_reports import FRESH_SECONDS, Report, ReportFolder
from headgate.server.metrics_text import text_of
from tests.conftest import Serve
from tests.e2e.crowd import workers_of
from tests.server.conftest import ServeProject
from tests.server.hostile import Hostile
from tests.server.scraping import (
    LIMIT_SECONDS,
    Scrape,
    ascraped,
    joined,
    port_of,
    scrape,
    scraped,
)
from tests.server.test_project import BY_APP, BY_MANAGE
from tests.servers import HeadgateServer
from tests.small_project import SmallProject

HOW_TO = Path(__file__).parents[2] / "docs/how-to/monitor.md"
EVERYTHING = (*MEASURES, *SERVER_MEASURES, *OUTBOUND_MEASURES)
REFERENCE = Path(__file__).parents[2] / "docs/reference/metrics.md"

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="what is known of a process comes from /proc"
)
unix = pytest.mark.skipif(
    sys.platform == "win32", reason="several processes need a Unix"
)


# --- on and off ---


def test_off_by_default(serve: Serve) -> None:
    assert httpx.get(f"{serve('--guests').url}/metrics", timeout=30).status_code == 404


def test_on_by_the_environment(serve: Serve) -> None:
    server = serve(environment={"HEADGATE_METRICS": "yes"})
    assert scrape(server).of("headgate_build_info") == 1


@pytest.mark.parametrize("command", [BY_APP, BY_MANAGE], ids=["app", "manage"])
@pytest.mark.parametrize("how", ["option", "setting"])
def test_on_in_a_project(
    project: SmallProject,
    serve_project: ServeProject,
    command: Sequence[object],
    how: str,
) -> None:
    if how == "setting":
        project.add("mysite/settings.py", "\nHEADGATE['METRICS'] = True\n")
    option = ["--metrics"] if how == "option" else []
    server = serve_project(project, [*command, *option])
    assert scrape(server).of("headgate_connections") == 0


_WITHOUT = """
import sys

sys.modules["prometheus_client"] = None  # as if it were not installed
from headgate.server.cli import main

sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [(["--metrics"], ""), (["--metrics", "--workers", "2"], ""), ([], "yes")],
    ids=["option", "workers", "setting"],
)
def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, arguments: list[str], setting: str
) -> None:
    data = tmp_path / "data"
    done = subprocess.run(
        [
            *(sys.executable, "-c", _WITHOUT, "serve", "--port", "0"),
            *("--data", str(data), *arguments),
        ],
        env=os.environ | {"HEADGATE_METRICS": setting},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'headgate[metrics]'" in done.stderr
    assert data.exists() == (not arguments)  # the settings are known with the data


# --- the table ---


def test_the_reference_has_what_the_code_has() -> None:
    rows = re.findall(
        r"^\| `(headgate_\w+)` \| (\w+) \|(.*?)\| ([^|]+) \|$",
        REFERENCE.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    documented = [
        (name, kind, tuple(re.findall(r"`(\w+)`", labels)), meaning)
        for name, kind, labels, meaning in rows
    ]
    assert documented == [
        (each.name, each.kind, each.labels, each.meaning) for each in EVERYTHING
    ]


def test_the_how_to_asks_for_what_there_is() -> None:
    page = HOW_TO.read_text(encoding="utf-8")
    known = {each.name: each.kind for each in EVERYTHING}
    for name, part in re.findall(r"(headgate_\w+?)(_bucket|_sum|_count)?\b", page):
        if name + part in known:
            continue
        assert part, name
        assert known[name] in {"histogram", "summary"}
        assert part != "_bucket" or known[name] == "histogram"


def test_all_of_it_is_told_from_the_start(serve: Serve) -> None:
    """Before anybody came: who watches a rise from 0 must have seen the 0."""
    found = scrape(serve("--metrics"))
    for each in (*MEASURES, *SERVER_MEASURES):
        family = found.families[each.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (each.kind, each.meaning)
        if not each.name.startswith("headgate_limit_"):
            assert family.samples, each.name
        for sample in family.samples:
            assert {*sample.labels} - {"le"} == {*each.labels, "process"}
            assert sample.labels["process"] == "1"
    causes = found.values("headgate_signals_dropped_total", "cause")
    assert causes == ["behind", "connection", "joined", "room"]
    reference = REFERENCE.read_text(encoding="utf-8")
    for value in (*causes, *found.values("headgate_connections", "mode")):
        assert f"`{value}`" in reference


@linux
def test_the_process_is_measured_too(serve: Serve) -> None:
    server = serve("--metrics")
    found = scrape(server)
    reference = REFERENCE.read_text(encoding="utf-8")
    names = {one.name for one in found.samples if one.name.startswith("process_")}
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= names
    assert all(f"`{name}`" in reference for name in names)
    ticks = Path(f"/proc/{server.pid}/stat").read_text().rpartition(") ")[2].split()
    seconds = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
    assert 0 < found.of("process_cpu_seconds_total") < seconds + 0.001


# --- the formats, and who may ask ---


def test_openmetrics_for_who_asks_for_it(serve: Serve) -> None:
    server = serve("--metrics")
    plain = httpx.get(f"{server.url}/metrics", timeout=30)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    asked = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = httpx.get(f"{server.url}/metrics", headers={"Accept": asked}, timeout=30)
    kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.headers["content-type"].startswith(kind)
    assert answer.text.endswith("# EOF\n")
    names = {each.name for each in openmetrics_families(answer.text)}
    assert names >= {each.name.removesuffix("_total") for each in MEASURES}


def test_head_and_other_methods(serve: Serve) -> None:
    url = f"{serve('--metrics').url}/metrics"
    head = httpx.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["cache-control"] == "no-store"
    assert httpx.post(url, timeout=30).status_code == 405


@pytest.mark.parametrize("proxies", ["0", "1"])
def test_not_through_a_proxy(serve: Serve, proxies: str) -> None:
    url = f"{serve('--metrics', '--trusted-proxies', proxies).url}/metrics"
    for name in (
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "Forwarded",
        "Via",
        "X-Real-IP",
    ):
        answer = httpx.get(url, headers={name: "127.0.0.1"}, timeout=30)
        assert answer.status_code == 403
        assert "headgate_" not in answer.text
    assert httpx.get(url, timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("172.31.0.1", True),
        ("192.168.7.1", True),
        ("169.254.1.1", True),
        ("fd12::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:10.0.0.1", True),
        ("172.32.0.1", False),
        ("11.0.0.1", False),
        ("100.64.0.1", False),
        ("203.0.113.7", False),
        ("8.8.8.8", False),
        ("::ffff:8.8.8.8", False),
        ("2001:db8::1", False),
        ("testclient", False),
        (None, False),
    ],
)
def test_for_this_network_only(address: str | None, *, near: bool) -> None:
    client = None if address is None else (address, 4711)
    assert (why_refused({"headers": [], "client": client}) is None) == near


# --- the process ---


def test_draining_is_told_to_who_is_connected_already(serve: Serve) -> None:
    server = serve("--guests", "--demo", "--metrics")
    netloc = urlsplit(server.url).netloc
    room = "/ws/chat/general/"
    with (
        closing(HTTPConnection(netloc, timeout=LIMIT_SECONDS)) as http,
        Hostile(port_of(server), room),  # which answers no close frame
    ):
        texts = []
        for _ in range(2):
            http.request("GET", "/metrics")
            texts.append(Scrape(http.getresponse().read().decode()))
            if len(texts) == 1:
                server._started.send_signal(signal.SIGTERM)
                _until_nobody_listens(server)
    assert [each.of("headgate_draining") for each in texts] == [0, 1]
    assert server.stop() == 0


def _until_nobody_listens(server: HeadgateServer) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port_of(server)), 1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise AssertionError("it still listens")


async def test_a_loop_that_is_blocked_is_late() -> None:
    lag = LoopLag()
    blocked_seconds = LOOK_SECONDS + 0.15
    time.sleep(blocked_seconds)  # noqa: ASYNC251 - it is to block the loop
    later = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0, later.set_result, None)
    await later
    assert 0.15 <= lag.seen.total < LIMIT_SECONDS
    assert sum(lag.seen.counts[: lag.seen.bounds.index(0.1) + 1]) == 0


def test_a_loop_is_looked_at_again_and_again(serve: Serve) -> None:
    found = scraped(
        serve("--metrics"), lambda it: it.of("headgate_loop_lag_seconds_count") >= 3
    )
    last = found.of("headgate_loop_lag_seconds_bucket", le="+Inf")
    assert last == found.of("headgate_loop_lag_seconds_count")


def test_a_value_is_in_the_bucket_of_its_bound() -> None:
    histogram = Histogram([1, 2, 4])
    for value in (0.5, 1, 1.5, 4, 5, 100):
        histogram.add(value)
    assert histogram.counts == [2, 1, 1, 2]
    assert histogram.total == 112


# --- several processes ---


@unix
async def test_whoever_is_asked_answers_for_all(serve: Serve) -> None:
    server = serve("--guests", "--demo", "--metrics", "--workers", "2")
    both = ["1", "2"]
    async with AsyncExitStack() as stack:
        for _ in range(6):
            await joined(stack, server, "general")
        # Whoever is asked; each knows of the other within two seconds.
        for _ in range(6):
            found = await ascraped(
                server, lambda it: it.of("headgate_connections") == 6
            )
            assert found.values("headgate_build_info", "process") == both
            counts = [found.of("headgate_connections", process=each) for each in both]
            assert sum(counts) == 6


@unix
@linux
def test_a_worker_that_is_killed_or_replaced(serve: Serve) -> None:
    server = serve("--guests", "--demo", "--metrics", "--workers", "2")
    both = ["1", "2"]
    folder = _folder_of(server.pid)

    def starts(found: Scrape) -> dict[str, float]:
        name = "process_start_time_seconds"
        processes = found.values(name, "process")
        return {each: found.of(name, process=each) for each in processes}

    def replaced(found: Scrape, earlier: Scrape) -> int | None:
        """Return how many are others than before, None where not all are there."""
        now, then = starts(found), starts(earlier)
        if list(now) != both:
            return None
        return sum(now[each] != then[each] for each in both)

    before = scraped(server, lambda it: list(starts(it)) == both)
    os.kill(workers_of(server.pid)[0], signal.SIGKILL)
    killed = scraped(server, lambda it: replaced(it, before) == 1)
    server._started.send_signal(signal.SIGHUP)
    scraped(server, lambda it: replaced(it, killed) == 2)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.glob("*.json"))) == 2
    assert server.stop() == 0
    assert not folder.exists()


def _folder_of(pid: int) -> Path:
    """Return the folder that workers were given, as their environment has it."""
    worker = workers_of(pid)[0]
    environment = Path(f"/proc/{worker}/environ").read_bytes().decode().split("\0")
    found = dict(each.partition("=")[::2] for each in environment if each)
    return Path(found["HEADGATE_METRICS_FOLDER"])


def report(number: int, *, pid: int = 0, started_at: float = 0.0, at: float) -> Report:
    family = Family(
        "headgate_x_total", "counter", "X.", [Sample("headgate_x_total", {}, 7)]
    )
    return Report(number, pid or os.getpid(), started_at, at, [family])


def test_one_that_leaves_has_another_name() -> None:
    """Else the new one's count would go on from the old one's, and back."""
    reports = [
        report(2, started_at=10.0, at=20.0),
        report(1, started_at=9.0, at=20.0),
        report(2, started_at=15.0, at=20.0),
    ]
    text, _ = text_of(reports, "")
    found = Scrape(text.decode())
    assert found.values("headgate_x_total", "process") == ["1", "2", "2-leaving"]


def test_who_hangs_or_is_dead_is_left_out(tmp_path: Path) -> None:
    now = 1000.0
    folder = ReportFolder(tmp_path, clock=lambda: now)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    parent = os.getppid()
    folder.write(report(1, at=now))
    folder.write(report(2, pid=parent, at=now - FRESH_SECONDS + 1))
    folder.write(report(3, pid=ended.pid, at=now))
    (tmp_path / "7.json").write_text("{", encoding="utf-8")
    assert [each.number for each in folder.others(os.getpid())] == [2]
    assert not (tmp_path / f"{ended.pid}.json").exists()
    now += 1.0
    assert folder.others(os.getpid()) == []
    folder.remove(parent)
    assert not (tmp_path / f"{parent}.json").exists()
