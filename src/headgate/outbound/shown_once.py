"""The admin's page of what is shown this once: a secret, a token, a URL.

It is the answer to the request that made it, and not a message: Django may keep those
in a cookie.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _

__all__ = ["show_once"]


def show_once(
    request: HttpRequest,
    admin: ModelAdmin[Any],
    named: object,
    values: Mapping[str, str],
) -> HttpResponse:
    """Return a page with values by their names, which no page shows again.

    Args:
        request: That made them.
        admin: Whose page it is.
        named: To what they belong.
        values: What to show, by what it is.
    """
    opts = admin.opts
    there = f"admin:{opts.app_label}_{opts.model_name}_changelist"
    context = {
        **admin.admin_site.each_context(request),
        "title": _("Keep this now: %(name)s") % {"name": named},
        "opts": opts,
        "values": values.items(),
        "back": reverse(there, current_app=admin.admin_site.name),
    }
    request.current_app = admin.admin_site.name  # as the admin's own views do
    template = "admin/headgate_outbound/shown_once.html"
    response = TemplateResponse(request, template, context)
    add_never_cache_headers(response)
    return response
