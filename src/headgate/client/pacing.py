"""When the next command may go, so that a client that behaves never meets a limit.

The server says its limits in the welcome, in its refusals, in pushes and in answers
over HTTP; in between, this predicts. Other connections of the same person draw on the
same limits, so a prediction may be wrong: the server's word overwrites it. Pure: the
clock's time is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.client.bucket import Bucket, Rate
from headgate.client.errors import wait_seconds
from headgate.protocol.codes import Code
from headgate.protocol.commands import (
    Append,
    Command,
    Edit,
    History,
    Leave,
    Ping,
    Send,
    Typing,
)

if TYPE_CHECKING:
    from headgate.client.http_limits import Told
    from headgate.protocol.pushes import Error, Welcome

__all__ = ["Allowance", "Limit", "Pacing", "Turn", "Wait"]

# What each command is counted by; those that are not here are commands and no more.
_COUNTED: dict[type[Command], tuple[str, ...]] = {
    Send: ("send", "slow_mode", "send.all", "command"),
    Append: ("append",),
    Edit: ("send", "send.all", "command"),
    History: ("history", "command"),
    Typing: ("typing", "command"),
    Ping: (),
    Leave: (),
}
_OTHERS = ("command",)
_BY_ROOM = frozenset({"send", "slow_mode", "typing"})
_KNOWN = frozenset(name for names in _COUNTED.values() for name in names)
# Over HTTP `command` counts requests, which is another number than ours, and nothing
# grows.
_TOLD_BY_HTTP = _KNOWN - {"command", "append"}

MAX_BUCKETS = 1000  # more than that, and those that are full are forgotten


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, and what is left of it as far as the client can tell.

    Without a `room` it counts all rooms together, or is what a room has where nothing
    was said yet. `retry_after_seconds` is None while there is one left.
    """

    policy: str
    room: str | None
    burst: int
    per_second: float
    remaining: int
    retry_after_seconds: float | None


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether one may send to a room now, all of its limits taken together.

    What waits in the outbox is counted in. `remaining` is how many can go at once,
    None where nothing is limited; `wait_seconds` is 0 while one can, and `policy` is
    the limit that makes it wait, if one does.
    """

    remaining: int | None
    wait_seconds: float
    policy: str | None


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a command has to wait, and by which policy; 0 if it may go."""

    seconds: float
    policy: str | None


class Turn:
    """A command that has gone out, until it is known how it was counted."""

    __slots__ = ("_buckets", "_command", "_pacing")

    def __init__(
        self, pacing: Pacing, command: Command, buckets: tuple[Bucket, ...]
    ) -> None:
        self._pacing = pacing
        self._command = command
        self._buckets = buckets
        for bucket in buckets:
            bucket.begin()

    def counted(self, now: float) -> None:
        """Note that it was carried out, or may have been; a second time is nothing."""
        buckets, self._buckets = self._buckets, ()
        for bucket in buckets:
            bucket.counted(now)
        self._pacing.end(self)

    def refused(self, error: Error, now: float) -> None:
        """Note a refusal; what came too fast was counted nowhere."""
        if error.code != Code.RATE_LIMITED:
            self.counted(now)
            return
        buckets, self._buckets = self._buckets, ()
        for bucket in buckets:
            bucket.not_counted()
        self._pacing.end(self)
        self._pacing.refused(self._command, error, now)


