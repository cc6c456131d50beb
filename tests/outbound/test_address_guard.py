"""The guard: no form of a URL and no answer of a name server gets past it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from headgate.outbound.address_guard import (
    METADATA,
    AddressGuard,
    NotAllowed,
    check_address,
    check_url,
    guard,
)
from headgate.outbound.http_sender import HttpSender
from tests.outbound.calling import call_of
from tests.outbound.name_server import NameServer
from tests.outbound.receiver import Receiver
from tests.outbound.url_forms import FORMS, NAMES


async def test_no_form_of_a_url_reaches_what_is_private(settings: Settings) -> None:
    names = NameServer(NAMES)
    with Receiver() as canary:
        # The port is no hindrance: the address alone must be.
        settings.HEADGATE = {"OUTBOUND_PORTS": [str(canary.port), "443"]}
        sender = HttpSender(resolve=names.resolve)
        results = {}
        for form in FORMS:
            url = form.replace("{port}", str(canary.port))
            results[form] = await sender.send(call_of(url, timeout_seconds=5))
        await sender.close()
        reached = canary.connections

    assert len(set(FORMS)) >= 120
    assert reached == 0
    unsure = {"https://nothing.test:{port}/", *_of_example()}
    for form, outcome in results.items():
        expected = "failed" if form in unsure else "refused"
        assert outcome.result == expected, (form, outcome)
        assert outcome.error
        assert len(outcome.error) <= 300


def _of_example() -> set[str]:
    """Return the forms whose host is one that has no address here."""
    return {
        "https://example.com#@127.0.0.1:{port}/",
        "https://example.com?@127.0.0.1:{port}/",
    }


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "93.184.216.34",
        "172.15.255.255",
        "172.32.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "192.0.1.1",
        "198.17.255.255",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "2001:200::1",
        "64:ff9b::808:808",
    ],
)
def test_public_addresses_may_be_called(address: str) -> None:
    assert check_address(address) == ip_address(address)


def test_a_mapped_address_is_called_as_what_it_is() -> None:
    assert check_address("::ffff:8.8.8.8") == IPv4Address("8.8.8.8")


@given(st.ip_addresses(v=4))
def test_no_way_to_write_an_ipv4_address_changes_the_verdict(
    address: IPv4Address,
) -> None:
    """Where the plain one is refused, so is each IPv6 address that carries it."""
    number = int(address)
    carried = (
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address(number),
        IPv6Address(0x2002 << 112 | number << 80),
        IPv6Address(0x20010000 << 96 | (number ^ 0xFFFFFFFF)),
    )
    allowed = _is_allowed(AddressGuard(), str(address))
    if allowed:
        assert address.is_global
    for each in carried:
        if not allowed or each not in carried[:2]:
            assert not _is_allowed(AddressGuard(), str(each))


@given(st.ip_addresses())
def test_what_is_allowed_is_global_and_nothing_special(
    address: IPv4Address | IPv6Address,
) -> None:
    if _is_allowed(AddressGuard(), str(address)):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved or isinstance(address, IPv6Address)


def _is_allowed(rules: AddressGuard, address: str, **way: object) -> bool:
    try:
        rules.check_address(address, **way)  # type: ignore[arg-type] # scheme and port
    except NotAllowed:
        return False
    return True


# --- what a project allows beyond -------------------------------------------------


def test_a_listed_network_may_be_called_by_http_and_at_any_port() -> None:
    rules = AddressGuard(["10.1.0.0/16"])
    assert rules.check_url("http://10.1.2.3:5000/x").port == 5000
    assert rules.check_url("https://name.test:5000/").port == 5000  # looked at later
    assert _is_allowed(rules, "10.1.2.3", scheme="http", port=5000)
    assert not _is_allowed(rules, "10.2.0.1")
    assert not _is_allowed(rules, "8.8.8.8", scheme="http", port=80)
    assert not _is_allowed(rules, "8.8.8.8", port=5000)
    assert _is_allowed(rules, "::ffff:10.1.2.3", scheme="http", port=5000)
    assert _is_allowed(rules, "64:ff9b::a01:203")
    assert not _is_allowed(rules, "64:ff9b::a02:1")


@pytest.mark.parametrize("address", sorted(map(str, METADATA)))
def test_metadata_is_called_only_where_it_is_listed_exactly(address: str) -> None:
    wide = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]
    assert not _is_allowed(AddressGuard(wide), address)
    assert _is_allowed(AddressGuard([address]), address)
    found = ip_address(address)
    if isinstance(found, IPv4Address):
        assert not _is_allowed(AddressGuard(wide), f"::ffff:{address}")
        assert not _is_allowed(AddressGuard(wide), f"64:ff9b::{address}")


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "224.0.0.1", "255.255.255.255", "ff02::1", "::", "2002:7f00:1::"],
)
def test_what_is_nobodys_is_never_called(address: str) -> None:
    wide = ["0.0.0.0/0", "::/0"]
    assert not _is_allowed(AddressGuard(wide), address)
    assert _is_allowed(AddressGuard(wide), "::1")


def test_ports_that_are_listed_are_all_that_there_are() -> None:
    rules = AddressGuard(["10.0.0.0/8"], ["9000"])
    assert _is_allowed(rules, "8.8.8.8", port=9000)
    assert not _is_allowed(rules, "8.8.8.8", port=443)
    assert not _is_allowed(rules, "10.0.0.1", port=443)
    with pytest.raises(NotAllowed, match="port 443, but at 9000"):
        rules.check_url("https://name.test/")
    assert AddressGuard().check_url("https://name.test:8443/").port == 8443


def test_settings_are_followed_at_once(settings: Settings) -> None:
    with pytest.raises(NotAllowed):
        check_url("https://10.0.0.1/")
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["10.0.0.0/8"]}
    assert check_url("https://10.0.0.1/").host == "10.0.0.1"
    with pytest.raises(NotAllowed):
        guard(public_only=True).check_url("https://10.0.0.1/")


@pytest.mark.parametrize(
    ("networks", "ports"),
    [(["10.0.0.1/8"], None), (["home"], None), (None, ["0"]), (None, ["https"])],
)
def test_a_setting_that_is_none_is_told(
    networks: list[str] | None, ports: list[str] | None
) -> None:
    with pytest.raises(ImproperlyConfigured, match="OUTBOUND_"):
        AddressGuard(networks, ports)
