"""Signatures of calls, ours and those that come in: Standard Webhooks 1.0.

What is signed is `id.timestamp.body`, by HMAC-SHA256 with each live secret, so that a
secret can be changed while both sides go on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as randomness
from collections.abc import Mapping, Sequence

__all__ = [
    "ID",
    "SIGNATURE",
    "TIMESTAMP",
    "NoSecret",
    "NotSigned",
    "check_secret",
    "new_secret",
    "sign",
    "verify",
]

# The header fields.
ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"

TOLERANCE_SECONDS = 300  # that a clock may differ, or a call be on its way
MAX_SIGNATURES = 16  # that are looked at in one call
MAX_ID = 256  # characters

_PREFIX = "whsec_"
_VERSION = "v1"
_NEW_BYTES = 32
_LEAST_BYTES, _MOST_BYTES = 24, 64
_MAX_DIGITS = 12  # of a timestamp


class NoSecret(ValueError):  # noqa: N818 - named for what it says
    """A text is no secret; what is raised says what one is, and not the text."""


class NotSigned(ValueError):  # noqa: N818 - named for what it says
    """A call is not signed as it must be; the text says what is wrong."""


def new_secret() -> str:
    """Return a new secret, `whsec_…`."""
    return _PREFIX + base64.b64encode(randomness.token_bytes(_NEW_BYTES)).decode()


def check_secret(secret: str) -> None:
    """Raise `NoSecret` if it is none."""
    _key(secret)


def sign(secrets: Sequence[str], call_id: str, timestamp: int, body: bytes) -> str:
    """Return what `webhook-signature` says: one signature for each secret.

    Raises:
        NoSecret: One of the secrets is none.
    """
    signed = _signed(call_id, str(timestamp), body)
    return " ".join(f"{_VERSION},{_signature(each, signed)}" for each in secrets)


def verify(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
) -> None:
    """Check that a call was signed, with one of the secrets, and not long ago.

    It takes as long for a signature that is nearly right as for any other.

    Args:
        secrets: The live ones.
        headers: Of the call; their names are looked up in lower case.
        body: As it came.
        now: Seconds since 1970.

    Raises:
        NotSigned: It is not.
        NoSecret: One of the secrets is none.
    """
    call_id, timestamp, given = (
        headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE)
    )
    if not (call_id and timestamp and given):
        raise NotSigned(
            f"Sign the call: the headers {ID}, {TIMESTAMP} and {SIGNATURE} are needed, "
            "as Standard Webhooks 1.0 has them.",
        )
    if len(call_id) > MAX_ID or "." in call_id:
        # A dot would leave open where the id ends and the time begins.
        raise NotSigned(f"{ID} has a dot in it, or more than {MAX_ID} characters.")
    if not (timestamp.isascii() and timestamp.isdecimal()) or len(timestamp) > (
        _MAX_DIGITS
    ):
        raise NotSigned(f"{TIMESTAMP} is to be in whole seconds since 1970.")
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise NotSigned(
            f"{TIMESTAMP} is more than {TOLERANCE_SECONDS // 60} minutes away from "
            "this server's clock: sign each attempt anew, and check the clock.",
        )
    signed = _signed(call_id, timestamp, body)
    expected = [_signature(each, signed).encode() for each in secrets]
    right = False
    for each in given.split(" ")[:MAX_SIGNATURES]:
        version, _, signature = each.partition(",")
        if version != _VERSION:
            continue
        said = signature.encode("utf-8", "surrogatepass")
        for one in expected:
            right |= hmac.compare_digest(one, said)
    if not right:
        raise NotSigned(
            f"No signature in {SIGNATURE} is right: check the secret, and that the "
            "body is sent as it was signed.",
        )


def _signed(call_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{call_id}.{timestamp}.".encode() + body


def _signature(secret: str, signed: bytes) -> str:
    digest = hmac.digest(_key(secret), signed, hashlib.sha256)
    return base64.b64encode(digest).decode()


def _key(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        encoded = secret.removeprefix(_PREFIX)
        try:
            padding = "=" * (-len(encoded) % 4)
            key = base64.b64decode(encoded + padding, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if _LEAST_BYTES <= len(key) <= _MOST_BYTES:
            return key
    raise NoSecret(
        f"A secret is {_PREFIX} and {_LEAST_BYTES} to {_MOST_BYTES} bytes in base64 "
        "after it. Leave the field empty to have one made.",
    )
