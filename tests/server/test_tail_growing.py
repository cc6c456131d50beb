"""Messages that grow, in `headgate tail`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from headgate.client import Client
from headgate.client.growing import Growing
from headgate.protocol.pushes import Author, Deleted, Edited, Message, Partial, Reset
from headgate.server.tail_growing import GrowingLines
from headgate.server.tail_lines import Lines
from tests.conftest import Serve
from tests.server.terminal import on_terminal

AUTHOR = Author(id="b:helper", kind="bot", name="Helper")
AT = "2026-11-29T10:00:00.000Z"


def message(seq: int, text: str = "", **more: Any) -> Message:
    return Message(room="a", seq=seq, author=AUTHOR, text=text, at=AT, **more)


def partial(seq: int, at: int, text: str) -> Partial:
    return Partial(room="a", seq=seq, at=at, text=text)


def ended(seq: int, target: int, text: str, state: Any = "done") -> Edited:
    return Edited(
        room="a", seq=seq, target=target, author=AUTHOR, text=text, at=AT, state=state
    )


def test_it_is_shown_once_when_it_has_ended() -> None:
    lines = GrowingLines()
    assert not lines.take(message(1, "He", open=True))
    assert not lines.take(partial(1, 2, "llo"))
    assert [line.text for line in lines.newest(3)] == ["Hello"]
    assert lines.take(message(2, "in between"))
    assert lines.take(ended(3, 1, "Hello."))
    assert lines.newest(3) == []


def test_the_end_of_what_came_whole_says_nothing() -> None:
    lines = GrowingLines()
    assert lines.take(message(5, "Hello."))
    assert not lines.take(ended(6, 5, "Hello."))


def test_the_end_of_what_began_before_is_the_message() -> None:
    lines = GrowingLines()
    assert lines.take(ended(6, 4, "Hello."))
    assert lines.take(message(7, "x"))
    assert lines.take(ended(8, 5, "Hello."))


def test_an_edit_by_somebody_is_shown_as_ever() -> None:
    lines = GrowingLines()
    lines.take(message(1, "x"))
    edit = Edited(room="a", seq=2, target=1, author=AUTHOR, text="y", at=AT)
    assert lines.take(edit)


def test_what_is_deleted_or_of_another_life_grows_no_more() -> None:
    lines = GrowingLines()
    for seq in (1, 2):
        lines.take(message(seq, open=True))
    assert lines.take(Deleted(room="a", seq=3, target=1, author=AUTHOR, at=AT))
    assert len(lines.newest(3)) == 1
    assert lines.take(Reset(room="a", oldest=1, head=9, epoch="e2"))
    assert lines.newest(3) == []
    assert lines.take(ended(9, 1, "of before"))


def test_no_more_than_some_are_remembered() -> None:
    lines = GrowingLines()
    for seq in range(1, 1000):
        lines.take(message(seq, open=True))
    assert len(lines.newest(1000)) == 256


@pytest.mark.parametrize(
    ("state", "said"),
    [("done", ""), ("cut", "cut 1 "), ("cancelled", "cancelled 1 ")],
)
def test_in_a_pipe_it_is_one_line(
    capsys: pytest.CaptureFixture[str], state: str, said: str
) -> None:
    lines = Lines(as_json=False)
    lines.show(message(1, "He", open=True))
    lines.show(partial(1, 2, "llo"))
    assert capsys.readouterr().out == ""
    lines.show(ended(2, 1, "Hello.", state))
    assert capsys.readouterr().out == f"2026-11-29T10:00:00Z  Helper  {said}Hello.\n"


def test_as_json_it_is_all_that_came(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(as_json=True)
    for push in (message(1, open=True), partial(1, 0, "x"), ended(2, 1, "x")):
        lines.show(push)
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")
def test_on_a_terminal_one_sees_it_grow(serve: Serve) -> None:
    server = serve("--guests", "--demo")
    with on_terminal("tail", "general", "--url", server.url, columns=40) as screen:

        async def write(out: Growing, text: str, seen: str) -> str:
            await out.write(text)
            return await asyncio.to_thread(screen.until, seen)

        async def break_off(client: Client) -> None:
            async with client.grow("general") as out:
                await write(out, "Broken o", "Bot  Broken o▏")
                raise ZeroDivisionError

        async def main() -> None:
            await asyncio.to_thread(screen.until, "online as")
            async with Client(server.url, name="Bot") as client:
                async with client.grow("general") as out:
                    await write(out, "It grows", "Bot  It grows▏")
                    await write(out, ",\nand\x1b[2J", "Bot  It grows, and\\x1b[2J▏")
                    await write(out, " it grows" * 10, "Bot  …")
                await asyncio.to_thread(screen.until, "Bot  It grows,")
                with pytest.raises(ZeroDivisionError):
                    await break_off(client)
            await asyncio.to_thread(screen.until, "Bot  cut: Broken o")

        asyncio.run(main())
        screen.type("/quit\r")
        assert screen.wait() == 0
    assert b"\x1b[2Jand" not in screen.raw
    assert b"edited" not in screen.raw
