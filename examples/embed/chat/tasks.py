"""What the shop does in the background."""

from __future__ import annotations

from celery import shared_task

import headgate
from headgate.chat.people import SYSTEM


@shared_task
def tell_shipped(order: int) -> int:
    """Tell in an order's room that it is on its way; return the message's seq."""
    text = "Your order is on its way."
    return headgate.send_message(f"order-{order}", SYSTEM, text, kind="system").seq
