"""System check of what the settings name by dotted path: `headgate.E003`."""

from __future__ import annotations

import inspect
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string

from headgate.chat.authenticators import authenticator_mistake
from headgate.chat.conf import conf, mistakes
from headgate.chat.permissions import Permissions

__all__ = ["check_paths"]


@register()
def check_paths(**_: Any) -> list[CheckMessage]:
    """Check that what is named is there, and can be called."""
    if mistakes(getattr(settings, "HEADGATE", {})):
        return []  # headgate.E001 says what to mend first
    found = [
        *(authenticator_mistake(path) for path in conf().AUTHENTICATORS or ()),
        _function_mistake("PROFILES", conf().PROFILES),
        _function_mistake("BEFORE_SEND", conf().BEFORE_SEND),
        _permissions_mistake(conf().PERMISSIONS),
    ]
    return [
        Error(mistake[0], hint=mistake[1], id="headgate.E003")
        for mistake in found
        if mistake is not None
    ]


def _function_mistake(key: str, path: str | None) -> tuple[str, str] | None:
    if path is None:
        return None
    named, hint = _named(key, path), "Name a function, sync or async."
    try:
        found = import_string(path)
    except Exception as exc:  # noqa: BLE001 - whatever the project's module raises
        return f"{named} does not import: {exc}", hint
    if inspect.isclass(found) or not callable(found):
        kind = "class" if inspect.isclass(found) else type(found).__name__
        return f"{named} is a {kind}.", hint
    return None


def _permissions_mistake(path: str) -> tuple[str, str] | None:
    named = _named("PERMISSIONS", path)
    hint = "Name a subclass of headgate.chat.permissions.Permissions."
    try:
        found = import_string(path)
    except Exception as exc:  # noqa: BLE001 - whatever the project's module raises
        return f"{named} does not import: {exc}", hint
    if not inspect.isclass(found) or not issubclass(found, Permissions):
        return f"{named} is no subclass of Permissions.", hint
    return None


def _named(key: str, path: str) -> str:
    return f"HEADGATE[{key!r}] names {path!r}, which"
