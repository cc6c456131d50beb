"""What every store promises; `test_contract.py` holds each of them to it.

Asked by `Asked`, so that sync and async functions are one suite. Only what holds
without a clock of the test's own: the rest is in `test_promises.py` and beside it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from typing import Any

import pytest

from headgate.limits import Charge, Decision, Limiter, Policy, Store, Verdict

__all__ = ["Asked", "CountingContract", "StoreContract"]

DAY = Policy("day", "3/day")
HOUR = Policy("hour", "10/h")


class Asked:
    """A limiter whose functions are called in the sync or in the async way."""

    def __init__(self, store: Store, *, is_async: bool) -> None:
        self.limiter = Limiter(store)
        self.store = store
        self.is_async = is_async

    async def call(self, on: Any, name: str, *arguments: Any, **more: Any) -> Any:
        if self.is_async:
            return await getattr(on, f"a{name}")(*arguments, **more)
        return await asyncio.to_thread(getattr(on, name), *arguments, **more)

    async def one(
        self, policy: Policy, key: str = "k", cost: int | None = None
    ) -> Decision:
        found: Decision = await self.call(self.limiter, "decide_one", policy, key, cost)
        return found

    async def all(self, charges: Sequence[Charge]) -> Verdict:
        found: Verdict = await self.call(self.limiter, "decide", charges)
        return found

    async def look(self, charges: Sequence[Charge]) -> Verdict:
        found: Verdict = await self.call(self.limiter, "peek", charges)
        return found

    async def reserve(self, *arguments: Any, **more: Any) -> Decision:
        found: Decision = await self.call(self.limiter, "reserve", *arguments, **more)
        return found

    async def refund(self, *arguments: Any) -> None:
        await self.call(self.limiter, "refund", *arguments)

    async def reset(self, policies: Sequence[str], key: str) -> None:
        await self.call(self.store, "reset", policies, key)


class StoreContract:
    """What also the store of those without limits promises."""

    async def test_a_fresh_key_is_allowed(self, asked: Asked) -> None:
        decision = await asked.one(DAY)

        assert decision.allowed
        assert decision.retry_after_us == 0
        assert decision.degraded is None
        assert (decision.policy, decision.key) == (DAY, "k")

    async def test_a_verdict_has_a_decision_for_each_charge(self, asked: Asked) -> None:
        charges = [Charge(HOUR, "k"), Charge(DAY, "k"), Charge(DAY, "other", 2)]
        verdict = await asked.all(charges)

        assert verdict.allowed
        assert verdict.refused is None
        assert [(each.policy, each.key) for each in verdict.decisions] == [
            (policy, key) for policy, key, _ in charges
        ]

    async def test_the_same_place_twice_is_refused(self, asked: Asked) -> None:
        with pytest.raises(ValueError, match="add their costs"):
            await asked.all([Charge(DAY, "k"), Charge(DAY, "k")])

    async def test_no_charges_are_allowed(self, asked: Asked) -> None:
        assert (await asked.all([])).allowed

    async def test_a_refund_and_a_reset_need_nothing_before(self, asked: Asked) -> None:
        await asked.refund(DAY, "k")
        await asked.reset(["day", "hour"], "k")
        assert (await asked.one(DAY)).allowed

    async def test_nothing_is_certain_of_who_is_allowed(self, asked: Asked) -> None:
        await asked.one(DAY)
        assert asked.store.attempted(DAY, "k", None) is None

    async def test_no_charges_are_certain(self, asked: Asked) -> None:
        assert asked.store.counted([]) is not asked.store.remote

    async def test_each_function_has_its_twin(self, asked: Asked) -> None:
        for name in ("decide_one", "decide", "refund", "reset"):
            twins = getattr(asked.store, name), getattr(asked.store, f"a{name}")
            one, other = (inspect.signature(each).parameters for each in twins)
            assert list(one) == list(other)


class CountingContract(StoreContract):
    """What every store promises that counts."""

    async def test_the_burst_is_let_in_and_no_more(self, asked: Asked) -> None:
        found = [await asked.one(DAY) for _ in range(5)]

        assert [each.allowed for each in found] == [*[True] * 3, *[False] * 2]
        assert [each.remaining for each in found] == [2, 1, 0, 0, 0]
        assert 28_700 < (found[-1].retry_after_seconds or 0) <= 28_800
        assert found[0].policy is DAY

    async def test_a_cost_counts_as_so_many(self, asked: Asked) -> None:
        assert (await asked.one(DAY, cost=2)).remaining == 1
        assert not (await asked.one(DAY, cost=2)).allowed
        assert (await asked.one(DAY, cost=1)).allowed

    async def test_the_policys_own_cost_counts_where_none_is_given(
        self, asked: Asked
    ) -> None:
        pair = Policy("pair", "4/day", cost=2)
        assert (await asked.one(pair)).remaining == 2
        assert (await asked.all([Charge(pair, "k")])).decisions[0].remaining == 0
        assert not (await asked.one(pair)).allowed
        await asked.refund(pair, "k")
        assert (await asked.one(pair)).allowed

    async def test_more_than_the_burst_is_never_allowed(self, asked: Asked) -> None:
        decision = await asked.one(DAY, cost=4)

        assert not decision.allowed
        assert decision.retry_after_us is None
        assert decision.remaining == 3

    async def test_all_or_none(self, asked: Asked) -> None:
        await asked.one(DAY, cost=3)
        verdict = await asked.all([Charge(HOUR, "k"), Charge(DAY, "k")])

        assert not verdict.allowed
        assert verdict.refused is verdict.decisions[1]
        assert (await asked.look([Charge(HOUR, "k")])).decisions[0].remaining == 10

    async def test_what_is_certain_is_counted_and_else_nothing_is(
        self, asked: Asked
    ) -> None:
        charges = [Charge(HOUR, "k", 2), Charge(DAY, "k")]
        await asked.all(charges)  # so both keys are known
        counted = asked.store.counted(charges)
        looked = (await asked.look(charges)).decisions

        assert counted is not asked.store.remote
        assert [each.remaining for each in looked] == ([6, 1] if counted else [8, 2])

    async def test_a_refusal_is_never_certain_to_be_allowed(self, asked: Asked) -> None:
        charges = [Charge(HOUR, "k"), Charge(DAY, "k")]
        await asked.all([Charge(HOUR, "k"), Charge(DAY, "k", 3)])

        assert not asked.store.counted(charges)
        assert not asked.store.counted([Charge(HOUR, "new"), Charge(HOUR, "k")])
        assert (await asked.look([Charge(HOUR, "k")])).decisions[0].remaining == 9
        assert not asked.limiter.refusals.totals

    async def test_looking_counts_nothing_and_notes_nothing(self, asked: Asked) -> None:
        charge = Charge(DAY, "k", 3)
        for _ in range(3):
            assert (await asked.look([charge])).allowed
        await asked.one(DAY, cost=3)
        assert not (await asked.look([charge])).allowed
        assert not asked.limiter.refusals.totals

    async def test_what_is_given_back_can_be_had_again(self, asked: Asked) -> None:
        await asked.one(DAY, cost=3)
        assert not (await asked.one(DAY)).allowed
        await asked.refund(DAY, "k", 2)
        assert (await asked.one(DAY, cost=2)).allowed
        assert not (await asked.one(DAY)).allowed

    async def test_a_reset_is_as_if_nothing_had_been(self, asked: Asked) -> None:
        await asked.one(DAY, cost=3)
        assert not (await asked.one(DAY)).allowed
        await asked.reset(["hour", "day"], "k")
        assert (await asked.one(DAY, cost=3)).allowed

    async def test_keys_and_policies_are_apart(self, asked: Asked) -> None:
        await asked.one(DAY, cost=3)
        assert (await asked.one(DAY, "other")).remaining == 2
        assert (await asked.one(HOUR)).remaining == 9

    async def test_a_policy_made_anew_under_the_same_name_goes_on(
        self, asked: Asked
    ) -> None:
        await asked.one(DAY, cost=3)
        assert not (await asked.one(Policy("day", "3/day"))).allowed
        assert (await asked.one(Policy("day", "3/day:5"), cost=2)).allowed

    async def test_a_place_can_be_reserved(self, asked: Asked) -> None:
        shaped = Policy("shaped", "1/s", 1, past="delay")
        delays = [(await asked.reserve(shaped, "k")).delay_seconds for _ in range(3)]
        late = await asked.reserve(shaped, "k", max_wait_seconds=0.5)

        assert delays == pytest.approx([0, 1, 2], abs=0.9)
        assert not late.allowed

    async def test_each_refusal_is_noted_once(self, asked: Asked) -> None:
        for _ in range(5):
            await asked.one(DAY)
        await asked.all([Charge(HOUR, "k"), Charge(DAY, "k")])
        (noted,) = asked.limiter.refusals.report()

        assert (noted.policy, noted.key, noted.count) == ("day", "k", 3)

    async def test_a_dry_run_refuses_nothing_and_is_noted(self, asked: Asked) -> None:
        trial = Policy("trial", "1/day", dry_run=True)
        for _ in range(3):
            assert (await asked.one(trial)).allowed

        assert asked.limiter.refusals.totals == {"trial (dry run)": 2}
