"""The chat's limits as they are in force, for whoever looks. Needs Django set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headgate.limits.policy import Policy

__all__ = ["WORST_CASE", "InForce", "in_force", "policy_of"]

# Why the column beside the rate is more than the rate.
WORST_CASE = (
    "The most in one period is more than the rate: who rested has the whole burst, "
    "and while they spend it the rate goes on giving back."
)


@dataclass(frozen=True, slots=True)
class InForce:
    """What `headgate limits` shows: a dict for each policy, and the caps."""

    policies: list[dict[str, Any]]
    caps: dict[str, int | None]


def in_force() -> InForce | None:
    """Return the chat's limits, or None where its app is not installed."""
    from django.apps import apps

    if not apps.is_installed("headgate.chat"):
        return None
    from headgate.chat.policies import STANDARD, policies

    found = policies()
    rows = [_row(name, each, found.policy(name)) for name, each in STANDARD.items()]
    return InForce(rows, dict(found.open_caps))


def _row(name: str, standard: Any, policy: Policy | None) -> dict[str, Any]:
    row = {
        "name": name,
        "what": standard.what,
        "rate": None,
        "burst": None,
        "key": standard.key,
        "past": standard.past,
        "dry_run": False,
        "period_seconds": None,
        "worst_case": None,
    }
    if policy is not None:
        period_seconds = policy.rate.period_seconds
        row |= {
            "rate": str(policy.rate),
            "burst": policy.burst,
            "dry_run": policy.dry_run,
            "period_seconds": period_seconds,
            "worst_case": policy.worst_case(period_seconds),
        }
    return row


def policy_of(name: str, owner: str, place: str) -> Policy | None:
    """Return the policy that a key of the chat is held to, or None for another's.

    A person's own rate rules before the room's. Asks the database.
    """
    from django.apps import apps

    if not apps.is_installed("headgate.chat"):
        return None
    from headgate.chat.models import LimitOverride, Room
    from headgate.chat.policies import STANDARD, policies
    from headgate.chat.room_limits import RoomLimits

    if name not in STANDARD:
        return None
    found = policies()
    rows = LimitOverride.objects.filter(author_key=owner)
    own = dict(rows.values_list("policy", "rate"))
    rooms = Room.objects.filter(slug=place.removeprefix("/"))
    room = RoomLimits.of(rooms.values_list("settings", flat=True).first())
    if name == "slow_mode" and name not in own:
        return found.slow_mode(room.slow_mode_seconds)
    return found.policy(name, own, room.limits)
