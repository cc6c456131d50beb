"""How people are shown in the chat: by their display name, never by their address."""

from __future__ import annotations

from accounts.models import User
from headgate import Profile


def profiles(ids: list[str]) -> dict[str, Profile]:
    """Return the profiles of users by their primary keys."""
    found = User.objects.filter(pk__in=ids)
    return {
        str(user.pk): Profile(name=user.display_name or f"Customer {user.pk}")
        for user in found
    }
