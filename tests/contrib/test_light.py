"""What must be there without Django, Channels, or anything else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
RUN = """
import sys
sys.path.insert(0, {source!r})
import asyncio
from headgate.contrib.asgi import ThrottleMiddleware

async def echo(scope, receive, send):
    await send({{"type": "websocket.accept"}})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({{"type": "websocket.send", "text": message["text"]}})

messages = [{{"type": "websocket.receive", "text": text}} for text in "abc"]
sent = []

async def receive():
    return messages.pop(0)

async def send(message):
    sent.append(message.get("text", message["type"]))

scope = {{"type": "websocket", "client": ("192.0.2.1", 1), "headers": []}}
asyncio.run(ThrottleMiddleware(echo, "2/min")(scope, receive, send))
print(*sent)
print([name for name in ("django", "channels", "msgspec") if name in sys.modules])
"""


def test_the_asgi_middleware_needs_nothing_but_python() -> None:
    # -S: without site-packages, so that nothing installed can be of help.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", RUN.format(source=str(SOURCE))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "websocket.accept a b websocket.close\n[]\n"


@pytest.mark.parametrize(
    "module", ["headgate.contrib", "headgate.contrib.shared", "headgate.contrib.asgi"]
)
def test_importing_them_imports_no_django(module: str) -> None:
    code = f"import sys, {module}; print('django' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
