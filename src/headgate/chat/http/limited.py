"""Limits over HTTP: the same policies and keys as over a WebSocket.

A request is a command of the person who makes it. What was decided is told in the
answer's `RateLimit` fields, whether it was refused or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from headgate.chat import storage
from headgate.chat.arrivals import address_of
from headgate.chat.gate import Gate, refusal_error
from headgate.chat.http.cors import scope_of
from headgate.chat.http.problems import Refusal
from headgate.chat.identity import Identity
from headgate.chat.overrides import overrides
from headgate.chat.people import Actor
from headgate.chat.permissions import Rights
from headgate.chat.policies import policies
from headgate.contrib.shared import limiter
from headgate.limits.decision import Decision
from headgate.limits.fields import limit_fields
from headgate.limits.policy import Charge
from headgate.protocol.codec import BadCommand

__all__ = ["Admission", "count_guess", "decisions_of", "tell_limits"]

T = TypeVar("T")

_ATTRIBUTE = "headgate_decisions"


class Admission:
    """Somebody's request, before anything is done for it."""

    def __init__(self, request: HttpRequest, identity: Identity) -> None:
        self._request = request
        self.identity = identity
        self.gate = Gate(identity.actor, _address(request), connected=False)

    @property
    def actor(self) -> Actor:
        """Who makes the request."""
        return self.identity.actor

    async def admit(
        self,
        operation: str,
        rights: Rights | None = None,
        *,
        client_id: str | None = None,
    ) -> None:
        """Count the request as an operation; see `Gate.charges`.

        Raises:
            Refusal: It comes too fast.
            LogUnavailable: The database is away.
        """
        await overrides().refresh(storage.read)
        decisions = await self.gate.verdict(self.gate.charges(operation, rights))
        setattr(self._request, _ATTRIBUTE, decisions)
        for each in decisions:
            if not each.allowed:
                failure = refusal_error(each, client_id)
                raise Refusal(failure, decisions=decisions)

    async def decoded(self, decode: Callable[[], T]) -> T:
        """Return what a request says; one that says nothing right is a request, too.

        Raises:
            BadCommand: It is no command.
            Refusal: And there were too many.
        """
        try:
            return decode()
        except BadCommand:
            await self.admit("command")
            raise


async def count_guess(request: HttpRequest) -> None:
    """Count a token that nobody has against the address, as a connection from there.

    Raises:
        Refusal: There were too many.
    """
    policy = policies().policy("connect.address")
    if policy is None or limiter().off:
        return
    verdict = await limiter().adecide([Charge(policy, f"{{{_address(request)}}}")])
    if verdict.refused is not None:
        raise Refusal(refusal_error(verdict.refused), decisions=verdict.decisions)


def decisions_of(request: HttpRequest) -> Sequence[Decision]:
    """Return what limits have decided for a request."""
    found: Sequence[Decision] = getattr(request, _ATTRIBUTE, ())
    return found


def tell_limits(response: HttpResponseBase, decisions: Sequence[Decision]) -> None:
    """Put policies, and what is left of them, into an answer."""
    # Those that were not asked for, as another refused already, have no time.
    told = [each for each in decisions if each.now_us]
    for name, value in limit_fields(told).items():
        response[name] = value


def _address(request: HttpRequest) -> str:
    scope = dict(scope_of(request))
    if "client" not in scope and request.META.get("REMOTE_ADDR"):  # by WSGI
        scope["client"] = request.META["REMOTE_ADDR"], 0
    return address_of(scope)
