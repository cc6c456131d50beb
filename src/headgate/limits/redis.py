"""The Redis store: one number for each key, shared by all processes.

Redis or Valkey. All charges of a decision go in one call of one script, on the
server's clock. What this process knows to be refused is not asked for; while the
server is away, each policy says itself what is decided.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from headgate.limits.away import Away
from headgate.limits.breaker import Breaker
from headgate.limits.decision import Decision
from headgate.limits.deny_cache import DenyCache
from headgate.limits.direct_questions import DirectQuestions
from headgate.limits.joined_questions import JoinedQuestions, is_callers_error
from headgate.limits.policy import Charge, Policy
from headgate.limits.store import Note, check_distinct, ignore

__all__ = ["RedisStore", "redis_key"]

logger = logging.getLogger("headgate.limits")

TIMEOUT_SECONDS = 0.1  # of one question; a healthy server takes less than 1 ms
PREFIX = "headgate:limit"


class RedisStore:
    """Limits of many processes, for all their threads and event loops.

    Args:
        url: Such as `redis://127.0.0.1:6379/0`, `rediss://…` or `unix://…`.
        processes: How many processes ask it. While it is away, a policy whose
            `store_away` is `local` gives each its share.
        timeout_seconds: How long an answer may take.
        prefix: Before the name of each key.
    """

    remote = True

    def __init__(
        self,
        url: str,
        *,
        processes: int = 1,
        timeout_seconds: float = TIMEOUT_SECONDS,
        prefix: str = PREFIX,
    ) -> None:
        self.note: Note = ignore
        self._prefix = prefix
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._options: dict[str, Any] = {
            "socket_timeout": timeout_seconds,
            "socket_connect_timeout": timeout_seconds,
        }
        # No retries of the library's own: they would multiply the time limit.
        self._client: redis.Redis = redis.Redis.from_url(
            url, retry=Retry(NoBackoff(), 0), **self._options
        )
        self._questions: dict[asyncio.AbstractEventLoop, JoinedQuestions] = {}
        self._making = threading.Lock()
        self._script = self._text()
        self._sha = hashlib.sha1(self._script.encode()).hexdigest()  # noqa: S324 - its name there
        self._direct = DirectQuestions(
            self._client.connection_pool, self._script, self._sha
        )
        self._denied = DenyCache()
        self.degraded: Counter[str] = Counter()
        self._away = Away(processes, self.degraded, self._noted)
        self._breaker = Breaker(self._changed)
        self._error = ""

    def _text(self) -> str:
        """Return the script."""
        return (files("headgate.limits") / "gcra.lua").read_text(encoding="utf-8")

    def _noted(self, refusal: Decision) -> None:
        self.note(refusal)  # what it is then: the limiter sets it later

    def _changed(self, away: bool) -> None:  # noqa: FBT001 - the breaker's call
        if away:
            logger.warning("limits_store_away error=%r", self._error)
        else:
            decided = self.degraded.total()
            logger.warning("limits_store_back degraded_decisions=%d", decided)

    # --- the store's functions: see `Store` ---

    def decide_one(self, policy: Policy, key: str, cost: int | None = None) -> Decision:
        """Decide one charge and count it if it is allowed."""
        return self.decide((Charge(policy, key, cost),))[0]

    def decide(
        self,
        charges: Sequence[Charge],
        *,
        write: bool = True,
        wait_us: int = 0,
    ) -> list[Decision]:
        """Decide charges of different policies or keys, all or none."""
        known = self._prepared(charges, write=write, wait_us=wait_us)
        if known is not None:
            return known
        operation = "take" if write else "peek"
        arguments = self._arguments(operation, charges, wait_us)
        found = self._ask(arguments) if self._breaker.may_ask() else None
        return self._decided(charges, found, write=write, wait_us=wait_us)

    async def adecide_one(
        self, policy: Policy, key: str, cost: int | None = None
    ) -> Decision:
        """`decide_one` from async code."""
        return (await self.adecide((Charge(policy, key, cost),)))[0]

    async def adecide(
        self,
        charges: Sequence[Charge],
        *,
        write: bool = True,
        wait_us: int = 0,
    ) -> list[Decision]:
        """`decide` from async code."""
        known = self._prepared(charges, write=write, wait_us=wait_us)
        if known is not None:
            return known
        operation = "take" if write else "peek"
        arguments = self._arguments(operation, charges, wait_us)
        found = await self._aask(arguments) if self._breaker.may_ask() else None
        return self._decided(charges, found, write=write, wait_us=wait_us)

    def counted(self, charges: Sequence[Charge]) -> bool:  # noqa: ARG002
        """Return False: nothing is certain before the server has answered."""
        return False

    def attempted(self, policy: Policy, key: str, cost: int | None) -> Decision | None:
        """Return a refusal that is certain without waiting, else None."""
        refusal = self._denied.get(policy, key, policy.increment_of(cost))
        if refusal is not None:
            self.note(refusal)
        return refusal

    def refund(self, charge: Charge) -> None:
        """Give back what was counted, for what was not done after all."""
        self._denied.forget(charge.policy.name, charge.key)
        if self._breaker.may_ask():
            self._ask(self._arguments("refund", (charge,), 0))

    async def arefund(self, charge: Charge) -> None:
        """`refund` from async code."""
        self._denied.forget(charge.policy.name, charge.key)
        if self._breaker.may_ask():
            await self._aask(self._arguments("refund", (charge,), 0))

    def reset(self, policies: Sequence[str], key: str) -> None:
        """Forget a key under policies of these names.

        Other processes go on refusing it for a second at the most.

        Raises:
            RedisError: The server is away.
        """
        for name in policies:
            self._denied.forget(name, key)
            self._client.delete(redis_key(self._prefix, name, key))

    async def areset(self, policies: Sequence[str], key: str) -> None:
        """`reset` from async code."""
        for name in policies:
            self._denied.forget(name, key)
            await self._joined().client.delete(redis_key(self._prefix, name, key))

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        with self._making:
            questions = self._questions.pop(asyncio.get_running_loop(), None)
        if questions is not None:
            await questions.aclose()

    def close(self) -> None:
        """Close the connections of sync code."""
        self._direct.close()
        self._client.close()

    # --- before and after the question ---

    def _prepared(
        self, charges: Sequence[Charge], *, write: bool, wait_us: int
    ) -> list[Decision] | None:
        """Return what is decided without asking, or None."""
        check_distinct(charges)
        if not write or wait_us:
            return None
        refusals = [
            self._denied.get(policy, key, policy.increment_of(cost))
            for policy, key, cost in charges
        ]
        if not any(refusals):
            return None
        for each in refusals:
            if each is not None:
                self.note(each)
        # Of the others it is only known that they have not been refused just now.
        return [
            each or Decision(policy, key, True, policy.increment_of(cost), 0, 0)
            for each, (policy, key, cost) in zip(refusals, charges, strict=True)
        ]

    def _arguments(
        self, operation: str, charges: Sequence[Charge], wait_us: int
    ) -> list[str | int]:
        """Return what EVALSHA takes after the script's name."""
        keys = [redis_key(self._prefix, each.policy.name, each.key) for each in charges]
        arguments: list[str | int] = [len(keys), *keys, operation]
        for policy, _, cost in charges:
            arguments += (
                policy.tolerance_us,
                policy.ceiling_us,
                policy.increment_of(cost),
                wait_us,
                int(policy.dry_run),
            )
        return arguments

    def _decided(
        self,
        charges: Sequence[Charge],
        found: list[int] | None,
        *,
        write: bool,
        wait_us: int,
    ) -> list[Decision]:
        """Return the decisions of an answer, the same that the script came to."""
        if found is None:
            return self._away.decide(
                charges,
                write=write,
                wait_us=wait_us,
                retry_seconds=self._breaker.opens_for_seconds,
            )
        now = found[0]
        looked = [
            Decision(policy, key, True, policy.increment_of(cost), now, tat)
            for (policy, key, cost), tat in zip(charges, found[1:], strict=True)
        ]
        fits = [each.fits_within(wait_us) for each in looked]
        counted = write and (
            all(fits)
            or all(
                is_fit or each.policy.dry_run
                for is_fit, each in zip(fits, looked, strict=True)
            )
        )
        decisions = []
        for is_fit, each in zip(fits, looked, strict=True):
            policy, key, tat = each.policy, each.key, each.tat_us
            increment = each.increment_us
            if is_fit:
                after = tat + increment if counted else tat
                decision = Decision(policy, key, True, increment, now, after)
            else:
                decision = Decision(policy, key, policy.dry_run, increment, now, tat)
                if write:
                    self._refused(decision, wait_us)
            decisions.append(decision)
        return decisions

    def _refused(self, refusal: Decision, wait_us: int) -> None:
        self.note(refusal)
        if not wait_us and not refusal.policy.dry_run:
            self._denied.put(refusal)

    # --- the question ---

    def _ask(self, arguments: list[str | int]) -> list[int] | None:
        """Run the script; return None where the server does not answer."""
        try:
            found = self._direct.ask(arguments)
        except (RedisError, OSError) as exc:
            if is_callers_error(exc):
                raise _other_slots() from exc
            self._failed(exc)
            return None
        self._breaker.worked()
        return found

    async def _aask(self, arguments: list[str | int]) -> list[int] | None:
        try:
            return await self._joined().ask(arguments)
        except RedisError as exc:
            raise _other_slots() from exc

    def _joined(self) -> JoinedQuestions:
        """Return what asks for the running loop."""
        loop = asyncio.get_running_loop()
        found = self._questions.get(loop)
        if found is None:
            client = redis.asyncio.Redis.from_url(
                self._url, retry=AsyncRetry(NoBackoff(), 0), **self._options
            )
            found = JoinedQuestions(
                client,
                self._script,
                self._sha,
                timeout_seconds=self._timeout_seconds,
                worked=self._breaker.worked,
                failed=self._failed,
            )
            with self._making:
                # Loops that ended without `aclose`, such as those of async_to_sync.
                for each in [each for each in self._questions if each.is_closed()]:
                    del self._questions[each]
                self._questions[loop] = found
        return found

    def _failed(self, exc: Exception) -> None:
        self._error = str(exc) or type(exc).__name__
        self._breaker.failed()


def redis_key(prefix: str, policy: str, key: str) -> str:
    """Return where a key's number is kept.

    What stands in braces decides the slot on Redis Cluster: the caller's own braces,
    or the whole key. `u:5` and `{u:5}` are two keys, in one slot.
    """
    tagged = f":{key}" if "{" in key else f"{{{key}}}"
    return f"{prefix}:{policy}:{tagged}"


def _other_slots() -> ValueError:
    return ValueError(
        "The keys of one decision are in different slots of the Redis Cluster. Give "
        "them the same part in braces, such as {u:5} and {u:5}:general.",
    )
