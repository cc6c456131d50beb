"""The how-to for projects with consumers of their own does what it says."""

from __future__ import annotations

import json
import re
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.contrib.programs import Program
from tests.server.test_project import make_room
from tests.small_project import SmallProject

PAGE = Path(__file__).parents[2] / "docs/how-to/beside-your-own-consumers.md"
FILE = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def connected(server: Program, path: str) -> ClientConnection:
    return connect(f"{server.ws_url}{path}", origin=Origin(server.url), proxy=None)


def heard(socket: ClientConnection) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(socket.recv(timeout=30))
    return said


def status_of(server: Program, path: str) -> int:
    with closing(HTTPConnection(server.url.split("//")[1], timeout=30)) as http:
        http.request("GET", path)
        return http.getresponse().status


@pytest.mark.parametrize("command", ["headgate serve --app", "uvicorn"])
def test_both_are_served(project: SmallProject, tmp_path: Path, command: str) -> None:
    for name, code in FILE.findall(PAGE.read_text(encoding="utf-8")):
        project.write(name, code)
    make_room(project)
    served = f"{command} mysite.asgi:application --port 8000"
    with Program(served, project.folder, tmp_path / "output") as server:
        with (
            connected(server, "/ws/notifications/") as own,
            connected(server, "/ws/chat/orders/") as chat,
        ):
            assert heard(own) == {"for": ""}
            chat.send(json.dumps({"message": "hi"}))
            assert heard(chat)["seq"] == 1
            own.send(json.dumps({"id": 7}))
            assert heard(own) == {"seen": 7}
        with pytest.raises(InvalidStatus) as refused:
            connected(server, "/ws/chat/orders")
        assert refused.value.response.status_code == 404
        assert b"/ws/chat/<room>/" in (refused.value.response.body or b"")
        assert status_of(server, "/admin/login/") == 200
    assert "Traceback" not in server.output
