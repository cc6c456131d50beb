"""Whether somebody has one of Django's own permissions, by one small read.

It is asked for everybody who comes in. `has_perm` reads all that somebody may, by two
queries of the ORM, which takes ten times as long as whatever else is looked up for
them. So where nobody but Django's own backend has a say, only the one row is asked for.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.auth import get_backends
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission, PermissionsMixin
from django.contrib.contenttypes.models import ContentType
from django.db import connections, router

__all__ = ["is_granted"]

# What makes up a backend's answer: a project's own backend may have another for each.
_ANSWERS = (
    "has_perm",
    "get_all_permissions",
    "get_user_permissions",
    "get_group_permissions",
    "_get_permissions",
    "_get_user_permissions",
    "_get_group_permissions",
)


def is_granted(user: Any, permission: str) -> bool:
    """Return what `user.has_perm(permission)` would; False without such a method.

    Args:
        user: An account of the project's, or None.
        permission: Such as `headgate_chat.delete_message`.
    """
    has_perm = getattr(user, "has_perm", None)
    if has_perm is None:
        return False
    if not _is_by_rows(user):
        return bool(has_perm(permission))
    if not user.is_active or user.is_superuser:
        return bool(user.is_active)
    app_label, _, codename = permission.partition(".")
    model = user.__class__  # of a lazy object its account
    connection = connections[router.db_for_read(Permission)]
    key = model._meta.pk.get_db_prep_value(user.pk, connection)  # noqa: SLF001
    with connection.cursor() as cursor:
        cursor.execute(_query(model), [app_label, codename, key, key])
        return cursor.fetchone() is not None


def _is_by_rows(user: Any) -> bool:
    """Return whether a user's permissions are those in Django's tables, and no more."""
    return (
        isinstance(user, PermissionsMixin)
        and user.__class__.has_perm is PermissionsMixin.has_perm
        and all(
            getattr(type(backend), name, None) is getattr(ModelBackend, name)
            for backend in get_backends()
            for name in _ANSWERS
        )
    )


@cache
def _query(model: Any) -> str:
    # Django's public _meta, and the columns of the two relations that a user has.
    own = model._meta.get_field("user_permissions")  # noqa: SLF001
    groups = model._meta.get_field("groups")  # noqa: SLF001
    of_group = Group._meta.get_field("permissions")  # noqa: SLF001
    permission = Permission._meta.db_table  # noqa: SLF001
    kind = ContentType._meta.db_table  # noqa: SLF001
    return (
        f"SELECT 1 FROM {permission} p "  # noqa: S608
        f"JOIN {kind} c ON c.id = p.content_type_id "
        "WHERE c.app_label = %s AND p.codename = %s AND ("
        f"EXISTS (SELECT 1 FROM {own.m2m_db_table()} u "
        f"WHERE u.{own.m2m_reverse_name()} = p.id AND u.{own.m2m_column_name()} = %s) "
        f"OR EXISTS (SELECT 1 FROM {of_group.m2m_db_table()} g "
        f"JOIN {groups.m2m_db_table()} m "
        f"ON m.{groups.m2m_reverse_name()} = g.{of_group.m2m_column_name()} "
        f"WHERE g.{of_group.m2m_reverse_name()} = p.id "
        f"AND m.{groups.m2m_column_name()} = %s)) LIMIT 1"
    )
