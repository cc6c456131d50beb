"""One call as both queues make it: the body and the signature that Headgate makes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from typing import Any

__all__ = ["URL", "arguments", "headers_and_body"]

URL = os.environ["BENCHMARK_RECEIVER"]
_KEY = base64.b64decode(os.environ["BENCHMARK_SECRET"].removeprefix("whsec_"))
TEXT = "x" * 64


def arguments(number: int) -> dict[str, Any]:
    """Return what a task is given: a message of a room."""
    return {
        "id": f"msg-{number}",
        "room": "general",
        "seq": number,
        "author": {"id": "u:1", "kind": "user", "name": "Ada"},
        "text": TEXT,
        "at": "2026-11-30T12:00:00.000Z",
    }


def headers_and_body(id: str, **message: Any) -> tuple[dict[str, str], bytes]:  # noqa: A002 - the task's word
    """Return a signed call, as Standard Webhooks has it."""
    body = json.dumps(
        {"type": "room.message", "timestamp": message["at"], "data": message}
    ).encode()
    now = str(int(time.time()))
    signed = hmac.digest(
        _KEY, b".".join((id.encode(), now.encode(), body)), hashlib.sha256
    )
    headers = {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": now,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    return headers, body
