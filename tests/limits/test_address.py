"""Whose address it is, and what is not believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.limits import address_key, client_address


def _scope(*forwarded: str, client: Any = ("10.0.0.1", 1234)) -> dict[str, Any]:
    headers = [(b"host", b"example.com")]
    headers += [(b"x-forwarded-for", each.encode("latin-1")) for each in forwarded]
    return {"client": client, "headers": headers}


@pytest.mark.parametrize(
    ("forwarded", "proxies", "found"),
    [
        ((), 0, "10.0.0.1"),
        (("203.0.113.9",), 0, "10.0.0.1"),  # anybody can write that
        ((), 1, "10.0.0.1"),  # it did not come through the proxy
        (("203.0.113.9",), 1, "203.0.113.9"),
        (("1.1.1.1, 203.0.113.9",), 1, "203.0.113.9"),  # 1.1.1.1 is the client's word
        (("1.1.1.1, 2.2.2.2, 203.0.113.9",), 1, "203.0.113.9"),
        (("203.0.113.9, 10.0.0.7",), 2, "203.0.113.9"),
        (("1.1.1.1, 203.0.113.9, 10.0.0.7",), 2, "203.0.113.9"),
        (("10.0.0.7",), 2, "10.0.0.1"),  # too few
        (("1.1.1.1", "203.0.113.9"), 1, "203.0.113.9"),  # two fields are one list
        (("203.0.113.9,",), 1, "203.0.113.9"),
        ((" , ,",), 1, "10.0.0.1"),
        (("203.0.113.9",), -1, "10.0.0.1"),
    ],
)
def test_the_client_of_a_request(
    forwarded: tuple[str, ...], proxies: int, found: str
) -> None:
    assert client_address(_scope(*forwarded), proxies) == found


@pytest.mark.parametrize("client", [None, (), ("", 0), (None, None)])
def test_a_client_on_a_unix_socket_has_no_address(client: Any) -> None:
    assert client_address(_scope(client=client)) == "-"
    assert client_address(_scope("203.0.113.9", client=client), 1) == "203.0.113.9"
    assert client_address({}) == "-"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.9", "203.0.113.9"),
        (" 203.0.113.9 ", "203.0.113.9"),
        ("203.0.113.9:8080", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::6]", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::6]:443", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:cb00:7109", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
        ("unknown", "unknown"),
        ("_hidden:80", "_hidden:80"),
        ("", "-"),
        ("-", "-"),
        ("203.0.113.999", "203.0.113.999"),
        ("x" * 100, "x" * 64),
        ("a" + ":1" * 5000, ("a" + ":1" * 5000)[:64]),
    ],
)
def test_what_an_address_is_counted_as(address: str, key: str) -> None:
    assert address_key(address) == key


@given(address=st.ip_addresses(v=6), other=st.integers(0, 2**64 - 1))
def test_one_customers_addresses_are_one_key(address: Any, other: int) -> None:
    if address.ipv4_mapped is None:
        neighbour = (int(address) >> 64 << 64) | other
        same = type(address)(neighbour)
        if same.ipv4_mapped is None:
            assert address_key(str(address)) == address_key(str(same))


@given(text=st.text(max_size=200))
def test_whatever_is_written_there_there_is_a_short_key(text: str) -> None:
    assert 0 < len(address_key(text)) <= 64
    assert address_key(address_key(text)) == address_key(text) or "/64" in (
        address_key(text)
    )
