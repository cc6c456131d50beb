"""The consumer of the recipe, with the group of the Channels tutorial."""

from __future__ import annotations

import json
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from benchmarks.peers.channels_chat.models import Messages


class ChatRoomConsumer(AsyncWebsocketConsumer):  # type: ignore[misc] # untyped
    """Saves what is said, says so, and sends it to everybody in the room."""

    async def connect(self) -> None:
        """Enter the room of the URL."""
        self.chat_id = self.scope["url_route"]["kwargs"]["chat_id"]
        self.group = f"chat_{self.chat_id}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, _code: int) -> None:
        """Leave the room."""
        await self.channel_layer.group_discard(self.group, self.channel_name)

    @database_sync_to_async
    def create_message(self, message_text: str) -> Messages:
        """Save a message with the ORM."""
        return Messages.objects.create(chat_id=self.chat_id, message=message_text)

    async def receive(self, text_data: str) -> None:
        """Take a message."""
        text_data_json = json.loads(text_data)
        message_text = text_data_json["message"]

        await self.create_message(message_text)
        await self.send(
            text_data=json.dumps({"message": "Message received and saved."})
        )
        await self.channel_layer.group_send(
            self.group, {"type": "chat.message", "message": message_text}
        )

    async def chat_message(self, event: dict[str, Any]) -> None:
        """Pass on what somebody in the room said."""
        await self.send(text_data=json.dumps({"message": event["message"]}))
