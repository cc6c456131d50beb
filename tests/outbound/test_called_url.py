"""A URL is called in one form, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.outbound.called_url import NotAllowed, called_url


@pytest.mark.parametrize(
    ("given_url", "url", "authority"),
    [
        ("https://Example.COM", "https://example.com/", "example.com"),
        ("https://example.com.:443/a", "https://example.com/a", "example.com"),
        ("https://a.test:8443/?q=1#x", "https://a.test:8443/?q=1", "a.test:8443"),
        (
            "https://bücher.test/ä?ö=%20",
            "https://xn--bcher-kva.test/%C3%A4?%C3%B6=%20",
            "xn--bcher-kva.test",
        ),
        ("https://faß.test/", "https://xn--fa-hia.test/", "xn--fa-hia.test"),
        (
            "https://[2606:4700:4700:0::1111]/",
            "https://[2606:4700:4700::1111]/",
            "[2606:4700:4700::1111]",
        ),
        ("https://8.8.8.8/a;b", "https://8.8.8.8/a;b", "8.8.8.8"),
    ],
)
def test_a_url_is_called_in_one_form(given_url: str, url: str, authority: str) -> None:
    checked, _ = called_url(given_url)
    assert (checked.url, checked.authority) == (url, authority)
    assert called_url(checked.url)[0] == checked


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_not_allowed(text: str) -> None:
    for url in (text, f"https://{text}", f"https://a.test/{text}", f"https://{text}/"):
        try:
            checked, _ = called_url(url)
        except NotAllowed:
            continue
        assert checked.url.isascii()
        assert not set(checked.url) & set("\r\n\t \\#")
        assert "@" not in checked.authority
        assert checked.host
