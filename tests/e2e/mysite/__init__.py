"""A Django project as people have it; servers import it as `mysite`."""

from __future__ import annotations
