"""The gate of a person: which policies an operation is charged to, and what is left.

The same for every door, so that a command over a WebSocket and the request that does
the same are counted in one place. Whoever has an account is counted by it, everybody
else by their address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from itertools import count
from types import MappingProxyType
from typing import Final

from headgate.chat.overrides import overrides
from headgate.chat.people import Actor
from headgate.chat.permissions import Rights
from headgate.chat.policies import PolicySet, policies
from headgate.chat.token_people import is_known_by_token
from headgate.contrib.shared import limiter
from headgate.limits.decision import Decision
from headgate.limits.limiter import Limiter
from headgate.limits.policy import Charge, Policy
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.pushes import Error

__all__ = ["MUST_WAIT", "Gate", "Later", "own_limiter", "person_key", "refusal_error"]

NEVER_MS = 60_000  # told where waiting would not help: no operation is so by default
_NOTHING: Mapping[str, str] = MappingProxyType({})

# What is counted for a connection, in its own process, and not for a person.
_OF_CONNECTION = frozenset({"command", "append"})
# What each operation is charged to, beside `command`.
_POLICIES: dict[str, tuple[str, ...]] = {
    "send": ("send", "send.all", "slow_mode"),
    "edit": ("send", "send.all"),
    "append": ("append",),
    "typing": ("typing",),
    "history": ("history",),
    "connect": ("connect",),
    "command": (),
}
_BY_ROOM = frozenset({"send", "slow_mode", "typing"})

# What applies everywhere and is told to whoever comes in.
_TOLD = ("command", "append", "send", "send.all", "typing", "history")

RoomCharge = tuple[Rights, Charge]


class Later(Enum):
    """What is said instead of a decision that another process makes."""

    MUST_WAIT = "must wait"


MUST_WAIT: Final = Later.MUST_WAIT

_numbers = count(1)
# The limiter of what belongs to one process, and the shared one that it goes with.
_own: tuple[Limiter, Limiter] | None = None


def own_limiter() -> Limiter:
    """Return what counts commands of connections, and signals.

    Both live in one process, so they are counted there even where the others are
    counted in Redis.
    """
    global _own  # noqa: PLW0603 - for as long as the shared one is the same
    shared = limiter()
    if not shared.remote:
        return shared
    if _own is None or _own[0] is not shared:
        _own = shared, Limiter(refusals=shared.refusals)
    return _own[1]


def person_key(actor: Actor, address: str) -> str:
    """Return what somebody is counted as: account or bot, or without one the address.

    In braces, so that all that is theirs is in one slot of a Redis Cluster.
    """
    by_key = actor.user is not None or is_known_by_token(actor.key)
    return f"{{{actor.key}}}" if by_key else f"{{{address}}}"


def refusal_error(refusal: Decision, client_id: str | None = None) -> Error:
    """Return a refusal as an error of the wire."""
    return error(
        Code.RATE_LIMITED,
        policy=refusal.policy.name,
        retry_after_ms=refusal.retry_after_ms or NEVER_MS,
        remaining=refusal.remaining,
        client_id=client_id,
    )


class Gate:
    """What somebody may do how often, on one connection or by requests.

    Args:
        actor: Who it is.
        address: Where they come from, as `address_key` returns it.
        connected: Whether commands are those of a connection, or else of requests.

    Attributes:
        account: The key of who it is, by which they may have limits of their own.
    """

    __slots__ = ("_commands", "_connected", "_made", "_met", "_person", "account")

    def __init__(self, actor: Actor, address: str, *, connected: bool) -> None:
        self.account = actor.key
        self._person = person_key(actor, address)
        number = next(_numbers) if connected else 0
        self._commands = f"{self._person}#{number}" if connected else self._person
        self._connected = connected
        # What was refused last, and the limit that it met.
        self._met: tuple[list[Charge], list[Charge]] | None = None
        # By operation and room: for what they were made, and the charges.
        self._made: dict[
            tuple[str, str], tuple[Rights | None, PolicySet, int, list[Charge]]
        ] = {}

    def charges(
        self,
        operation: str,
        rights: Rights | None = None,
        *,
        command: bool = True,
    ) -> list[Charge]:
        """Return what an operation is charged to, as the limits are now.

        Args:
            operation: `send`, `edit`, `append`, which is no command, `typing`,
                `history`, `connect` for a ticket, or `command` for others.
            rights: In the room that it is about.
            command: Whether the command itself is charged, too.
        """
        in_force, known = policies(), overrides()
        place = (
            operation if command else f"{operation}!",
            rights.slug if rights else "",
        )
        made = self._made.get(place)
        if (
            made is not None
            and made[0] is rights
            and made[1] is in_force
            and made[2] == known.version
        ):
            return made[3]
        found = list(self._charges(operation, rights, in_force, command=command))
        if len(self._made) > 2 * _MOST_PLACES:
            self._made.clear()
        self._made[place] = rights, in_force, known.version, found
        return found

    def told(self, rooms: Iterable[Rights]) -> tuple[list[Charge], list[RoomCharge]]:
        """Return what somebody is to be told of, and of rooms what is not that.

        It is asked once and not kept, unlike what they do.
        """
        in_force, own = policies(), overrides().of(self.account)
        general = []
        for name in _TOLD:
            if name == "append" and not self._connected:
                continue  # nothing grows by requests
            policy = in_force.policy(name, own)
            if policy is not None:
                key = self._key(name, None)
                general.append(Charge(policy, key))
        narrow: list[RoomCharge] = []
        for rights in rooms:
            charges = self._charges("send", rights, in_force, command=False)
            narrow += [(rights, each) for each in charges if each not in general]
        return general, narrow

    def _charges(
        self,
        operation: str,
        rights: Rights | None,
        in_force: PolicySet,
        *,
        command: bool,
    ) -> Iterable[Charge]:
        own = overrides().of(self.account)
        if command and operation != "append":
            policy = in_force.policy("command", own)
            if policy is not None:
                yield Charge(policy, self._commands)
        for name in _POLICIES[operation]:
            found = self._policy(name, rights, in_force, own)
            if found is not None:
                yield Charge(found, self._key(name, rights))

    def _policy(
        self,
        name: str,
        rights: Rights | None,
        in_force: PolicySet,
        own: Mapping[str, str],
    ) -> Policy | None:
        if name == "slow_mode":
            if rights is None or rights.moderates:
                return None
            if name in own:
                return in_force.policy(name, own)
            return in_force.slow_mode(rights.limits.slow_mode_seconds)
        return in_force.policy(name, own, rights.limits.limits if rights else _NOTHING)

    def _key(self, name: str, rights: Rights | None) -> str:
        if name in _OF_CONNECTION:
            return self._commands
        if name == "connect":
            # Not in one bucket with the connections that they are for.
            return f"{self._person}/{self.account}/ticket"
        if name in _BY_ROOM and rights is not None:
            return f"{self._person}/{rights.slug}"
        return self._person

    # --- deciding ---

    def decide_now(self, charges: list[Charge]) -> Decision | Later | None:
        """Count charges, if no other process has to be asked for that.

        Returns a refusal, None, or `MUST_WAIT`: then nothing is counted yet.
        """
        if limiter().remote and any(
            not (self._connected and _is_command(each)) for each in charges
        ):
            return self._certain(charges) or MUST_WAIT
        return self.decide(charges)

    def _certain(self, charges: list[Charge]) -> Decision | None:
        """Return a refusal that is certain without waiting, else None."""
        attempted = limiter().store.attempted
        found = [attempted(policy, key, cost) for policy, key, cost in charges]
        refusals = [each for each in found if each is not None]
        return _longest_first(refusals)[0] if refusals else None

    def decide(self, charges: list[Charge]) -> Decision | None:
        """Count charges that need no waiting; return a refusal, or None."""
        deciding = own_limiter()
        if not charges or deciding.off:
            return None
        if len(charges) == 1:
            decision = deciding.decide_one(*charges[0])
            return None if decision.allowed else decision
        if self._met is not None and self._met[0] is charges:
            # Whoever goes on after a refusal meets the same limit: while it refuses,
            # the others need not be asked.
            (decision,) = deciding.store.decide(self._met[1], write=False)
            if not decision.allowed:
                deciding.refusals.note(decision)
                return decision
        self._met = None
        if deciding.store.counted(charges):
            return None
        refusal = deciding.decide(charges).refused
        if refusal is not None:
            met = [each for each in charges if each.policy is refusal.policy]
            self._met = charges, met
        return refusal

    async def decide_soon(self, charges: list[Charge]) -> Decision | None:
        """Count charges; return a refusal, or None."""
        verdict = await self.verdict(charges)
        return next((each for each in verdict if not each.allowed), None)

    async def verdict(self, charges: list[Charge]) -> list[Decision]:
        """Count charges, all or none, and return what was decided.

        A refusal with a longer wait stands before others.
        """
        shared = limiter()
        if not charges or shared.off:
            return []
        if not shared.remote:
            return _longest_first(shared.decide(charges).decisions)
        own = [each for each in charges if self._connected and _is_command(each)]
        others = [each for each in charges if each not in own]
        decided = own_limiter().decide(own)
        if not decided.allowed or not others:
            return decided.decisions
        allowed = False
        try:
            found = await shared.adecide(others)
            allowed = found.allowed
        finally:
            if not allowed:
                for each in own:
                    own_limiter().refund(*each)
        return [*_longest_first(found.decisions), *decided.decisions]

    async def refund(self, charges: list[Charge]) -> None:
        """Give back what was counted, for what was refused after all."""
        for each in charges:
            if self._connected and _is_command(each):
                own_limiter().refund(*each)
            else:
                await limiter().arefund(*each)

    async def peek(self, charges: list[Charge]) -> list[Decision]:
        """Return what is left of each, without counting anything."""
        own = [each for each in charges if self._connected and _is_command(each)]
        others = [each for each in charges if each not in own]
        if not limiter().remote:
            return limiter().peek(charges).decisions if charges else []
        looked = await limiter().apeek(others) if others else None
        found = own_limiter().peek(own).decisions if own else []
        return [*found, *(looked.decisions if looked else ())]


_MOST_PLACES = 512  # of a gate that are remembered; a connection has 100 rooms


def _is_command(charge: Charge) -> bool:
    return charge.policy.name in _OF_CONNECTION


def _longest_first(decisions: list[Decision]) -> list[Decision]:
    def wait_us(each: Decision) -> float:
        found = each.retry_after_us
        return float("inf") if found is None else found

    return sorted(decisions, key=wait_us, reverse=True)
