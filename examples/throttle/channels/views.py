"""The chat over HTTP: a page, and a way to say something without a WebSocket."""

from __future__ import annotations

from channels.layers import get_channel_layer
from consumers import group_of
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.views.decorators.http import require_POST

from headgate.contrib.django import throttled
from limits import TALK

PAGE = """<!doctype html>
<title>Chat</title>
<form method="post" action="/chat/general/">
  <input type="hidden" name="csrfmiddlewaretoken" value="{token}">
  <input name="text" autofocus> <button>Say it over HTTP</button>
</form>
<pre></pre>
<script>
const socket = new WebSocket(`ws://${{location.host}}/ws/chat/general/`);
socket.onmessage = (event) => {{
  for (const said of [JSON.parse(event.data)].flat())
    document.querySelector("pre").append(JSON.stringify(said) + "\\n");
}};
document.querySelector("form").onsubmit = (event) => {{
  event.preventDefault();
  const text = event.target.elements.text;
  socket.send(JSON.stringify({{text: text.value}}));
  text.value = "";
}};
</script>
"""


async def page(request: HttpRequest) -> HttpResponse:
    """Show the chat."""
    return HttpResponse(PAGE.format(token=get_token(request)))


@require_POST
@throttled(TALK)
async def say(request: HttpRequest, chat_id: str) -> HttpResponse:
    """Say something to everybody who is connected."""
    event = {"type": "chat.message", "text": request.POST.get("text", "")}
    await get_channel_layer().group_send(group_of(chat_id), event)
    return JsonResponse({"said": event["text"]})
