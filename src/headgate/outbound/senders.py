"""The senders of a worker, by the kinds of destinations."""

from __future__ import annotations

from importlib.util import find_spec

from headgate.outbound.calls import Sender
from headgate.outbound.models import Destination

__all__ = ["NEEDED", "can_call", "make_senders"]

NEEDED = "httpx2"  # the package of the extra `outbound`


def can_call() -> bool:
    """Return whether what webhooks are called with is installed."""
    return find_spec(NEEDED) is not None


def make_senders() -> dict[str, Sender]:
    """Return a sender for each kind; made on the loop that will use them."""
    from headgate.outbound.handler_sender import HandlerSender
    from headgate.outbound.http_sender import HttpSender

    return {
        Destination.Kind.WEBHOOK.value: HttpSender(),
        Destination.Kind.HANDLER.value: HandlerSender(),
    }
