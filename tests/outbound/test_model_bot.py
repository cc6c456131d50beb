"""The example with a model, run as its page says, against a service that fails."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.contrib.programs import ROOT, Program, run

EXAMPLE = ROOT / "examples/model_bot"
QUESTIONS = 30
PEOPLE = 6
RATE, BURST = 5, 10  # what the service allows: 5/s:10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the example, so that nothing of a run is left in it."""
    ignored = shutil.ignore_patterns("__pycache__", "*.sqlite3")
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=ignored)
    return tmp_path / "example"


def commands() -> list[str]:
    """Return the commands of the README."""
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [command.strip() for block in blocks for command in block.split("&&")]


@pytest.fixture
def service(folder: Path, tmp_path: Path) -> Iterator[Program]:
    stand_in, _, _ = commands()
    command = f"{stand_in} --port 8000 --slow-ms 10"
    with Program(command, folder, tmp_path / "service") as program:
        yield program


@pytest.fixture
def site(folder: Path, tmp_path: Path, service: Program) -> Iterator[Program]:
    _, migrate, serve = commands()
    run(migrate, folder)
    more = {"MODEL_URL": f"{service.url}/v1", "MODEL_SILENT_SECONDS": "1.0"}
    with Program(f"{serve} --port 8000", folder, tmp_path / "site", **more) as program:
        yield program


async def ask(site: Program, person: int) -> None:
    """Ask as one person, in one of two rooms, as fast as the server lets them."""
    url = f"{site.ws_url}/ws/chat/room-{person % 2}/"
    v1 = [Subprotocol("headgate.v1")]
    async with connect(url, subprotocols=v1, proxy=None) as socket:
        await socket.send(json.dumps({"cmd": "hello", "name": f"Person {person}"}))
        number = 0
        while number < QUESTIONS // PEOPLE:
            text = f"@model Question {number} of person {person}?"
            command = {"cmd": "send", "id": number, "room": f"room-{person % 2}"}
            await socket.send(json.dumps(command | {"text": text}))
            said: dict[str, Any] = {}
            while said.get("reply") != number:
                said = json.loads(await socket.recv())
            if "seq" in said:
                number += 1
            else:  # guests of one address share a limit
                assert said["error"]["code"] == "rate_limited"
                await asyncio.sleep(said["error"]["retry_after_ms"] / 1000)


def left(folder: Path) -> int:
    """Return how many calls are still owed."""
    with sqlite3.connect(folder / "db.sqlite3") as database:
        sql = "SELECT count(*) FROM headgate_outbound_delivery WHERE state = 'due'"
        return int(database.execute(sql).fetchone()[0])


def words_of(folder: Path, question: str) -> str:
    """Return what the service answers."""
    spec = util.spec_from_file_location("stand_in", folder / "stand_in.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return " ".join(module.words_of(question))


async def messages_of(site: Program, room: str) -> list[dict[str, Any]]:
    """Return all messages of a room, as people see them."""
    found: list[dict[str, Any]] = []
    async with httpx.AsyncClient(base_url=site.url, timeout=15) as http:
        while True:
            query = {"after": found[-1]["seq"] if found else 0, "limit": 200}
            path = f"/api/v1/rooms/{room}/messages"
            page = (await http.get(path, params=query)).json()
            found += page["messages"]
            if not page["more"]:
                return found


@pytest.mark.timeout(450)
async def test_every_question_is_answered_once_or_cut(
    folder: Path, site: Program, service: Program
) -> None:
    await asyncio.gather(*(ask(site, person) for person in range(PEOPLE)))
    async with asyncio.timeout(100):
        while left(folder):  # noqa: ASYNC110 - rows of another process
            await asyncio.sleep(0.2)

    whole = broken = 0
    for room in ("room-0", "room-1"):
        messages = await messages_of(site, room)
        questions = [each for each in messages if each["author"]["kind"] == "guest"]
        assert len(questions) == QUESTIONS // 2
        for question in questions:
            answers = [
                each
                for each in messages
                if each.get("reply_to") == question["seq"]
                and each["author"]["id"] == "b:model"
            ]
            done = [each for each in answers if "state" not in each]
            cut = [each for each in answers if each.get("state") == "cut"]
            assert len(done) + len(cut) == len(answers)
            assert not any(each.get("open") for each in answers)
            assert len(done) <= 1, question
            assert done or cut, question
            expected = words_of(folder, question["text"])
            assert all(each["text"].strip() == expected for each in done)
            assert all(expected.startswith(each["text"].strip()) for each in cut)
            whole, broken = whole + len(done), broken + len(cut)

    async with httpx.AsyncClient() as http:
        stats = (await http.get(f"{service.url}/stats")).json()
    fates, came = stats["fates"], stats["came"]
    sys.stdout.write(f"whole={whole} cut={broken} service={fates}\n")
    # It went wrong in each way, and most were answered all the same.
    assert {"busy", "error", "hang", "cut", "whole"} <= set(fates)
    assert whole >= QUESTIONS * 0.9
    # A stream that broke off is one message that was cut, and no other way makes one.
    assert fates["whole"] == whole
    assert fates["cut"] == broken
    # Never faster than it allows, though six people asked at once.
    assert "too fast" not in fates
    for begin in range(len(came)):
        for end in range(begin, len(came)):
            assert end - begin + 1 <= BURST + RATE * (came[end] - came[begin])
