"""Replay must not certify itself: each fault on the way is found and named."""

from __future__ import annotations

import json

import pytest

from tests.fault_proxy import Faults
from tests.server.replay.conftest import Replay
from tests.server.replay.model_server import ModelServer, PlainChat, served

NAMES = {
    "drop": "lost",
    "double": "duplicated",
    "swap": "out_of_order",
    "alter": "lost",
    "forge": "lost",
}


def test_honest_server_is_clean(replay: Replay) -> None:
    with served(ModelServer()) as chat:
        code, report = replay(chat.url)
    assert report["problems"] == []
    assert code == 0
    assert report["sent"] == report["acknowledged"] == 600
    assert report["delivered"] == 600 * 8
    assert report["latency_ms"]["p50"] > 0
    assert report["ack_ms"]["max"] >= report["ack_ms"]["p50"] > 0
    for name in ("refused", "lost", "duplicated", "out_of_order", "reconnects"):
        assert report[name] == 0, name


def test_faultless_proxy_is_clean(replay: Replay) -> None:
    with served(ModelServer(), Faults()) as chat:
        code, report = replay(chat.url)
    assert (code, report["problems"]) == (0, [])


@pytest.mark.parametrize("fault", NAMES)
@pytest.mark.parametrize("watchers", [1, 8])
def test_fault_is_found(replay: Replay, fault: str, watchers: int) -> None:
    faults = Faults(seed=3).one_in(40, fault)
    with served(ModelServer(), faults) as chat:
        code, report = replay(chat.url, "--watchers", watchers)
    assert chat.proxy is not None
    done = chat.proxy.done[fault]
    assert done > 0
    assert code == 1
    counted = report[NAMES[fault]]
    if fault == "forge":
        assert counted == done * (watchers + 1)  # at each watcher, and in the log
    else:
        assert counted == done
    others = {"lost", "duplicated", "out_of_order"} - {NAMES[fault]}
    assert [report[name] for name in others] == [0, 0]
    assert report["problems"]


def test_connections_that_are_cut_lose_nothing(replay: Replay) -> None:
    with served(ModelServer(), Faults(cut=300, seed=1)) as chat:
        code, report = replay(chat.url, "--timeout-seconds", 5)
    assert report["problems"] == []
    assert code == 0
    assert chat.proxy is not None
    assert report["reconnects"] == chat.proxy.done["cut"] > 0


@pytest.mark.parametrize("fault", ["drop", "double", "swap"])
def test_fault_in_a_strangers_chat_is_found(replay: Replay, fault: str) -> None:
    faults = Faults(seed=4, is_push=lambda payload: b"Ada" in payload)
    faults = faults.one_in(60, fault)
    with served(PlainChat(), faults) as chat:
        code, report = replay(
            f"ws://127.0.0.1:{chat.port}/chat/$room/?a=1",
            *("--room", "böse $text"),
            *("--dialect", '{"message": "$text", "meta": ["$author", "$room"]}'),
        )
    assert chat.proxy is not None
    assert chat.proxy.done[fault] > 0
    assert code == 1
    if fault == "drop":
        # What a sender does not see come back was not acknowledged.
        assert report["acknowledged"] + report["lost"] > 600 > report["acknowledged"]
    else:
        assert report["lost"] == 0
    if fault == "double":
        assert report["duplicated"] > 0
    if fault == "swap":
        assert report["out_of_order"] > 0


def test_strangers_chat_that_loses_nothing_is_clean(replay: Replay) -> None:
    with served(PlainChat()) as chat:
        code, report = replay(
            f"ws://127.0.0.1:{chat.port}/chat/$room/?a=1",
            *("--room", "a b"),
            *(
                "--dialect",
                '{"message": "$text", "meta": ["$author", {"in": "$room"}]}',
            ),
        )
        said = chat.server.received
        paths = chat.server.paths
    assert (code, report["problems"]) == (0, [])
    assert report["delivered"] == 600 * 8
    assert paths == {"/chat/a%20b/?a=1"}
    assert said[0]["meta"][1] == {"in": "a b"}
    assert {int(message["meta"][0]) for message in said} == set(range(1, 41))
    assert len({json.dumps(message) for message in said}) == 600
