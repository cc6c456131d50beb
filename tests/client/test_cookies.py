from __future__ import annotations

import pytest

from headgate.client.cookies import cookie_header, in_jar, pairs_of, set_cookie


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000",
        "http://localhost",
        "https://u:p@Chat.example.org/sub/",
        "http://[::1]:8000",
    ],
)
def test_cookies_go_to_all_of_their_host(url: str) -> None:
    headers, jar = in_jar(url, {"cookie": "a=1; b=2", "X-A": "1"}, {"b": "3"})

    assert headers == {"X-A": "1"}
    assert cookie_header(jar, url) == "a=1; b=3"
    assert cookie_header(jar, f"{url}/ws/chat/") == "a=1; b=3"
    set_cookie(jar, url, "a", "4")
    assert cookie_header(jar, url) == "a=4; b=3"


@pytest.mark.parametrize(
    "other",
    [
        "http://sub.chat.example.org",
        "http://example.org",
        "http://evil-chat.example.org",
        "http://localhost",
        "http://chat.example.org.evil.example",
    ],
)
def test_and_to_no_other(other: str) -> None:
    _, jar = in_jar("http://chat.example.org", None, {"sessionid": "s"})
    assert cookie_header(jar, other) is None


def test_a_cookie_header_as_django_reads_it() -> None:
    assert pairs_of("a=1; b=x=y;c ; =; a=2") == {"a": "2", "b": "x=y", "c": ""}
    assert pairs_of("") == {}
