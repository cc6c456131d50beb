"""People sign in with their e-mail address; there are no user names."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address."""

    def create_user(self, email: str, password: str | None = None, **more: Any) -> User:
        """Make a user."""
        user = self.model(email=self.normalize_email(email), **more)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str, **more: Any) -> User:
        """Make somebody who may do everything."""
        return self.create_user(
            email, password, is_staff=True, is_superuser=True, **more
        )


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody with an account."""

    email = models.EmailField(unique=True)
    display_name = models.CharField(max_length=60, blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    last_seen = models.DateTimeField(null=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.email
