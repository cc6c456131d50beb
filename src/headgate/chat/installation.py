"""What tells this installation from others that use the same Redis."""

from __future__ import annotations

import hashlib

from django.conf import settings

__all__ = ["namespace"]


def namespace() -> str:
    """Return what the names of all that this installation has in Redis begin with.

    Made from the SECRET_KEY, which all its processes share; nobody can tell that from
    it.
    """
    salted = b"headgate.installation:" + settings.SECRET_KEY.encode()
    return f"headgate:{hashlib.sha256(salted).hexdigest()[:12]}"