class Pacing:
    """Predicts the limits of one client, over all of its connections."""

    def __init__(self) -> None:
        # By policy and room; of policies that count by room, None is for any room.
        self._rates: dict[tuple[str, str | None], Rate] = {}
        self._buckets: dict[tuple[str, str | None], Bucket] = {}
        self._open: set[Turn] = set()

    # --- asking ---

    def wait(self, command: Command, now: float) -> Wait:
        """Return how long a command has to wait."""
        found = Wait(0.0, None)
        for policy, bucket in self._of(command, now):
            seconds = bucket.wait_seconds(now)
            if seconds > found.seconds:
                found = Wait(seconds, policy)
        return found

    def begin(self, command: Command, now: float) -> Turn:
        """Count a command that goes out now."""
        turn = Turn(
            self, command, tuple(bucket for _, bucket in self._of(command, now))
        )
        self._open.add(turn)
        return turn

    def allowance(
        self, room: str, now: float, *, ahead: int, ahead_in_all: int
    ) -> Allowance:
        """Return what a room's limits let through.

        Args:
            room: Where a message would be sent.
            now: On the clock of everything here.
            ahead: How many messages wait to go there.
            ahead_in_all: How many wait in all rooms, that one included.
        """
        remaining, wait, by = None, 0.0, None
        for policy, bucket in self._of(Send(room=room, text=""), now):
            before = ahead if policy in _BY_ROOM else ahead_in_all
            left = bucket.remaining(now, before)
            remaining = left if remaining is None else min(remaining, left)
            seconds = bucket.wait_seconds(now, before)
            if seconds > wait:
                wait, by = seconds, policy
        return Allowance(remaining, wait, by)

    def limits(self, now: float) -> list[Limit]:
        """Return all that is known of limits."""
        found = {key: Bucket(rate) for key, rate in self._rates.items()} | self._buckets
        return [
            Limit(
                policy=policy,
                room=room,
                burst=bucket.rate.burst,
                per_second=bucket.rate.per_second,
                remaining=bucket.remaining(now),
                retry_after_seconds=bucket.wait_seconds(now) or None,
            )
            for (policy, room), bucket in found.items()
        ]

    # --- what the server says ---

    def welcomed(self, welcome: Welcome, now: float) -> None:
        """Take the limits of a welcome in place of all that was known of them.

        Of rooms that the welcome is not about, what was used is still remembered.
        """
        told = [each for each in welcome.limits if each.policy in _KNOWN]
        self._rates = {
            (each.policy, each.room): Rate.announced(each.burst, each.per_second)
            for each in told
        }
        for room, info in welcome.rooms.items():
            if ("slow_mode", room) in self._rates and info.slow_mode_ms:
                exactly = Rate.every(info.slow_mode_ms / 1000)
                self._rates["slow_mode", room] = exactly
        self._buckets = {
            (policy, room): bucket
            for (policy, room), bucket in self._buckets.items()
            if room is not None and room not in welcome.rooms
        }
        for each in told:
            bucket = self._bucket(each.policy, each.room, now)
            if bucket is not None and each.remaining is not None:
                retry_after = each.retry_after_ms
                after = None if retry_after is None else retry_after / 1000
                bucket.learn(now, each.remaining, after)

    def refused(self, command: Command, error: Error, now: float) -> None:
        """Take in which limit refused a command, and for how long it does."""
        after = wait_seconds(error)
        if error.policy is None or after is None:
            return
        bucket = self._bucket(error.policy, getattr(command, "room", None), now)
        if bucket is not None:
            bucket.learn(now, 0, after)

    def slow_mode(
        self, room: str, slow_mode_ms: int, *, exempt: bool, now: float
    ) -> None:
        """Take in a room's slow mode; 0 and being exempt are the end of it."""
        key = ("slow_mode", room)
        if slow_mode_ms > 0 and not exempt:
            self._rates[key] = Rate.every(slow_mode_ms / 1000)
            self._bucket(*key, now)
        else:
            self._rates.pop(key, None)
            self._buckets.pop(key, None)

    def told(self, limits: Iterable[Told], room: str | None, now: float) -> None:
        """Take in what an answer over HTTP says of limits, of those in its room."""
        for each in limits:
            by_room = each.policy in _BY_ROOM
            if each.policy not in _TOLD_BY_HTTP or (by_room and room is None):
                continue
            place = room if by_room else None
            self._rates[each.policy, place] = each.rate
            bucket = self._bucket(each.policy, place, now)
            if bucket is not None:
                bucket.learn(now, each.remaining, each.next_in_seconds)

    def disconnected(self, now: float) -> None:
        """Note that no reply will come: what went out may have been counted."""
        for turn in list(self._open):
            turn.counted(now)

    def end(self, turn: Turn) -> None:
        """Forget a turn of which all is known."""
        self._open.discard(turn)

    # --- inside ---

    def _of(self, command: Command, now: float) -> Iterable[tuple[str, Bucket]]:
        room = getattr(command, "room", None)
        for policy in _COUNTED.get(type(command), _OTHERS):
            bucket = self._bucket(policy, room, now)
            if bucket is not None:
                yield policy, bucket

    def _bucket(self, policy: str, room: str | None, now: float) -> Bucket | None:
        """Return the bucket of a policy in a room; None where it limits nothing."""
        key = (policy, room if policy in _BY_ROOM else None)
        rate = self._rates.get(key) or self._rates.get((policy, None))
        if rate is None:
            return None
        if key[1] is None and policy in _BY_ROOM:
            return None  # it is for any room, and of none
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= MAX_BUCKETS:
                self._forget_full(now)
            bucket = self._buckets[key] = Bucket(rate)
        bucket.change(rate, now)
        return bucket

    def _forget_full(self, now: float) -> None:
        kept = {k: b for k, b in self._buckets.items() if not b.is_full(now)}
        self._buckets = kept
