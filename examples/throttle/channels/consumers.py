"""The chat over WebSockets."""

from __future__ import annotations

import hashlib
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from headgate.contrib.channels import ThrottledConsumerMixin


def group_of(chat_id: str) -> str:
    """Return the group of a chat; groups may not be called just anything."""
    return "chat." + hashlib.sha256(chat_id.encode()).hexdigest()


class ChatConsumer(ThrottledConsumerMixin, AsyncJsonWebsocketConsumer):
    """Everybody in a chat gets what anybody says."""

    outgoing_rate = "20/s"  # past it, messages go out together, as an array

    async def connect(self) -> None:
        """Join the chat of the URL."""
        self.group = group_of(self.scope["url_route"]["kwargs"]["chat_id"])
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def receive_json(self, content: Any, **_: Any) -> None:
        """Say something."""
        text = content.get("text") if isinstance(content, dict) else None
        if not isinstance(text, str):
            await self.send_json({"error": "no_text"})
            return
        event = {"type": "chat.message", "text": text}
        await self.channel_layer.group_send(self.group, event)

    async def chat_message(self, event: dict[str, Any]) -> None:
        """Show what somebody said."""
        await self.send_json({"text": event["text"]})

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - Channels' own
        """Leave; also when the limit has closed the connection."""
        await self.channel_layer.group_discard(self.group, self.channel_name)
