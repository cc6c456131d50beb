"""Consumers on real servers: what a client on the other end sees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.contrib.programs import ROOT, Program

APPLICATION = "tests.contrib.closing:application"
COMMANDS = {
    "uvicorn": f"uvicorn {APPLICATION} --port 8000",
    "daphne": f"daphne --port 8000 {APPLICATION}",
}
LIMIT_SECONDS = 30.0


@pytest.fixture(scope="module", params=COMMANDS)
def program(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    output: Path = tmp_path_factory.mktemp("server") / "output"
    settings = "tests.settings"
    with Program(
        COMMANDS[request.param], ROOT, output, DJANGO_SETTINGS_MODULE=settings
    ) as program:
        yield program


def socket_to(program: Program, path: str) -> connect:
    return connect(f"{program.ws_url}/{path}/", open_timeout=LIMIT_SECONDS, proxy=None)


async def heard(socket: ClientConnection) -> str:
    async with asyncio.timeout(LIMIT_SECONDS):
        return str(await socket.recv())


@pytest.mark.parametrize("path", ["sync", "async"])
async def test_the_client_sees_the_close(program: Program, path: str) -> None:
    async with socket_to(program, path) as socket:
        for number in range(10):
            await socket.send(str(number))
        assert [await heard(socket) for _ in range(3)] == ["0", "1", "2"]
        with pytest.raises(ConnectionClosed):
            await heard(socket)
        assert socket.close_code == 4000
        if "uvicorn" in program.output.lower():  # Daphne tells no reasons
            assert socket.close_reason == "Rate limit exceeded."
    async with socket_to(program, path) as again:  # the same address, the same limit
        await again.send("again")
        with pytest.raises(ConnectionClosed):
            await heard(again)
        assert again.close_code == 4000
    assert "Traceback" not in program.output


async def test_a_held_client_gets_all_in_order(program: Program) -> None:
    async with socket_to(program, "delay") as socket:
        began = time.monotonic()
        for number in range(8):
            await socket.send(str(number))
        got = [await heard(socket) for _ in range(8)]
        assert got == [str(number) for number in range(8)]
        assert time.monotonic() - began >= 0.33  # seven of them waited 50 ms each
        for number in range(8):
            await socket.send(str(number))
    async with socket_to(program, "delay") as socket:
        await socket.send("still there")
        assert await heard(socket) == "still there"
    assert "Traceback" not in program.output
