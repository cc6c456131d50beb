"""What the user asks for is checked before anything is sent."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.server.replay import main
from headgate.server.replay.dialect import (
    BadDialect,
    Dialect,
    MarkReader,
    marked_text,
)
from tests.server.replay.conftest import Replay, options_of
from tests.server.replay.model_server import ModelServer, PlainChat, served


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "example.org"], "'example.org' is not a URL like"),
        (["--url", "ftp://example.org"], "is not a URL like"),
        (["--url", "http://example.org:99999"], "is not a URL: Port out of range"),
        (["--url", "http://[::1"], "is not a URL"),
        (["--url", "ws://me:secret@example.org"], "user name"),
        (["--room", "a b"], "'a b' cannot be a room: a room's name has"),
        (["--dialect", "{"], "The dialect is not JSON"),
        (["--dialect", "[" * 100_000], "The dialect is not JSON"),
        (["--dialect", '{"$text": "$room"}'], 'no value "$text"'),
        (["--dialect", '{"message": "$texts"}'], 'no value "$text"'),
    ],
)
def test_unusable(
    chat_log: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    assert main(options_of(chat_log, *arguments)) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.startswith("headgate replay: ")
    assert printed.out == ""


def test_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options_of("absent.csv")) == 2
    assert "absent.csv: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--speed", "0"],
        ["--speed", "nan"],
        ["--speed", "inf"],
        ["--speed", "fast"],
        ["--watchers", "-1"],
        ["--senders", "0"],
        ["--timeout-seconds", "-3"],
    ],
)
def test_numbers_out_of_range(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        options_of("log.csv", *arguments)
    assert caught.value.code == 2
    assert f"argument {arguments[0]}: invalid" in capsys.readouterr().err


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Run something on a port that gives every connection the same answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answered '404 Not Found' instead"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "answered 'SSH-2.0-OpenSSH' instead"),
        (b"", "hung up"),
        (b"HTTP/1.1 101 Ok\r\nSec-WebSocket-Accept: x\r\n\r\n", "wrong Sec-WebSocket"),
        (b"x" * 40_000, "does not end"),
    ],
)
def test_port_where_no_chat_answers(replay: Replay, answer: bytes, said: str) -> None:
    with answering(answer) as port:
        code, report = replay(f"http://127.0.0.1:{port}")
    assert code == 3
    assert said in report["err"]


def test_port_where_nobody_answers(replay: Replay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for more in ([], ["--dialect", '{"message": "$text"}']):
        code, report = replay(f"ws://127.0.0.1:{port}", *more)
        assert code == 3
        assert f"No chat could be reached at 127.0.0.1:{port}" in report["err"]


def test_chat_that_is_no_headgate(replay: Replay) -> None:
    with served(PlainChat()) as chat:
        code, report = replay(chat.url)
    assert code == 3
    assert "does not speak headgate.v1" in report["err"]


def test_room_that_is_refused(replay: Replay) -> None:
    class Closed(ModelServer):
        def _state(self, command: dict[str, object], log: object) -> dict[str, object]:
            failure = {"code": "forbidden", "text": "Members only."}
            return {"reply": command["id"], "error": failure}

    with served(Closed()) as chat:
        code, report = replay(chat.url)
    assert code == 3
    assert "forbidden Members only." in report["err"]


NASTY = st.text(st.characters(codec="utf-8"), max_size=20)


@given(NASTY, NASTY)
def test_dialect_puts_in_each_name_once(room: str, text: str) -> None:
    template = (
        '{"a": ["$text", {"b": "<$room>"}], "$text": 5, "c": "$client_id$author"}'
    )
    message = Dialect(template).message(
        text=f"$room {text}", client_id="i", author=7, room=f"$text {room}"
    )
    assert json.loads(message) == {
        "a": [f"$room {text}", {"b": f"<$text {room}>"}],
        "$text": 5,
        "c": "i7",
    }


@pytest.mark.parametrize("template", ['"$text"', '["$text"]', '{"a": {"b": "$text!"}}'])
def test_dialect_may_be_any_json(template: str) -> None:
    message = Dialect(template).message(text="hi", client_id="", author=0, room="")
    assert message == template.replace("$text", "hi").replace(": ", ":").encode()


@pytest.mark.parametrize("template", ["5", "null", "{}", '"text"', ""])
def test_dialect_without_text(template: str) -> None:
    with pytest.raises(BadDialect):
        Dialect(template)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 500))
def test_marked_text_has_its_length_if_the_mark_fits(
    author: int, row: int, size: int
) -> None:
    text = marked_text("0123abcd", author, row, size)
    mark = text.split()[0]
    fits = size >= len(mark) + 2
    assert len(text.encode()) == (size if fits else len(mark))


def test_marks_are_found_wherever_they_stand() -> None:
    texts = [marked_text("ab", 1, row, 60) for row in range(12)]
    reader = MarkReader("ab", texts)

    def rows(value: object) -> tuple[int, ...]:
        return reader.rows(json.dumps(value).encode())

    assert rows({"message": texts[1]}) == (1,)
    assert rows({"a": [{"html": f"<b>Ada</b>: {texts[11]}"}]}) == (11,)
    assert rows([texts[3], texts[2]]) == (3, 2)
    assert rows({"message": "Message received and saved."}) == ()
    assert rows({"message": marked_text("cd", 1, 1, 60)}) == ()
    assert reader.rows(f"<p>{texts[5]}</p>".encode()) == (5,)
    assert reader.altered == set()
    assert rows({"message": texts[4][:-1]}) == ()
    assert rows({"message": "hgaba1r12z"}) == ()
    assert reader.altered == {4}
