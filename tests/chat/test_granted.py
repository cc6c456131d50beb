"""`is_granted` says what `has_perm` says, whoever has a say."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.utils.functional import SimpleLazyObject
from pytest_django import DjangoAssertNumQueries, Settings

from headgate.chat.granted import is_granted

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

RIGHT = "headgate_chat.delete_message"


def permission(codename: str = "delete_message") -> Permission:
    return Permission.objects.get(
        content_type__app_label="headgate_chat", codename=codename
    )


class Everybody(ModelBackend):
    """A project's backend that lets everybody do what is about messages."""

    def _get_user_permissions(self, _: Any) -> Any:
        return Permission.objects.filter(codename="delete_message")


class Sometimes:
    """A backend of the project's own that answers by itself."""

    def has_perm(self, user: User, perm: str, obj: object = None) -> bool:
        return user.first_name == "Ada" and perm == RIGHT and obj is None


def directly(user: User) -> None:
    user.user_permissions.add(permission())


def by_group(user: User) -> None:
    group = Group.objects.create(name="moderators")
    group.permissions.add(permission())
    user.groups.add(group)


def another(user: User) -> None:
    user.user_permissions.add(permission("change_message"), permission("add_message"))
    user.groups.add(Group.objects.create(name="others"))


def somebody_else(user: User) -> None:
    directly(User.objects.create_user("grace"))


def superuser(user: User) -> None:
    user.is_superuser = True


def inactive(user: User) -> None:
    directly(user)
    user.is_active = False


def inactive_superuser(user: User) -> None:
    user.is_superuser = True
    user.is_active = False


HOW = [
    directly,
    by_group,
    another,
    somebody_else,
    superuser,
    inactive,
    inactive_superuser,
]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    "backends",
    [
        ["django.contrib.auth.backends.ModelBackend"],
        [f"{__name__}.Everybody"],
        ["django.contrib.auth.backends.ModelBackend", f"{__name__}.Sometimes"],
        [
            "django.contrib.auth.backends.ModelBackend",
            "django.contrib.auth.backends.RemoteUserBackend",
        ],
    ],
)
def test_it_is_what_django_says(
    ada: User, settings: Settings, how: Any, backends: list[str]
) -> None:
    settings.AUTHENTICATION_BACKENDS = backends
    how(ada)
    ada.save()
    known, asked = User.objects.get(pk=ada.pk), User.objects.get(pk=ada.pk)

    assert is_granted(asked, RIGHT) is known.has_perm(RIGHT)


def test_some_are_granted_and_some_are_not(ada: User, grace: User) -> None:
    directly(ada)

    assert is_granted(ada, RIGHT)
    assert not is_granted(grace, RIGHT)


def test_it_takes_one_read(
    ada: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    by_group(ada)
    asked = SimpleLazyObject(lambda: ada)  # as a request has it
    with django_assert_num_queries(1):
        assert is_granted(asked, RIGHT)


def test_what_is_taken_is_gone_at_once(ada: User) -> None:
    directly(ada)
    assert is_granted(ada, RIGHT)

    ada.user_permissions.clear()

    assert not is_granted(ada, RIGHT)


@pytest.mark.parametrize("who", [None, AnonymousUser(), object()])
def test_nobody_is_granted_anything(who: Any) -> None:
    assert not is_granted(who, RIGHT)
