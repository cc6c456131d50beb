"""Who the server takes this client for, and what says so when it comes back.

A ticket says it before anything else, and once: it comes with each welcome, or with an
HTTP answer. Without one it is the cookies, the headers, or the guest's token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.client.descriptor import TICKET_PATTERN
from headgate.client.errors import IdentityChanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.client.descriptor import Descriptor
    from headgate.protocol.pushes import Author, Welcome

__all__ = ["Identity", "Ticket"]

WELCOME_TICKET_SECONDS = 600.0  # how long the ticket of a welcome is good
# Of a ticket's life, this much is used: the rest is for the way to here and back.
_USED_OF_LIFE = 0.95

_TICKET = re.compile(TICKET_PATTERN)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket and until when it is good, on the client's clock."""

    value: str = field(repr=False)
    good_until: float


class Identity:
    """What one client knows of itself.

    Args:
        guest: The token of the guest to be, from an earlier client.
        clock: Gives seconds that never run backwards.

    Attributes:
        user: Who we are; None until the first welcome.
        guest: What makes us the same guest again.
    """

    def __init__(self, guest: str | None, clock: Callable[[], float]) -> None:
        self.user: Author | None = None
        self.guest = guest
        self._is_chosen = guest is not None
        self._clock = clock
        self._ticket: Ticket | None = None

    def welcomed(self, welcome: Welcome) -> None:
        """Take in who we are; raises `IdentityChanged` if we were somebody else."""
        if self.user is not None and self.user.id != welcome.user.id:
            raise IdentityChanged(self.user.id, welcome.user.id)
        self.user = welcome.user
        self.guest = welcome.guest or self.guest
        self.keep(welcome.ticket, WELCOME_TICKET_SECONDS)

    def met_guest(self, token: str) -> None:
        """Take in which guest an HTTP answer made us, unless we are somebody."""
        if self.user is None and self.guest is None:
            self.guest = token

    # --- descriptors ---

    def is_of(self, found: Descriptor) -> bool:
        """Return whether a descriptor is for who we are, as far as it can be told."""
        if self.user is None:
            return True
        if found.user_id is not None:
            return found.user_id == self.user.id
        return (found.guest is not None) == self.is_guest

    def ticket_for(self, found: Descriptor) -> None:
        """Keep a descriptor's ticket; raises `IdentityChanged` if it is not for us."""
        if self.user is None:
            self.become(found)
        elif self.is_of(found):
            self.keep(found.ticket, found.ticket_lives_seconds)
        else:
            raise IdentityChanged(self.user.id, found.user_id or "somebody else")

    @property
    def is_guest(self) -> bool:
        """Whether the server takes us for a guest."""
        return self.user is not None and self.user.kind == "guest"

    @property
    def may_change(self) -> bool:
        """Whether we are a guest whom nobody asked to be: made at the first hello."""
        return self.is_guest and not self._is_chosen

    def become(self, found: Descriptor) -> None:
        """Be whom a descriptor is for, from the next connection on."""
        self.user = None
        self.guest = found.guest
        self.keep(found.ticket, found.ticket_lives_seconds)

    # --- tickets ---

    def keep(self, ticket: str | None, lives_seconds: float) -> None:
        """Keep a ticket for the next connection, in place of an earlier one."""
        if ticket is not None and _TICKET.match(ticket):
            good_until = self._clock() + lives_seconds * _USED_OF_LIFE
            self._ticket = Ticket(ticket, good_until)

    def take_ticket(self) -> Ticket | None:
        """Return the ticket, if there is one that is still good; it is used then."""
        ticket, self._ticket = self._ticket, None
        return ticket if ticket and self._clock() < ticket.good_until else None

    def put_back(self, ticket: Ticket) -> None:
        """Keep a ticket that the server did not look at."""
        self._ticket = self._ticket or ticket

    def forget_ticket(self) -> None:
        """Come back by cookies, headers or as a guest: who we are is to be shown."""
        self._ticket = None
