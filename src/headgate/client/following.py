"""Turns a connection descriptor into a connection that watches its rooms.

The client has one connection, as one person. A descriptor for that person joins its
rooms there; for a client that is nobody yet it says who to be.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from headgate.client.errors import DescriptorRefused

if TYPE_CHECKING:
    from headgate.client.descriptor import Descriptor
    from headgate.client.link import Link

__all__ = ["follow"]


async def follow(link: Link, found: Descriptor) -> None:
    """Connect as a descriptor says, and join its rooms; waits until that is done.

    `link` is running, or made and not begun: then it begins with the ticket.

    Raises:
        DescriptorRefused: It is for somebody else than this client is.
        RoomRefused: One of its rooms is not for us.
        ClientError: What ended the client.
    """
    link.check()
    identity = link.identity
    if link.is_begun and (identity.user is None or not identity.is_of(found)):
        await link.settled()
    if identity.user is None:
        link.become(found)
    elif not identity.is_of(found):
        if link.is_wanted or not identity.may_change:
            raise DescriptorRefused(
                "it is for somebody else than this client is connected as. Make a "
                "client of their own for each person"
            )
        link.become(found)
    link.want()
    link.begin()
    watched = [link.watching.add(room, None, None) for room in found.rooms]
    if not watched:
        await link.connected()
    for room in watched:
        await asyncio.shield(room.joined)
