"""Who may open a connection: how often, and how many at once.

Asked twice: by address, before anything else is done for somebody, and by person, once
it is known who they are. At a cap the new connection is refused; an old one is never
given up for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from headgate.chat import storage
from headgate.chat.conf import conf
from headgate.chat.gate import refusal_error
from headgate.chat.open_places import Place, Places, local_places, open_places
from headgate.chat.overrides import overrides
from headgate.chat.people import Actor
from headgate.chat.policies import policies
from headgate.contrib.shared import limiter
from headgate.limits.address import address_key, client_address
from headgate.limits.decision import Decision
from headgate.limits.policy import Charge, Policy
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.pushes import Error

__all__ = ["Arrival", "address_of", "open_connections"]

# What whoever finds all places taken is asked to wait: between this and twice that, as
# nobody knows when one is free.
FULL_MS = 5000


def address_of(scope: Mapping[str, Any]) -> str:
    """Return what the client of a scope is counted as where nobody else is known."""
    return address_key(client_address(scope, conf().TRUSTED_PROXIES))


def open_connections() -> Mapping[tuple[str, str], int]:
    """Return how many connections are open in this process, by policy and key."""
    return local_places.counts()


class Arrival:
    """A connection that is being opened, and the places that it has taken.

    Args:
        address: Where it comes from.

    Attributes:
        decisions: What was decided about it so far.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.decisions: list[Decision] = []
        self._taken: list[tuple[Places, Place]] = []

    async def by_address(self) -> Error | None:
        """Take a place for the address, or return why there is none."""
        policy = policies().policy("connect.address")
        key = f"{{{self.address}}}"
        refusal = await self._refused(policy, key)
        return refusal or await self._take("connect.address.open", key)

    async def by_person(self, actor: Actor) -> Error | None:
        """Take a place for a person, or return why there is none.

        Raises `LogUnavailable`.
        """
        await overrides().refresh(storage.read)
        policy = policies().policy("connect", overrides().of(actor.key))
        key = f"{{{actor.key}}}"
        refusal = await self._refused(policy, key)
        return refusal or await self._take("connect.open", key)

    async def _refused(self, policy: Policy | None, key: str) -> Error | None:
        if policy is None or limiter().off:
            return None
        verdict = await limiter().adecide([Charge(policy, key)])
        self.decisions += verdict.decisions
        return None if verdict.refused is None else refusal_error(verdict.refused)

    async def _take(self, name: str, key: str) -> Error | None:
        cap, place = policies().open_caps[name], (name, key)
        places: Places = local_places
        if cap is None or limiter().off:
            local_places.add(place)
        else:
            places = open_places()
            if not await places.take(place, cap):
                return error(
                    Code.RATE_LIMITED,
                    f"{cap} connections are open already.",
                    policy=name,
                    retry_after_ms=FULL_MS + secrets.randbelow(FULL_MS),
                    remaining=0,
                )
        self._taken.append((places, place))
        return None

    def over(self) -> None:
        """Give the places back: the connection is closed."""
        for places, place in self._taken:
            places.give(place)
        self._taken.clear()
