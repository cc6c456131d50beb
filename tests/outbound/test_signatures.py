"""Signatures, held against the reference package of Standard Webhooks, both ways."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from headgate.outbound.signatures import (
    NoSecret,
    NotSigned,
    check_secret,
    new_secret,
    sign,
    verify,
)

_texts = st.text(st.characters(codec="utf-8"))
_ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=60)
OLD, NEW, OTHER = (new_secret() for _ in range(3))


def signed(
    body: bytes, *secrets: str, at: float | None = None, call_id: str = "d-1"
) -> dict[str, str]:
    """Return the header fields of a call."""
    timestamp = int(time.time() if at is None else at)
    return {
        "webhook-id": call_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets, call_id, timestamp, body),
    }


@given(_texts, _ids)
def test_the_reference_verifies_ours(body: str, call_id: str) -> None:
    headers = signed(body.encode(), NEW, OLD, call_id=call_id)
    for secret in (NEW, OLD):
        Webhook(secret).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(body, headers, json_parse=False)


@given(_texts, _ids)
def test_we_verify_those_of_the_reference(body: str, call_id: str) -> None:
    now = datetime.now(UTC)
    headers = {
        "webhook-id": call_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(OLD).sign(call_id, now, body),
    }
    verify([NEW, OLD], headers, body.encode(), time.time())
    with pytest.raises(NotSigned):
        verify([NEW, OTHER], headers, body.encode(), time.time())


@given(st.binary(min_size=1, max_size=50), st.data())
def test_what_was_tampered_with_is_refused(body: bytes, data: st.DataObject) -> None:
    headers = signed(body, NEW, at=1000)
    verify([NEW], headers, body, 1000)
    at = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[at] ^= data.draw(st.integers(1, 255))
    tampered: list[tuple[dict[str, str], bytes]] = [
        (headers, bytes(changed)),
        (headers, body + b"x"),
        (headers | {"webhook-id": "d-2"}, body),
        (headers | {"webhook-timestamp": "1001"}, body),
        (headers | {"webhook-signature": headers["webhook-signature"][:-4]}, body),
    ]
    for fields, said in tampered:
        with pytest.raises(NotSigned):
            verify([NEW], fields, said, 1000)


@pytest.mark.parametrize(
    ("late", "is_refused"),
    [(0, False), (300, False), (-300, False), (301, True), (-301, True)],
)
def test_what_is_late_or_early_is_refused(late: int, *, is_refused: bool) -> None:
    headers = signed(b"hi", NEW, at=100_000)
    if not is_refused:
        verify([NEW], headers, b"hi", 100_000 + late)
        return
    with pytest.raises(NotSigned, match="5 minutes"):
        verify([NEW], headers, b"hi", 100_000 + late)


@pytest.mark.parametrize(
    "fields",
    [
        {"webhook-id": ""},
        {"webhook-id": "x" * 300},
        {"webhook-id": "d-1.1000"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "-1000"},
        {"webhook-timestamp": "1000.0"},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-timestamp": "\u0661\u0660\u0660\u0660"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v2,abc v1a,abc ,, v1,\ud800"},
        {"webhook-signature": "v1,ü"},
        {"webhook-signature": " ".join(["v1,AAAA"] * 1000)},
    ],
)
def test_headers_that_are_none(fields: dict[str, str]) -> None:
    headers = signed(b"hi", NEW, at=1000) | fields
    with pytest.raises(NotSigned) as refused:
        verify([NEW], headers, b"hi", 1000)
    assert NEW not in str(refused.value)


def test_a_dot_in_an_id_moves_no_boundary() -> None:
    """`d.1000` at 1001 and `d` at 1000 with `1001.` first sign the same bytes."""
    headers = signed(b"1001.hi", NEW, at=1000, call_id="d")
    verify([NEW], headers, b"1001.hi", 1000)
    moved = headers | {"webhook-id": "d.1000", "webhook-timestamp": "1001"}
    with pytest.raises(NotSigned):
        verify([NEW], moved, b"hi", 1000)


def test_one_right_signature_among_others_is_enough() -> None:
    headers = signed(b"hi", OTHER, NEW, at=1000)
    headers["webhook-signature"] = f"v1a,zzz {headers['webhook-signature']}"
    verify([OLD, NEW], headers, b"hi", 1000)


def test_without_a_secret_nothing_is_verified() -> None:
    with pytest.raises(NotSigned):
        verify([], signed(b"hi", NEW, at=1000), b"hi", 1000)


def test_new_secrets_are_secrets() -> None:
    made = {new_secret() for _ in range(20)}
    assert len(made) == 20
    for secret in made:
        check_secret(secret)
        assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32


@pytest.mark.parametrize(
    ("secret", "is_one"),
    [
        ("whsec_" + base64.b64encode(b"x" * 24).decode(), True),
        ("whsec_" + base64.b64encode(b"x" * 64).decode(), True),
        ("whsec_" + base64.b64encode(b"x" * 25).decode().rstrip("="), True),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), False),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), False),
        (base64.b64encode(b"x" * 32).decode(), False),
        ("whsec_" + "ä" * 40, False),
        ("whsec_ " + base64.b64encode(b"x" * 32).decode(), False),
        ("whsec_", False),
        ("", False),
        ("hunter2", False),
    ],
)
def test_what_a_secret_is(secret: str, *, is_one: bool) -> None:
    if is_one:
        check_secret(secret)
        return
    with pytest.raises(NoSecret) as refused:
        check_secret(secret)
    assert len(secret) < 8 or secret not in str(refused.value)
