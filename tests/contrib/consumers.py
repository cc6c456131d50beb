"""Consumers as people write them, of each of the four kinds."""

from __future__ import annotations

import json
from typing import Any

from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)

__all__ = ["KINDS", "AsyncEcho", "AsyncJsonEcho", "Echo", "JsonEcho"]

# The codes with which consumers were told that the client is gone.
gone: list[int] = []


class Echo(WebsocketConsumer):  # type: ignore[misc] # it has no types
    """Sync, texts."""

    def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        self.send(text_data=text_data)

    def disconnect(self, code: int) -> None:
        gone.append(code)


class AsyncEcho(AsyncWebsocketConsumer):  # type: ignore[misc] # the same
    """Async, texts."""

    async def receive(
        self, text_data: str = "", bytes_data: bytes | None = None
    ) -> None:
        await self.send(text_data=text_data)

    async def disconnect(self, code: int) -> None:
        gone.append(code)


class JsonEcho(JsonWebsocketConsumer):  # type: ignore[misc] # the same
    """Sync, JSON."""

    def receive_json(self, content: Any, **_: Any) -> None:
        self.send_json(content)

    def disconnect(self, code: int) -> None:
        gone.append(code)


class AsyncJsonEcho(AsyncJsonWebsocketConsumer):  # type: ignore[misc] # the same
    """Async, JSON, in a group."""

    groups = ["everybody"]  # noqa: RUF012 - as Channels has it

    async def receive_json(self, content: Any, **_: Any) -> None:
        await self.send_json(content)

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps({"chat": event["text"]}))

    async def disconnect(self, code: int) -> None:
        gone.append(code)


KINDS = [Echo, AsyncEcho, JsonEcho, AsyncJsonEcho]
