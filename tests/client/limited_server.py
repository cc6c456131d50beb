"""The server's own limiter, with a clock of ours: what predictions are held to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from headgate.limits.limiter import Limiter
from headgate.limits.memory import MemoryStore
from headgate.limits.policy import Charge, Policy
from headgate.protocol import codec, commands, pushes
from headgate.protocol.codes import Code

BY_ROOM = {"send", "slow_mode", "typing"}
COUNTED: dict[type[commands.Command], tuple[str, ...]] = {
    commands.Send: ("command", "send", "send.all", "slow_mode"),
    commands.Edit: ("command", "send", "send.all"),
    commands.History: ("command", "history"),
    commands.Ping: (),
    commands.Leave: (),
}


class LimitedServer:
    """Counts commands as the chat does, all policies at once, and tells what is left.

    `policies` are those of any room; `of_rooms` are a room's own. `now` is in seconds
    and moved by the test.
    """

    def __init__(
        self,
        policies: Iterable[Policy],
        of_rooms: Iterable[tuple[str, Policy]] = (),
    ) -> None:
        self.now = 1000.0
        self.refusals: Counter[str] = Counter()
        self._limiter = Limiter(MemoryStore(clock=lambda: round(self.now * 1e9)))
        self._policies = {policy.name: policy for policy in policies}
        self._of_rooms = {(room, policy.name): policy for room, policy in of_rooms}

    def refusal(self, command: commands.Command) -> pushes.Error | None:
        """Count a command; return why it is refused, or None."""
        room = getattr(command, "room", "")
        names = COUNTED.get(type(command), ("command",))
        charges = [
            Charge(policy, self._key(name, room))
            for name in names
            if (policy := self._policy(name, room)) is not None
        ]
        refused = self._limiter.decide(charges).refused if charges else None
        if refused is None:
            return None
        self.refusals[refused.policy.name] += 1
        return codec.error(
            Code.RATE_LIMITED,
            policy=refused.policy.name,
            retry_after_ms=refused.retry_after_ms,
            remaining=refused.remaining,
            client_id=getattr(command, "client_id", None),
        )

    def told(self, rooms: Iterable[str] = ()) -> list[pushes.Limit]:
        """Return the limits as a welcome tells them."""
        general = [
            self._told(policy, "", left=name not in BY_ROOM)
            for name, policy in self._policies.items()
        ]
        narrow = [
            self._told(policy, room, left=True)
            for room in rooms
            for name in sorted(BY_ROOM)
            if (policy := self._policy(name, room)) is not None
        ]
        return [*general, *narrow]

    def _policy(self, name: str, room: str) -> Policy | None:
        return self._of_rooms.get((room, name)) or self._policies.get(name)

    def _key(self, name: str, room: str) -> str:
        return f"{{u:1}}/{room}" if name in BY_ROOM else "{u:1}"

    def _told(self, policy: Policy, room: str, *, left: bool) -> pushes.Limit:
        charge = Charge(policy, self._key(policy.name, room))
        (decision,) = self._limiter.peek([charge]).decisions
        return pushes.Limit(
            policy=policy.name,
            key=policy.key,
            burst=policy.burst,
            per_second=round(policy.per_second, 6),
            remaining=decision.remaining if left else None,
            retry_after_ms=(decision.retry_after_ms or None) if left else None,
            room=room or None,
        )
