"""What this app adds to the HTTP API, which looks here by this name."""

from __future__ import annotations

from headgate.outbound.http import destinations_api, incoming_api  # noqa: F401 - adds

__all__: list[str] = []
