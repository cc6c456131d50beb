"""What is refused, broken or restarted is made good, and counted."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from headgate.server.replay import main
from headgate.server.replay.wire import Target
from tests.server.replay.conftest import Replay, options_of
from tests.server.replay.model_server import ModelServer, served


def order_of_authors(server: ModelServer, room: str = "replay") -> dict[str, list[int]]:
    said: dict[str, list[int]] = {}
    for event in server.room(room).events:
        _, author, row = event["client_id"].split("-")
        said.setdefault(author, []).append(int(row))
    return said


def test_refused_messages_are_sent_again_in_their_authors_order(replay: Replay) -> None:
    server = ModelServer(refuse=5)
    with served(server) as chat:
        code, report = replay(chat.url)
    assert (code, report["problems"]) == (0, [])
    assert report["refused"] == server.refusals > 0
    assert report["held_ms_max"] >= 20
    said = order_of_authors(server)
    assert all(a < b for rows in said.values() for a, b in pairwise(rows))


def test_messages_refused_for_good_are_not_acknowledged(replay: Replay) -> None:
    with served(ModelServer(refuse_for_good="99")) as chat:
        code, report = replay(chat.url)
    assert code == 1
    assert (report["refused"], report["acknowledged"], report["lost"]) == (6, 594, 0)
    assert report["problems"] == ["Messages were refused for good: forbidden (6 times)"]


def test_lost_acknowledgements_double_nothing(replay: Replay) -> None:
    server = ModelServer(forget=100)
    with served(server) as chat:
        code, report = replay(chat.url, "--timeout-seconds", 5)
    assert (code, report["problems"]) == (0, [])
    assert report["reconnects"] > 0
    assert len(server.room("replay").events) == 600


def test_gaps_that_are_told_are_fetched(replay: Replay) -> None:
    with served(ModelServer(gap=20)) as chat:
        code, report = replay(chat.url)
    assert (code, report["problems"]) == (0, [])
    assert report["delivered"] == 600 * 8


def test_server_that_restarts_loses_nothing(replay: Replay) -> None:
    with served(ModelServer()) as chat:

        def restart() -> None:
            time.sleep(0.5)
            chat.call(chat.server.restart())

        thread = threading.Thread(target=restart)
        thread.start()
        code, report = replay(chat.url, "--speed", 1, "--timeout-seconds", 10)
        thread.join()
    assert (code, report["problems"]) == (0, [])
    assert report["reconnects"] == 8 + 6


def test_server_that_forgets_is_found_out(replay: Replay) -> None:
    """It acknowledges and delivers, but the log is shorter afterwards."""

    class Forgetful(ModelServer):
        def _page(self, command: dict[str, object]) -> dict[str, object]:
            page = super()._page(command)
            page["messages"] = [m for m in page["messages"] if m["seq"] % 100]
            return page

    with served(Forgetful()) as chat:
        code, report = replay(chat.url)
    assert (code, report["lost"]) == (1, 6)


def test_room_that_has_a_past(replay: Replay) -> None:
    with served(ModelServer()) as chat:
        replay(chat.url)
        code, report = replay(chat.url)
    assert (code, report["problems"]) == (0, [])


def test_no_watchers(replay: Replay) -> None:
    with served(ModelServer()) as chat:
        code, report = replay(chat.url, "--watchers", 0)
    assert (code, report["delivered"]) == (0, 0)
    assert report["latency_ms"] == dict.fromkeys(["p50", "p95", "p99", "max"])


def test_table_for_people(chat_log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with served(ModelServer()) as chat:
        code = main(options_of(chat_log, "--url", chat.url, "--speed", "20"))
    printed = capsys.readouterr().out
    assert code == 0
    assert "acknowledged" in printed
    assert "600" in printed


def test_over_tls(
    replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        f"-subj /CN=localhost -addext subjectAltName=DNS:localhost "
        f"-keyout {key} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with served(ModelServer(tls=context)) as chat:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        code, report = replay(f"https://localhost:{chat.port}")
        assert (code, report["problems"]) == (0, [])
        code, report = replay(f"https://127.0.0.1:{chat.port}")
        assert code == 3
        assert "certificate" in report["err"]


def test_addresses() -> None:
    target = Target.headgate("https://chat.example/some/where/")
    assert (target.path, target.authority) == ("/some/where/ws/chat/", "chat.example")
    target = Target.headgate("ws://[::1]:80")
    assert (target.path, target.authority) == ("/ws/chat/", "[::1]")
    target = Target.chat("ws://example.org:81/a/ü?b=c d")
    assert target.path == "/a/%C3%BC?b=c%20d"
    assert target.origin == "http://example.org:81"
    assert json.dumps(target.where) == '"example.org:81"'
