"""The HTTP doors: the API, the WebSocket's own URL, the event stream, descriptors."""
