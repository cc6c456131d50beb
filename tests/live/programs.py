"""Programs for a `World`: what may happen to delivery, in any order."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["CLIENTS", "ROOMS", "Step", "programs"]

ROOMS = (1, 2)
CLIENTS = 3

Step = tuple[Any, ...]

_rooms = st.sampled_from(ROOMS)
_clients = st.integers(0, CLIENTS - 1)
_paces = st.sampled_from(["2/s:1", "2/s:3", "10/s:2", "5/2s:4"])
_no_pace_mostly = st.none() | st.none() | _paces


def _step(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), *arguments)


_write = _step(
    "write",
    _rooms,
    st.integers(1, 6),
    st.integers(1, 60),
    st.sampled_from(["normal", "normal", "high", "low"]),
    st.sampled_from([None, None, 1, 400]),
)
_hint = _step(
    "hint",
    st.integers(0, 5),
    st.sampled_from(["tell", "tell", "tell", "twice", "lose", "reach"]),
)
_join = _step(
    "join",
    _clients,
    _rooms,
    st.sampled_from(["now", "seen"]) | st.integers(0, 20),
    _no_pace_mostly,
    st.sampled_from([0, 0, 0, 3]),
)
_any: st.SearchStrategy[Step] = st.one_of(
    _write,
    _write,
    _hint,
    _step("tell"),
    _join,
    _join,
    _step("leave", _clients, _rooms),
    _step("drop", _clients),
    _step("drain", _clients, st.integers(0, 4) | st.none()),
    _step("stall", _clients),
    _step("pace", _clients, _rooms, _no_pace_mostly),
    _step("edit", _rooms, st.integers(0, 8)),
    _step("delete", _rooms, st.integers(0, 8)),
    _step("remove", _clients, _rooms),
    _step("signal", _rooms, _clients),
    _step("turn", st.integers(1, 6)),
    _step("wait", st.sampled_from([0.001, 0.06, 0.5, 2.0, 12.0])),
    _step("hold", st.booleans()),
    _step("release"),
    _step("away", st.booleans()),
)


def programs() -> st.SearchStrategy[list[Step]]:
    """Return programs that begin with watchers in a room."""
    now = st.just("now")
    first = _step("join", _clients, _rooms, now, _no_pace_mostly, st.just(0))
    start = st.lists(first, min_size=1, max_size=4)
    # Hypothesis prefers short lists, and most of what can go wrong takes many steps.
    steps = st.lists(_any, max_size=40) | st.lists(_any, min_size=25, max_size=60)
    return st.builds(lambda a, b: [*a, ("turn", 6), *b], start, steps)
