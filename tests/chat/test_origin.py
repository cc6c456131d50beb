"""The Origin check: nothing wrongly accepted, nothing raised, the right ones let in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from headgate.chat.origin import allowed_origins, header, origin_allowed

OWN = "https://chat.example"

ACCEPTED = [
    OWN,
    "https://chat.example:443",  # the port that https has anyway
    "https://shop.example",  # of CSRF_TRUSTED_ORIGINS
    "https://shop.example:443",
    "http://local.example:8080",
]
REFUSED = [
    "",
    " ",
    "null",
    "NULL",
    "*",
    "none",
    "undefined",
    "about:blank",
    # another scheme
    "http://chat.example",
    "ws://chat.example",
    "wss://chat.example",
    "ftp://chat.example",
    "file://",
    "file:///etc/passwd",
    "data:text/html,x",
    "javascript:alert(1)",
    "chrome-extension://chat.example",
    "https:chat.example",
    "https:/chat.example",
    "https:///chat.example",
    "https:\\\\chat.example",
    "//chat.example",
    "://chat.example",
    "chat.example",
    "chat.example:443",
    # upper case: browsers send none
    "HTTPS://chat.example",
    "https://CHAT.example",
    "https://Chat.Example",
    # another port
    "https://chat.example:80",
    "https://chat.example:8443",
    "https://chat.example:0",
    "https://chat.example:",
    "https://chat.example:443:443",
    "https://chat.example:0443",
    "https://chat.example:+443",
    "https://chat.example:-443",
    "https://chat.example:４４３",  # noqa: RUF001 - wide digits, on purpose
    "https://chat.example:99999",
    "https://chat.example:x",
    "http://local.example",
    "http://local.example:80801",
    "https://local.example:8080",
    # another host
    "https://www.chat.example",
    "https://chat.example.evil.example",
    "https://evil-chat.example",
    "https://evilchat.example",
    "https://chat.example.",
    "https://chat.exampl",
    "https://chatXexample",
    "https://example",
    "https://.chat.example",
    "https://*.chat.example",
    "https://chat.example@evil.example",
    "https://evil.example@chat.example",
    "https://user:secret@chat.example",
    "https://@chat.example",
    "https://evil.example#chat.example",
    "https://evil.example?https://chat.example",
    "https://evil.example/https://chat.example",
    "https://evil.example\\.chat.example",
    "https://evil.example\\@chat.example",
    "https://chat.example%2eevil.example",
    "https://chat%2eexample",
    "https://chat.example%00.evil.example",
    # more than an origin
    "https://chat.example/",
    "https://chat.example/path",
    "https://chat.example?q",
    "https://chat.example#f",
    "https://chat.example;evil",
    " https://chat.example",
    "https://chat.example ",
    "https://chat.example\t",
    "https://chat.example\n",
    "https://chat.example\r\nx: y",
    "https://chat\n.example",
    "https://chat.example\x00",
    "https://chat.example,https://evil.example",
    "https://evil.example, https://chat.example",
    "https://chat.example https://evil.example",
    # what is no ASCII
    "https://chät.example",
    "https://сhat.example",  # noqa: RUF001 - a Cyrillic letter, on purpose
    "https://chat。example",
    "https://xn--cht-qla.example",
    "https://chat.example\u00a0",
    "https://chat.example\xff",
    # what cannot be parsed
    "http://[::1",
    "http://::1]",
    "https://[chat.example]",
    "https://[::1]]",
    "https://[v1.x]",
    "https://[::1]:99999",
    "https://[::ffff:127.0.0.1%eth0]",
    "https://",
    "https://:443",
    "http://" + "a" * 70_000,
    "https://chat.example" + "." * 5_000,
    "https://chat.example:" + "4" * 5_000,
]


def scope(
    *origins: str | bytes,
    host: str | bytes | None = "chat.example",
    scheme: str = "wss",
    **more: bytes,
) -> dict[str, Any]:
    headers: list[tuple[bytes, bytes]] = []
    if host is not None:
        headers.append((b"host", _bytes(host)))
    headers += [(b"origin", _bytes(origin)) for origin in origins]
    headers += [(name.replace("_", "-").encode(), more[name]) for name in more]
    return {"type": "websocket", "scheme": scheme, "headers": headers}


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


@pytest.fixture(autouse=True)
def project(settings: Settings) -> None:
    """A project at https://chat.example that trusts two more origins."""
    settings.HEADGATE = {}
    settings.ALLOWED_HOSTS = ["chat.example", "[::1]", ".wild.example"]
    settings.CSRF_TRUSTED_ORIGINS = [
        "https://shop.example",
        "http://local.example:8080",
    ]
    settings.SECURE_PROXY_SSL_HEADER = None


def test_the_table_is_as_long_as_promised() -> None:
    assert len(set(REFUSED)) + len(ACCEPTED) >= 60


@pytest.mark.parametrize("by_cookie", [True, False])
def test_nothing_is_wrongly_accepted_and_nothing_raises(
    by_cookie: bool,  # noqa: FBT001
) -> None:
    wrongly = [o for o in REFUSED if origin_allowed(scope(o), by_cookie=by_cookie)]
    missing = [o for o in ACCEPTED if not origin_allowed(scope(o), by_cookie=by_cookie)]

    assert (wrongly, missing) == ([], [])


