"""Telling somebody their limits: in the welcome, in a descriptor, at `GET limits`.

A client that knows them never meets the wall.
"""

from __future__ import annotations

from collections.abc import Iterable

from headgate.chat.gate import Gate
from headgate.chat.permissions import Rights
from headgate.chat.policies import STANDARD
from headgate.chat.push_pace import allowed_pace
from headgate.contrib.shared import limiter
from headgate.limits.decision import Decision
from headgate.limits.policy import Charge
from headgate.limits.rates import Rate
from headgate.protocol.pushes import Limit

__all__ = ["limits_told", "slow_mode_ms"]


def slow_mode_ms(rights: Rights) -> int | None:
    """Return a room's slow mode as the wire tells it; None where there is none."""
    return round(rights.limits.slow_mode_seconds * 1000) or None


async def limits_told(gate: Gate, rooms: Iterable[Rights] = ()) -> list[Limit]:
    """Return the policies that apply to somebody, with what is left of each.

    Policies that count by room are told once for all rooms, without what is left; and
    for each of `rooms` where they are other than everywhere or something was used. How
    fast a room's events come is told where that is limited.
    """
    if limiter().off:
        return []
    rooms = list(rooms)
    general, narrow = gate.told(rooms)
    looked = await gate.peek(_distinct([*general, *(each for _, each in narrow)]))
    left = {(each.policy.name, each.key): each for each in looked}
    found = []
    for charge in general:
        by_room = charge.policy.key == "user and room"
        decision = left[charge.policy.name, charge.key]
        found.append(_told(decision, left=not by_room))
    usual = {each.policy.name: each.policy for each in general}
    for rights, charge in narrow:
        decision = left[charge.policy.name, charge.key]
        used = decision.remaining < decision.policy.burst
        if used or usual.get(charge.policy.name) != charge.policy:
            found.append(_told(decision, room=rights.slug))
    paces = [(rights.slug, allowed_pace(gate.account, rights)) for rights in rooms]
    found += [_pace_told(rate, slug) for slug, rate in paces if rate is not None]
    return found


def _pace_told(rate: Rate, room: str) -> Limit:
    return Limit(
        policy="push",
        key=STANDARD["push"].key,
        burst=rate.burst,
        per_second=round(rate.count / rate.period_seconds, 6),
        room=room,
    )


def _told(decision: Decision, *, left: bool = True, room: str | None = None) -> Limit:
    policy = decision.policy
    return Limit(
        policy=policy.name,
        key=policy.key,
        burst=policy.burst,
        per_second=round(policy.per_second, 6),
        remaining=decision.remaining if left else None,
        retry_after_ms=(decision.retry_after_ms or None) if left else None,
        room=room,
    )


def _distinct(charges: Iterable[Charge]) -> list[Charge]:
    return list({(each.policy.name, each.key): each for each in charges}.values())
