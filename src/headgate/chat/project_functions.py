"""Functions of the project, which may be sync or async."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

__all__ = ["ProjectFunction", "named_function", "project_function"]


@dataclass(frozen=True, slots=True)
class ProjectFunction:
    """A function, or an object that can be called, and how to call it."""

    call: Callable[..., Any]
    is_async: bool


def project_function(found: Callable[..., Any]) -> ProjectFunction:
    """Return what is known of a function."""
    own_call = getattr(found, "__call__", None)  # noqa: B004 - an object's may be async
    is_async = iscoroutinefunction(found) or iscoroutinefunction(own_call)
    return ProjectFunction(found, is_async=is_async)


@lru_cache(maxsize=32)
def named_function(path: str) -> ProjectFunction:
    """Return the function with a dotted path; raises `ImportError`."""
    return project_function(import_string(path))


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "HEADGATE":
        named_function.cache_clear()


setting_changed.connect(_forget)
