"""The shop's orders: each has a room, on its page, and in the API."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

import headgate
from chat.models import Order
from chat.tasks import tell_shipped


@login_required
def order_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show an order, and the chat about it."""
    order = _visible(request, pk)
    context = {"order": order, "room": f"order-{order.pk}"}
    return render(request, "chat/order.html", context)


@api_view(["POST"])
def make_order(request: Request) -> Response:
    """Buy something; whoever works here watches over it in its room."""
    order = Order.objects.create(customer=request.user, what=request.data["what"])
    staff = get_user_model().objects.filter(is_staff=True)
    room = headgate.room_for(order, members=[order.customer, *staff])
    return Response({"order": order.pk, "room": room.slug}, status=201)


@api_view(["POST"])
@headgate.connects("order-{pk}")
def comment(request: Request, pk: int) -> Response:
    """Say something about an order."""
    order = _visible(request, pk)
    text = request.data["text"]
    sent = headgate.send_message(f"order-{order.pk}", request.user, text)
    return Response({"seq": sent.seq}, status=201)


@api_view(["POST"])
def shipped(request: Request, pk: int) -> Response:
    """Send an order on its way; a task tells so in its room."""
    order = _visible(request, pk)
    tell_shipped.delay(order.pk)
    return Response(status=202)


def _visible(request: Request | HttpRequest, pk: int) -> Order:
    orders = Order.objects.all()
    if not request.user.is_staff:
        orders = orders.filter(customer=request.user)
    return get_object_or_404(orders, pk=pk)
