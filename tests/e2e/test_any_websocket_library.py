"""The how-to for other people's WebSocket libraries: what it shows does what it says.

Its programs and commands are taken from the page as they stand; only the address of
the server is another, and each program says one more thing, which is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Serve, _left_out
from tests.e2e.bare import LIMIT_SECONDS, plain
from tests.processes import spawn, stop
from tests.servers import HeadgateServer

PAGE = Path(__file__).parents[2] / "docs/how-to/any-websocket-library.md"
TEXT = PAGE.read_text(encoding="utf-8")
NODE = Path(__file__).parent / "node"
SHOWN = "://127.0.0.1:8000"
BLANK = re.compile(r"refused: `(message|text)` is empty\.")
RATE = 8  # messages in a second, one at a time, from all of them together
WSCAT_SECONDS = 2.5  # by then it is gone that is told to do something and no more
AWAY = "Said while you were away."


def blocks(kind: str) -> list[str]:
    """Return the page's blocks of a language."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def programs() -> dict[str, str]:
    """Return the page's programs by what each says first."""
    found = {}
    for code in [*blocks("python"), *blocks("js")]:
        greeting = re.search(r'"(Hello from [^"]+)"', code)
        if greeting is not None:
            found[greeting[1]] = code
    return found


IN_NODE = next(code for code in blocks("js") if "globalThis" in code)
GREETINGS = tuple(programs())


@pytest.fixture(scope="module")
def tools() -> dict[str, str]:
    """The programs that it takes, by their names."""
    found = {}
    here = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for name in ("bash", "curl", "node", "npx", "chromium", "websocat"):
        path = shutil.which(name, path=here)
        if path is None:
            _left_out(f"{name} is not installed")
        found[name] = path or ""
    if not (NODE / "node_modules").is_dir():
        _left_out("tests/e2e/node has no modules (run `npm ci` there)")
    return found


