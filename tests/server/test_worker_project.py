"""`manage.py headgate worker` in a project with functions of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.processes import spawn, stop
from tests.server.scraping import Scrape
from tests.server.services import until
from tests.small_project import SmallProject

BOTS = """
import time
from pathlib import Path

import headgate


@headgate.bot("helper")
async def helper(message, history, reply):
    await reply("It is late.")


@headgate.on("message", owed=True)
def hang(event):
    if event.text == "hang":
        Path("hanging").touch()
        time.sleep(600)
"""
SAY = """
import headgate
from django.contrib.auth import get_user_model
from headgate.chat.models import Room
room, _ = Room.objects.get_or_create(slug="general")
user, _ = get_user_model().objects.get_or_create(email="ada@example.com")
headgate.send_message(room, user, {!r})
"""
HELPER = {"destination": "bot-helper"}


@pytest.fixture
def bots(project: SmallProject) -> SmallProject:
    """A project with a bot, and a function that may hang."""
    project.add("mysite/settings.py", '\nINSTALLED_APPS.append("headgate.outbound")\n')
    project.write("app/bots.py", BOTS)
    project.migrate()
    return project


class Worker:
    """A worker of a project; `out` and `err` are what it says."""

    def __init__(self, project: SmallProject, *options: str) -> None:
        self._out = project.folder / "worker.out"
        self._err = project.folder / "worker.err"
        command = [sys.executable, "manage.py", "headgate", "worker", *options]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process: subprocess.Popen[bytes] = spawn(
                command,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                cwd=project.folder,
                env=project.environment,
            )

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def end(self) -> None:
        if self.process.poll() is None:
            stop(self.process, signal.SIGKILL, limit_seconds=20)
        sys.stderr.write(self.err)


@pytest.fixture
def worker(bots: SmallProject) -> Iterator[Worker]:
    made = Worker(bots, "--metrics", "0", "--drain-seconds", "1")
    try:
        until(lambda: made.out.count("\n") == 2, seconds=60)
        yield made
    finally:
        made.end()


def scraped(worker: Worker) -> Scrape:
    url = re.findall(r"http://127\.0\.0\.1:\d+/metrics", worker.out)[0]
    answer = httpx.get(url, timeout=20)
    assert answer.status_code == 200
    return Scrape(answer.text)


@pytest.mark.timeout(540)
def test_a_worker_shows_what_it_measures_and_is_kept_by_nothing_that_hangs(
    bots: SmallProject, worker: Worker
) -> None:
    # It has made the destinations of what the code declares.
    assert worker.out.startswith("Headgate worker calls 2 services, as ")
    bots.shell(SAY.format("hang"))
    calls = "headgate_outbound_calls_total"
    until(
        lambda: scraped(worker).of(calls, result="delivered", **HELPER) == 1,
        seconds=60,
    )
    found = scraped(worker)
    assert found.of("headgate_outbound_standing", standing="on", **HELPER) == 1
    assert found.of("headgate_outbound_lease_batch_calls_count") >= 1
    assert found.of("headgate_build_info") == 1
    assert {each.labels["process"] for each in found.samples} == {"worker"}

    until((bots.folder / "hanging").exists, seconds=60)
    assert stop(worker.process, signal.SIGTERM, limit_seconds=30) == 1
    assert "handler_hangs handler=function:app.bots.hang" in worker.err
    assert "code of the project hangs in a thread, and was cut off" in worker.err
