"""The shop's URLs."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from chat import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("orders/", views.make_order),
    path("orders/<int:pk>/", views.order_page),
    path("orders/<int:pk>/comment", views.comment),
    path("orders/<int:pk>/shipped", views.shipped),
    path("", include("headgate.urls")),
]