class Running:
    """A program, what is typed into it, and what it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self.output = output

    @property
    def lines(self) -> list[str]:
        """The lines that it has printed."""
        return self.output.read_text(encoding="utf-8").splitlines()

    def type(self, line: str) -> None:
        """Type a line into it."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    async def prints(self, wanted: str) -> str:
        """Wait for a line that has this in it, by a regular expression."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                for line in self.lines:
                    if re.search(wanted, line):
                        return line
                assert self.process.poll() is None, self.lines
                await asyncio.sleep(0.02)  # a file tells nobody

    async def shows(self, wanted: str) -> dict[str, Any]:
        """Wait for JSON that has this in it; wscat has its prompt before it."""
        line = await self.prints(wanted)
        found: dict[str, Any] = json.loads(line[line.index("{") :])
        return found


@contextlib.contextmanager
def running(
    output: Path, *command: str | Path, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run a program until the end of the context, which ends its input first."""
    with output.open("wb") as out:
        process = spawn(
            command,
            cwd=NODE,
            env=os.environ | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Running(process, output)
    finally:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        stop(process, signal.SIGTERM, limit_seconds=LIMIT_SECONDS)


def by_its_language(
    tools: Mapping[str, str], folder: Path, server: HeadgateServer
) -> Iterator[tuple[str, str, tuple[str | Path, ...], dict[str, str]]]:
    """Yield name, greeting, command and environment of each program of the page."""
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    for number, (greeting, shown) in enumerate(programs().items()):
        code = shown.replace(SHOWN, server.url.removeprefix("http"))
        code = code.replace('"How are you?"', '"How are you?", "  "')
        if "import asyncio" in code:
            file = folder / f"program{number}.py"
            file.write_text(code, encoding="utf-8")
            yield f"python{number}", greeting, (sys.executable, file), {}
            continue
        file = folder / f"program{number}.mjs"
        file.write_text(IN_NODE + code, encoding="utf-8")
        yield f"node{number}", greeting, (tools["node"], file), {}
        if "import" not in code:
            page = folder / "page.js"
            page.write_text(code.replace("JavaScript.", "a page."), encoding="utf-8")
            environment = {
                "SERVER": server.url,
                "EXAMPLE": str(page),
                "CHROMIUM": tools["chromium"],
            }
            command = (tools["node"], NODE / "in_browser.mjs")
            yield "browser", "Hello from a page.", command, environment


def messages(server: HeadgateServer) -> list[dict[str, Any]]:
    """Return what was written in the room."""
    with httpx.Client(trust_env=False, timeout=30) as client:
        answer = client.get(f"{server.url}/api/v1/rooms/general/messages?limit=200")
    found: list[dict[str, Any]] = answer.raise_for_status().json()["messages"]
    return found


@contextlib.asynccontextmanager
async def all_programs(
    tools: Mapping[str, str], folder: Path, server: HeadgateServer
) -> AsyncIterator[dict[str, Running]]:
    """Run all programs of the page, each by what it says first."""
    with contextlib.ExitStack() as stack:
        yield {
            greeting: stack.enter_context(
                running(folder / f"{name}.out", *command, environment=environment)
            )
            for name, greeting, command, environment in by_its_language(
                tools, folder, server
            )
        }


def test_the_page_has_a_program_for_each_library() -> None:
    assert GREETINGS == (
        "Hello from websockets.",
        "Hello from headgate.v1.",
        "Hello from JavaScript.",
        "Hello from partysocket.",
        "Hello from partysocket, by headgate.v1.",
    )
    assert TEXT.count(SHOWN) > len(GREETINGS)


async def test_the_programs_lose_nothing(
    serve: Serve, tmp_path: Path, tools: dict[str, str]
) -> None:
    """They wait where they must, are told what is refused, and come back."""
    server = serve(
        "--guests",
        "--demo",
        f"--limit=send={RATE}/s:1",
        "--limit=send.all=off",
        "--limit=history=off",  # this test looks into the room again and again
        environment={"HEADGATE_THROTTLING_ENABLED": "yes"},
    )
    async with all_programs(tools, tmp_path, server) as found:
        for greeting, program in found.items():
            await program.prints(f": {re.escape(greeting)}$")
            await program.prints(BLANK.pattern)
        async with asyncio.timeout(LIMIT_SECONDS):
            while len(messages(server)) < 2 * len(found):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        said = messages(server)
        for program in found.values():  # all have heard the last of them
            line = f"{said[-1]['author']['name']}: {said[-1]['text']}"
            await program.prints(f"^{re.escape(line)}$")
        server.kill()
        server.start()
        async with plain(server.ws_url, "general/") as other:
            await asyncio.sleep(1 / RATE)  # as this is the same address
            await other.say(message=AWAY)
            assert "seq" in await other.hear_until(lambda it: "author" not in it)
        for program in found.values():
            await program.prints(f": {AWAY}$")
        printed = {greeting: program.lines for greeting, program in found.items()}

    texts = [each["text"] for each in said]
    # Each of what they say at once, one by one, as fast as they may and no faster.
    assert sorted(texts) == sorted([*found, *["How are you?"] * len(found)])
    times = [datetime.fromisoformat(each["at"]) for each in said]
    took = (times[-1] - times[0]).total_seconds()
    assert took > (len(said) - 2) / RATE
    # Each has heard all that came after its first, once, and no message of its again.
    assert len(messages(server)) == len(said) + 1
    for greeting, lines in printed.items():
        assert not any(line.startswith("broken") for line in lines)
        own = [line for line in lines if line.endswith(f": {greeting}")]
        away = [line for line in lines if line.endswith(f": {AWAY}")]
        refused = [line for line in lines if line.startswith("refused")]
        assert [len(own), len(away), len(refused)] == [1, 1, 1], (greeting, lines)
        heard = [line.partition(": ")[2] for line in lines if line not in refused]
        assert heard == [*texts[len(texts) + 1 - len(heard) :], AWAY], greeting


def command(*parts: str) -> str:
    """Return the one command of the page that has these parts."""
    (found,) = [block for block in blocks("sh") if all(part in block for part in parts)]
    return found


async def test_the_commands_show_a_chat(
    serve: Serve, tmp_path: Path, tools: dict[str, str]
) -> None:
    server = serve("--guests", "--demo")
    names = f"{Path(tools['websocat']).parent}:{os.environ['PATH']}"

    def typed(name: str, *parts: str) -> contextlib.AbstractContextManager[Running]:
        shown = command(*parts).replace(SHOWN, server.url.removeprefix("http"))
        path = {"PATH": names, "NO_PROXY": "*"}
        output = tmp_path / f"{name}.out"
        return running(output, tools["bash"], "-c", shown, environment=path)

    async with plain(server.ws_url, "general/") as other:
        for number in range(8):
            await other.say(message=f"message {number + 1}")
            await other.hear_until(lambda it: "author" not in it)
        with (
            typed("wscat", "npx wscat -c") as wscat,
            typed("wscat-v1", "npx wscat -s") as wscat_v1,
            typed("websocat", "?after=7") as websocat,
            typed("websocat-v1", "--protocol headgate.v1") as websocat_v1,
        ):
            # From a place on, in both modes.
            assert "author" in await websocat.shows('"seq":8')
            assert websocat.lines[0] == await websocat.prints('"seq":8')
            await wscat_v1.prints('"push":"welcome"')
            welcomed_at = time.monotonic()
            resumed = await wscat_v1.shows('"seq":8')
            assert (resumed["push"], resumed["text"]) == ("message", "message 8")

            # What is typed is sent; the transcript of the page is what comes.
            websocat_v1.type('{"cmd": "hello"}')
            await websocat_v1.prints('"push":"welcome"')
            # That it is connected it says to terminals alone: try until it answers.
            answer = await say_until_saved(wscat)
            for line in transcript():
                wscat.type(line)
            refused = await wscat.shows('"error"')
            assert refused == shown_answer("error")
            hi = await websocat_v1.shows('"text":"hi"')
            assert hi["seq"] > answer["seq"]
            for program in (wscat, websocat):
                broadcast = await program.shows('"message":"hi"')
                assert set(broadcast) == set(shown_answer("author"))
                assert broadcast["seq"] == hi["seq"]

            # In a script, and as somebody.
            with typed("deployed", "Deployed.") as deployed:
                saved = await deployed.shows("saved")
                assert await asyncio.to_thread(deployed.process.wait, 10) == 0
            with typed("ticket", "TICKET=") as ticket:
                await ticket.prints("Message received and saved.")
            await wscat.prints('"message":"It is me.","author":"Ada"')
            told = await wscat.shows('"message":"Deployed."')
            assert told["seq"] == saved["seq"]

            # Held open it is past the time after which it would go by itself.
            await asyncio.sleep(welcomed_at + WSCAT_SECONDS - time.monotonic())
            await other.say(message="Still there?")
            await wscat_v1.prints('"text":"Still there\\?"')
    assert not server.stderr


async def say_until_saved(program: Running) -> dict[str, Any]:
    """Type a message until it is answered, and return the answer."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not any('"seq"' in line for line in program.lines):
            program.type('{"message": "first", "client_id": "c-1"}')
            await asyncio.sleep(0.1)
    answer: dict[str, Any] = await program.shows("received and saved")
    return answer


def transcript() -> list[str]:
    """Return what the page has somebody type into wscat."""
    (shown,) = blocks("text")
    return [line[2:] for line in shown.splitlines() if line.startswith("> ")]


def shown_answer(having: str) -> dict[str, Any]:
    """Return the answer in the transcript that has a field."""
    (shown,) = blocks("text")
    answers = [json.loads(line[2:]) for line in shown.splitlines() if line[0] == "<"]
    (found,) = [each for each in answers if having in each]
    return dict(found)
