"""The admin of services: destinations, deliveries, bots and incoming webhooks."""

from __future__ import annotations

from headgate.outbound.delivery_admin import DeliveryAdmin
from headgate.outbound.destination_admin import DestinationAdmin
from headgate.outbound.incoming_admin import BotAdmin, IncomingWebhookAdmin

__all__ = ["BotAdmin", "DeliveryAdmin", "DestinationAdmin", "IncomingWebhookAdmin"]
