"""The Python client: a chat that comes back by itself and loses nothing.

May import `headgate.protocol` and nothing else of headgate. Start reading at
`client`.
"""

from __future__ import annotations

from headgate.client.client import Client
from headgate.client.errors import (
    ClientClosed,
    ClientError,
    ClosedByServer,
    DescriptorRefused,
    Discarded,
    Expired,
    HandshakeRefused,
    IdentityChanged,
    NotConnected,
    NotSent,
    OutboxFull,
    Refused,
    RoomRefused,
    SendError,
)
from headgate.client.growing import Growing
from headgate.client.incoming import Push, RoomLost, UnknownEvent
from headgate.client.outbox import Outgoing, OutgoingStatus, Sent
from headgate.client.pacing import Allowance, Limit
from headgate.client.state import State, Status

__all__ = [
    "Allowance",
    "Client",
    "ClientClosed",
    "ClientError",
    "ClosedByServer",
    "DescriptorRefused",
    "Discarded",
    "Expired",
    "Growing",
    "HandshakeRefused",
    "IdentityChanged",
    "Limit",
    "NotConnected",
    "NotSent",
    "OutboxFull",
    "Outgoing",
    "OutgoingStatus",
    "Push",
    "Refused",
    "RoomLost",
    "RoomRefused",
    "SendError",
    "Sent",
    "State",
    "Status",
    "UnknownEvent",
]
