"""How fast a room's events go out to one connection: the policy `push`.

The slower of two rules: what the room allows, and what the client wished for. It is
no matter of the limiter, which counts what people do: what is too fast here waits, and
is left out at last, in `live.pace`.
"""

from __future__ import annotations

from headgate.chat.overrides import overrides
from headgate.chat.permissions import Rights
from headgate.chat.policies import policies
from headgate.contrib.shared import limiter
from headgate.limits.rates import Rate
from headgate.live.connection import Watch
from headgate.live.node import Node
from headgate.live.pace import slower

__all__ = ["allowed_pace", "follow_pace", "wished_pace"]


def wished_pace(text: str | None) -> Rate | None:
    """Return what a client wishes for in `pace`, as the codec has checked it."""
    return None if text is None else Rate.parse(text)


def allowed_pace(person: str, rights: Rights) -> Rate | None:
    """Return what somebody may have of a room; None: all that there is."""
    if limiter().off:
        return None
    policy = policies().policy("push", overrides().of(person), rights.limits.limits)
    return None if policy is None or policy.dry_run else policy.rate


def follow_pace(node: Node, watch: Watch) -> None:
    """Put in force what a watch may have now, and wished for."""
    if isinstance(watch.rights, Rights):
        allowed = allowed_pace(watch.connection.owner.key, watch.rights)
        node.pace(watch, slower(allowed, watch.wished))