@pytest.mark.parametrize("by_cookie", [True, False])
def test_without_an_origin_a_cookie_does_not_count(
    by_cookie: bool,  # noqa: FBT001
) -> None:
    assert origin_allowed(scope(), by_cookie=by_cookie) is not by_cookie


@pytest.mark.parametrize(
    "origins",
    [
        (OWN, OWN),
        (OWN, "https://evil.example"),
        ("https://evil.example", OWN),
        ("", OWN),
    ],
)
def test_two_origins_are_never_right(origins: tuple[str, ...]) -> None:
    assert not origin_allowed(scope(*origins), by_cookie=False)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", "https://evil.example"),
        ("chat.example.evil.example", "https://chat.example.evil.example"),
        ("chat.example@evil.example", "https://evil.example"),
        ("chat.example/evil", "https://chat.example"),
        ("chat.example evil.example", "https://chat.example"),
        ("chat.example, evil.example", "https://evil.example"),
        ("[::1", "https://[::1"),
        ("[::1]:99999", "https://[::1]:99999"),
        ("chat.example:x", "https://chat.example"),
        ("", "https://"),
        (None, OWN),
        ("wild.example.evil.example", "https://wild.example.evil.example"),
        ("chat.example\r\nevil", OWN),
        (b"\xff\xfe", OWN),
        ("chät.example", "https://chät.example"),
        ("a" * 70_000, "https://" + "a" * 70_000),
    ],
)
def test_a_hostile_host_opens_nothing(host: str | bytes | None, origin: str) -> None:
    assert not origin_allowed(scope(origin, host=host), by_cookie=True)


@pytest.mark.parametrize(
    ("host", "scheme", "origin"),
    [
        ("chat.example:8443", "wss", "https://chat.example:8443"),
        ("chat.example", "ws", "http://chat.example"),
        ("chat.example:80", "ws", "http://chat.example"),
        ("chat.example", "ws", "http://chat.example:80"),
        ("[::1]:8000", "ws", "http://[::1]:8000"),
        ("a.wild.example", "wss", "https://a.wild.example"),
    ],
)
def test_the_own_host_is_right_with_its_own_port(
    host: str,
    scheme: str,
    origin: str,
) -> None:
    assert origin_allowed(scope(origin, host=host, scheme=scheme), by_cookie=True)


def test_two_hosts_are_none() -> None:
    two = scope(OWN)
    two["headers"].append((b"host", b"chat.example"))

    assert not origin_allowed(two, by_cookie=True)


def test_a_list_of_ones_own_is_the_whole_list(settings: Settings) -> None:
    settings.HEADGATE = {"ALLOWED_ORIGINS": ["https://app.example", "no origin", "*"]}

    assert allowed_origins(scope()) == {"https://app.example:443"}
    assert origin_allowed(scope("https://app.example"), by_cookie=True)
    assert not origin_allowed(scope(OWN), by_cookie=True)
    assert not origin_allowed(scope("https://shop.example"), by_cookie=True)
    assert not origin_allowed(scope("https://evil.example"), by_cookie=True)
    settings.HEADGATE = {"ALLOWED_ORIGINS": []}
    assert not origin_allowed(scope(OWN), by_cookie=True)


@pytest.mark.parametrize(
    ("said", "own"),
    [
        (b"https", "https"),
        (b"https, http", "https"),
        (b"http", "http"),
        (b"HTTPS", "http"),
        (b"", "http"),
        (b"\xff", "http"),
        (None, "http"),
    ],
)
def test_the_scheme_is_what_the_trusted_proxy_says(
    settings: Settings,
    said: bytes | None,
    own: str,
) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    more = {} if said is None else {"x_forwarded_proto": said}

    found = {
        scheme
        for scheme in ("http", "https")
        if origin_allowed(
            scope(f"{scheme}://chat.example", scheme="ws", **more),
            by_cookie=True,
        )
    }
    assert found == {own}


def test_a_proxy_that_is_not_trusted_says_nothing() -> None:
    forged = scope(OWN, scheme="ws", x_forwarded_proto=b"https")

    assert not origin_allowed(forged, by_cookie=True)


def test_while_debugging_this_machine_may(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = []
    local = scope("http://localhost:8000", host="localhost:8000", scheme="ws")
    assert not origin_allowed(local, by_cookie=True)

    settings.DEBUG = True

    assert origin_allowed(local, by_cookie=True)
    evil = scope("http://evil.example", host="evil.example", scheme="ws")
    assert not origin_allowed(evil, by_cookie=True)


@given(
    st.binary(max_size=60)
    | st.text(max_size=40).map(lambda t: f"https://{t}chat.example".encode())
    | st.text(max_size=40).map(lambda t: f"https://chat.example{t}".encode()),
    st.binary(max_size=30) | st.just(b"chat.example"),
)
def test_only_the_letters_themselves_come_in(origin: bytes, host: bytes) -> None:
    if origin_allowed(scope(origin, host=host), by_cookie=True):
        assert origin.decode() in ACCEPTED


def test_header_values_are_read_as_latin_1() -> None:
    assert header(scope(b"\xe9", b"b"), b"origin") == ["é", "b"]
    assert header(scope(), b"cookie") == []
