"""The load of the benchmarks: what it counts, whatever the cuts between its reads."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from benchmarks.crowd import Client, Crowd
from benchmarks.dialects import HEADGATE, NATS, PLAIN, Dialect, back_to_headgate, text

READY = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class Wire:
    """The server's end of one client's connection, to say anything on."""

    def __init__(self, dialect: Dialect) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.crowd = Crowd(self.listener.getsockname()[1], dialect)
        self.client = self.crowd.begin()
        self.end, _ = self.listener.accept()
        self.end.settimeout(30)
        self.numbers: list[int] = []
        self.crowd.on_numbers = lambda _client, found: self.numbers.extend(found)

    def say(self, data: bytes) -> None:
        """Send, and let the client read it by itself."""
        self.end.sendall(data)
        self.crowd.read(5)

    def close(self) -> None:
        """End all of it."""
        self.crowd.close()
        self.end.close()
        self.listener.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    found = Wire(PLAIN)
    found.say(READY)
    yield found
    found.close()


def framed(number: int) -> bytes:
    said = text(number, 64).encode()
    return bytes((0x81, len(said))) + said


MESSAGES = framed(7) + framed(8)


@pytest.mark.parametrize("numbers", [None, [7, 8]], ids=["counted", "sampled"])
def test_a_cut_loses_and_doubles_no_mark(wire: Wire, numbers: list[int] | None) -> None:
    wire.client.sampled = numbers is not None
    for cut in range(1, len(MESSAGES)):
        wire.client.marks = 0
        wire.numbers.clear()
        wire.say(MESSAGES[:cut])
        wire.say(MESSAGES[cut:])
        assert wire.client.marks == 2, f"cut at {cut}"
        assert wire.numbers == (numbers or [])


@pytest.mark.parametrize("numbers", [None, [7, 8]], ids=["counted", "sampled"])
def test_byte_by_byte(wire: Wire, numbers: list[int] | None) -> None:
    wire.client.sampled = numbers is not None
    for at in range(len(MESSAGES)):
        wire.say(MESSAGES[at : at + 1])
    assert wire.client.marks == 2
    assert wire.numbers == (numbers or [])


def test_what_comes_with_the_last_of_the_opening_is_counted() -> None:
    wire = Wire(NATS)
    joined: list[Client] = []
    wire.crowd.on_joined = joined.append
    wire.say(b"INFO {}\r\n")
    assert joined == []
    wire.say(b"PONG\r\nMSG room 1 64\r\n" + text(0, 64).encode() + b"\r\n")
    assert joined == [wire.client]
    assert wire.client.marks == 1
    wire.close()


def test_a_ping_is_answered_with_its_payload(wire: Wire) -> None:
    wire.end.recv(4096)  # the handshake
    wire.say(framed(1) + b"\x89\x04\x00\xffab" + framed(2))
    assert wire.end.recv(100) == b"\x8a\x84\0\0\0\0" + b"\x00\xffab"


def test_a_length_that_looks_like_a_ping_is_none(wire: Wire) -> None:
    wire.end.recv(4096)
    wire.say(b"\x81\x7e\x00\x89" + b"\x05" * 0x89 + b"\x89\x01z")
    assert wire.end.recv(100) == b"\x8a\x81\0\0\0\0z"


def test_a_ping_on_top_of_the_websocket_is_answered() -> None:
    wire = Wire(NATS)
    wire.say(b"PONG\r\n")
    wire.end.recv(4096)
    wire.say(b"PING\r\n")
    assert wire.end.recv(100) == b"PONG\r\n"
    wire.close()


def test_a_refusal_is_an_error_unless_it_is_waited_for() -> None:
    wire = Wire(PLAIN)
    with pytest.raises(ConnectionError, match="on its way in"):
        wire.say(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    wire.close()
    wire = Wire(PLAIN)
    lost: list[Client] = []
    wire.crowd.on_lost = lost.append
    wire.say(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    assert lost == [wire.client]
    wire.close()


def test_who_is_stalled_reads_nothing(wire: Wire) -> None:
    wire.crowd.stall(wire.client)
    wire.end.sendall(framed(1))
    wire.crowd.read(0.1)
    assert wire.client.marks == 0
    assert wire.client.socket.recv(100) == framed(1), "it is all still there"


def test_one_who_is_dropped_when_let_in_sees_nothing(wire: Wire) -> None:
    wire.crowd.on_joined = wire.crowd.drop
    late = wire.crowd.begin()
    end, _ = wire.listener.accept()
    end.sendall(READY + framed(1))
    wire.crowd.read(5)
    assert late.joined
    assert late.marks == 0
    end.close()


def test_who_comes_back_to_headgate_says_what_the_welcome_told() -> None:
    opening = (
        b'{"push":"welcome","user":{},"guest":"abc:d","rooms":{"room":'
        b'{"head":12,"epoch":"9f2c01ab"}},' + HEADGATE.ready + b"16384}"
    )
    assert back_to_headgate(opening).endswith(
        b'{"cmd": "hello", "guest": "abc:d", '
        b'"resume": {"room": {"seq": 12, "epoch": "9f2c01ab"}}}'
    )
