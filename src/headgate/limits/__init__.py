"""Limits: so many in a period, exact, for any code. Needs nothing, imports no Django.

    from headgate.limits import Limiter, Policy

    limiter = Limiter()
    search = Policy("search", "5/2s", key="user")
    decision = limiter.decide_one(search, "u:5")

`RedisStore`, in `headgate.limits.redis`, needs the extra `redis`.
"""

from __future__ import annotations

from headgate.limits.address import address_key, client_address
from headgate.limits.decision import Decision, Verdict
from headgate.limits.fields import limit_fields, retry_after
from headgate.limits.limiter import Limiter
from headgate.limits.memory import MemoryStore
from headgate.limits.policy import Charge, Policy
from headgate.limits.rates import Rate
from headgate.limits.refusals import Refusals, Refused
from headgate.limits.store import Store

__all__ = [
    "Charge",
    "Decision",
    "Limiter",
    "MemoryStore",
    "Policy",
    "Rate",
    "Refusals",
    "Refused",
    "Store",
    "Verdict",
    "address_key",
    "client_address",
    "limit_fields",
    "retry_after",
]
