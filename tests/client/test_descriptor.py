from __future__ import annotations

import json
import math
from typing import Any

import pytest

from headgate.client import DescriptorRefused
from headgate.client.descriptor import descriptor_in, descriptor_of, host_of

SECRET = "secret.ticket-1"
FOUND = {
    "url": "ws://chat.example.org/ws/chat/",
    "protocol": "headgate.v1",
    "ticket": SECRET,
    "ticket_expires_in_ms": 30_000,
    "rooms": ["order-7", "general", "order-7"],
    "guest": "secret-guest",
}
HOST = "chat.example.org"


def test_from_a_header_and_from_a_body() -> None:
    in_header = descriptor_in(json.dumps(FOUND), HOST)
    body = FOUND | {"user": {"id": "u:1", "kind": "user", "name": "A"}, "limits": []}
    in_body = descriptor_of(body, HOST)

    assert (in_header.ticket, in_header.guest) == (SECRET, "secret-guest")
    assert in_header.ticket_lives_seconds == 30
    assert in_header.rooms == ("order-7", "general")
    assert (in_header.user_id, in_body.user_id) == (None, "u:1")
    assert "secret" not in repr(in_header)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("wss://Chat.example.org:443/a", "chat.example.org"),
        ("https://chat.example.org:8443", "chat.example.org:8443"),
        ("http://u:p@chat.example.org:80/", "chat.example.org"),
        ("ws://[::1]:8000/", "[::1]:8000"),
        ("http://h:443", "h:443"),
    ],
)
def test_hosts(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"url": "ws://evil.example/ws/chat/"}, "names the host 'evil.example'"),
        ({"url": "ws://chat.example.org:8000/"}, "pass the header Host on"),
        ({"url": "ws://chat.example.org@evil.example/"}, "'evil.example'"),
        ({"url": "//["}, "names the host ''"),
        ({"protocol": "headgate.v2"}, "for 'headgate.v2'"),
        ({"rooms": ["no room"]}, "names no room"),
        ({"rooms": ["a"] * 101}, "not well formed"),
        ({"ticket": "secret\r\nX-Evil: 1"}, "not well formed"),
        ({"ticket": "secret\n"}, "not well formed"),
        ({"ticket": "secret" * 400}, "not well formed"),
        ({"ticket": None}, "not well formed"),
        ({"ticket_expires_in_ms": -1}, "not well formed"),
        ({"ticket_expires_in_ms": math.inf}, "not well formed"),
        ({"guest": ["secret"]}, "not well formed"),
    ],
)
def test_what_is_not_followed(changed: dict[str, Any], why: str) -> None:
    for make in (
        lambda: descriptor_of(FOUND | changed, HOST),
        lambda: descriptor_in(json.dumps(FOUND | changed), HOST),
    ):
        with pytest.raises(DescriptorRefused, match=why) as caught:
            make()
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "secret", "[]", '"secret"', b"\xffsecret", "[" * 10_000, "x" * 20_000],
    ids=len,
)
def test_what_is_no_descriptor(text: str | bytes) -> None:
    with pytest.raises(DescriptorRefused) as caught:
        descriptor_in(text, HOST)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
