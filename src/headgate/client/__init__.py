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
    HandshakeRefused,
    IdentityChanged,
    NotConnected,
    NotSent,
    OutboxFull,
    Refused,
    RoomRefused,
    SendError,
)
from headgate.client.incoming import Push, RoomLost, UnknownEvent
from headgate.client.outbox import Sent
from headgate.client.state import State, Status

__all__ = [
    "Client",
    "ClientClosed",
    "ClientError",
    "ClosedByServer",
    "DescriptorRefused",
    "HandshakeRefused",
    "IdentityChanged",
    "NotConnected",
    "NotSent",
    "OutboxFull",
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
