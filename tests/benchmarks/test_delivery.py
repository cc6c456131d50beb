"""Each benchmark of delivery, with ten clients: it runs, and its report is right."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from benchmarks.campaign import percentile
from benchmarks.crowd import Crowd
from benchmarks.dialects import text
from benchmarks.systems import SYSTEMS, System

from benchmarks import tables
from tests.processes import spawn, stop

OPTIONS = {
    "fanout": ["--watchers", "10", "--seconds", "0.3"],
    "idle": ["--connections", "10", "--seconds", "0.3"],
    "connect": ["--connections", "10"],
    "stalled": ["--readers", "10", "--rate", "50", "--seconds", "0.3"],
    "storm": ["--connections", "10", "--behind", "5"],
    "quiet": ["--watchers", "10", "--seconds", "0.5"],
}
RUN_SECONDS = 200.0
Run = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where reports of this file's runs are kept."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def run(results: Path) -> Run:
    """Run a benchmark against Headgate, once for all tests; return its report."""

    def report(name: str) -> dict[str, Any]:
        where = results / f"{name}.json"
        if not where.exists():
            command = [sys.executable, "-m", f"benchmarks.{name}", "--quick"]
            command += ["--only", "headgate", "--json", str(where), *OPTIONS[name]]
            process = spawn(command)
            try:
                assert process.wait(RUN_SECONDS) == 0
            finally:  # it ends its server when it is interrupted
                stop(process, signal.SIGINT, limit_seconds=20)
        found: dict[str, Any] = json.loads(where.read_text(encoding="utf-8"))
        return found

    return report


@pytest.mark.parametrize("name", OPTIONS)
def test_report_says_how_it_came_about(run: Run, name: str) -> None:
    found = run(name)
    assert found["left_out"] == {}
    assert "headgate" in found["versions"]["Headgate"]
    assert found["machine"]
    assert found["command"].startswith(f"python -m benchmarks.{name} --quick")
    assert {each["system"] for each in found["figures"]} == {"Headgate"}


def test_fanout(run: Run) -> None:
    figures = run("fanout")["figures"]
    assert [each["in_flight"] for each in figures] == [1, 16, 64]
    for each in figures:
        assert each["deliveries"] >= 10 * each["in_flight"]
        assert each["deliveries_per_cpu_second"] > 0
        assert 0 < each["p50_ms"] <= each["p99_ms"]
        assert not each["at_least"]


def test_idle(run: Run) -> None:
    (figure,) = run("idle")["figures"]
    assert figure["connections"] == 10
    assert figure["server_bytes"] > 10_000_000


def test_connect(run: Run) -> None:
    (figure,) = run("connect")["figures"]
    assert figure["connects_per_cpu_second"] > 10
    assert 0 < figure["p50_ms"] <= figure["p99_ms"]


def test_stalled_readers_miss_nothing_and_come_back_whole(run: Run) -> None:
    figures = run("stalled")["figures"]
    assert [(each["readers"], each["stalled"]) for each in figures] == [
        (2, 1),
        (9, 1),
        (10, 10),
    ]
    for each in figures:
        assert each["missing_without"] == each["missing_beside"] == 0
        assert each["returned_whole"] == each["returned"] == each["stalled"]


def test_a_quiet_room_is_heard_beside_another(run: Run) -> None:
    alone, beside = run("quiet")["figures"]
    assert alone["other_room"] == "none"
    assert 0 < beside["p50_ms"] <= beside["p99_ms"] <= beside["longest_ms"]
    assert beside["deliveries_per_second"] > 0


def test_storm_ends_with_all_caught_up(run: Run) -> None:
    (figure,) = run("storm")["figures"]
    assert figure["caught_up"] == figure["connections"] == 10
    assert figure["behind"] == 5
    assert figure["doubled"] == figure["out_of_order"] == 0


def test_tables_and_plot(run: Run, results: Path, tmp_path: Path) -> None:
    for name in OPTIONS:
        run(name)
    (tmp_path / "explanation").mkdir()
    (tmp_path / "images").mkdir()
    page = tmp_path / "explanation" / "performance.md"
    inside = f"{tables.BEGIN}\nan earlier one\n{tables.END}"
    page.write_text(f"# Before\n\n{inside}\n\nAfter.\n", encoding="utf-8")
    arguments = ["--results", str(results), "--docs", str(tmp_path)]
    assert tables.main(arguments) == 0
    written = page.read_text(encoding="utf-8")
    assert tables.main(arguments) == 0
    assert page.read_text(encoding="utf-8") == written, "the second time changes it"
    assert written.startswith("# Before\n")
    assert written.endswith("\nAfter.\n")
    assert "an earlier one" not in written
    for title in (
        "### Fan-out",
        "### 10 idle connections",
        "### Connecting",
        "### A quiet room of ten beside a saturated one",
        "### Watchers who never read",
        "### 10 back at once, each 5 behind",
    ):
        assert title in written
    assert "| Headgate | each message, fsynced |" in written
    svg = ET.parse(tmp_path / "images" / "fanout.svg").getroot()
    shapes = [each.get("class") for each in svg.iter() if each.get("class")]
    # Two panels, and the legend.
    assert [shapes.count(f"dot{number}") for number in range(3)] == [3, 3, 3]
    assert "prefers-color-scheme: dark" in ET.tostring(svg, encoding="unicode")


def test_a_page_without_marks_is_left_as_it_is() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        tables.page("# Performance\n", {})


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)]
)
def test_percentile(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.key)
def test_all_watchers_get_what_one_says(system: System) -> None:
    """Where the peer is here: it comes with `scripts/setup bench`, and not with all."""
    why = system.missing()
    if why is not None:
        pytest.skip(why)
    assert system.version()
    with system.start() as server:
        crowd = Crowd(server.port, system.dialect)
        watchers = crowd.open(10)
        numbers: list[int] = []
        watchers[3].sampled = True
        crowd.on_numbers = lambda _client, found: numbers.extend(found)
        publishers = crowd.publishers(watchers, 2)
        until = time.monotonic() + 20
        for number in range(6):
            said = system.dialect.message(number, text(number, 64))
            publishers[number % 2].send(said)
            while any(each.marks <= number for each in watchers):
                crowd.read(0.05)
                assert time.monotonic() < until
        assert [each.marks for each in watchers] == [6] * 10
        assert numbers == list(range(6))
        assert server.cpu_seconds() >= 0
        assert server.memory_bytes() > 1_000_000
        crowd.close()
