"""What anybody may, over HTTP and WebSocket together."""

from __future__ import annotations

from headgate.limits import Policy

TALK = Policy("talk", "5/2s", past="reject")
