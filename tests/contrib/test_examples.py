"""The examples, run as their pages say, with real servers and real clients."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from tests.contrib.programs import ROOT, Program, commands_of, run

EXAMPLES = ROOT / "examples/throttle"
LIMIT_SECONDS = 30.0
PAGES = {
    "throttle-channels": "channels",
    "throttle-views": "views",
    "throttle-drf": "drf",
    "throttle-asgi": "asgi",
}


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the example, so that nothing of a run is left in it."""
    copy = tmp_path / "example"
    ignored = shutil.ignore_patterns("__pycache__", "*.sqlite3")
    shutil.copytree(EXAMPLES / request.param, copy, ignore=ignored)
    return copy


def socket_to(server: Program, path: str, **more: Any) -> connect:
    return connect(
        f"{server.ws_url}{path}", open_timeout=LIMIT_SECONDS, proxy=None, **more
    )


async def heard(socket: ClientConnection) -> Any:
    """Return what the client gets, one by one; an array stands for several."""
    async with asyncio.timeout(LIMIT_SECONDS):
        return json.loads(await socket.recv())


@pytest.mark.parametrize("page", PAGES)
def test_what_the_pages_show_is_in_the_files(page: str) -> None:
    text = (ROOT / f"docs/how-to/{page}.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL)
    assert shown
    for name, code in shown:
        file = (EXAMPLES / PAGES[page] / name).read_text(encoding="utf-8")
        file = re.sub(r"  # noqa.*", "", file)
        for part in code.split("...\n"):
            assert part.strip() in file, part


@pytest.mark.parametrize("folder", ["channels"], indirect=True)
@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
async def test_channels(folder: Path, tmp_path: Path, server: str) -> None:
    migrate, command, *_ = commands_of("throttle-channels")
    run(migrate, folder)
    if server == "daphne":
        page = (ROOT / "docs/how-to/throttle-channels.md").read_text(encoding="utf-8")
        found = re.search(r"`(daphne [^`]+)`", page)
        assert found is not None
        command = found[1]
    with Program(command, folder, tmp_path / "output") as program:
        await say_too_much(program)


async def say_too_much(program: Program) -> None:
    """One limit for the WebSocket and HTTP; who listens is told everything."""
    origin = Origin(program.url)
    path = "/ws/chat/général 1/".replace("é", "%C3%A9").replace(" ", "%20")
    async with (
        httpx.AsyncClient(base_url=program.url, timeout=LIMIT_SECONDS) as http,
        socket_to(program, path, origin=origin) as listener,
        socket_to(program, path, origin=origin) as talker,
    ):
        for number in range(7):
            await talker.send(json.dumps({"text": str(number)}))
        got = [await heard(talker) for _ in range(7)]
        said = [each["text"] for each in got if "text" in each]
        refused = [each for each in got if each.get("error") == "rate_limited"]
        # Five at once, and another one in 400 ms if the machine is slow.
        assert said == [str(number) for number in range(5)] + said[5:]
        assert 5 <= len(said) < 7
        assert {each["policy"] for each in refused} == {"talk"}
        assert 0 < refused[0]["retry_after_ms"] <= 400
        assert [(await heard(listener))["text"] for _ in said] == said

        page = await http.get("/")
        token = re.findall(r'value="(\w+)"', page.text)[0]
        form = {"csrfmiddlewaretoken": token, "text": "hi"}
        late = await http.post("/chat/x/", data=form)
        for _ in range(60):  # a slow machine gets one more through in each 400 ms
            if late.status_code == 429:
                break
            late = await http.post("/chat/x/", data=form)
        assert late.headers["Content-Type"] == "application/problem+json"
        assert late.headers["Retry-After"] == "1"
        assert late.headers["RateLimit-Policy"] == '"talk";q=5;w=2;headgate-burst=5'

    with pytest.raises(InvalidStatus, match="403"):
        async with socket_to(program, path, origin=Origin("http://evil.example")):
            pass


@pytest.mark.parametrize("folder", ["asgi"], indirect=True)
async def test_asgi(folder: Path, tmp_path: Path) -> None:
    command = commands_of("throttle-asgi")[0]
    with Program(command, folder, tmp_path / "output") as program:
        async with socket_to(program, "/") as socket:
            for number in range(6):
                await socket.send(str(number))
            assert [await heard(socket) for _ in range(5)] == [0, 1, 2, 3, 4]
            with pytest.raises(ConnectionClosed):
                await heard(socket)
            assert socket.close_code == 4000
            assert socket.close_reason == "Rate limit exceeded."
        async with httpx.AsyncClient(base_url=program.url, timeout=30) as http:
            refused = [await http.get("/") for _ in range(2)][-1]
        assert refused.status_code == 429
        assert refused.headers["ratelimit-policy"] == (
            '"throttle";q=5;w=10;headgate-burst=5'
        )
        assert refused.json()["code"] == "rate_limited"
        # The example has no lifespan, and uvicorn is content with that.
        assert "Traceback" not in program.output


@pytest.mark.parametrize("folder", ["views"], indirect=True)
def test_views(folder: Path, tmp_path: Path) -> None:
    command = commands_of("throttle-views")[0]
    with (
        Program(f"{command} --noreload", folder, tmp_path / "output") as program,
        httpx.Client(base_url=program.url, timeout=30) as http,
    ):
        answers = [http.get("/search/?q=tea") for _ in range(4)]
        assert [each.status_code for each in answers] == [200, 200, 200, 429]
        assert answers[0].headers["RateLimit"].startswith('"search";r=2')
        assert '"http";r=9' in answers[0].headers["RateLimit"]
        assert 5 <= int(answers[3].headers["Retry-After"]) <= 20
        assert answers[3].json()["policy"] == "search"
        assert [http.get("/order/").status_code for _ in range(3)] == [200] * 3
        codes = [http.post("/order/").status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        assert http.get("/page/").json()["policy"] == "http"  # the eleventh
        assert [http.get("/health/").status_code for _ in range(15)] == [200] * 15


@pytest.mark.parametrize("folder", ["drf"], indirect=True)
def test_drf(folder: Path, tmp_path: Path) -> None:
    command = commands_of("throttle-drf")[0]
    with (
        Program(f"{command} --noreload", folder, tmp_path / "output") as program,
        httpx.Client(base_url=program.url, timeout=30) as http,
    ):
        assert [http.get("/export/").status_code for _ in range(2)] == [200, 429]
        passed = 0
        while (refused := http.get("/search/?q=tea")).status_code == 200:
            passed += 1
            assert passed < 100  # a slow machine gets one more through now and then
        assert passed >= 3
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "1"
        assert "throttled" in refused.json()["detail"]
