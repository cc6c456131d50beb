"""The model, as somebody in the chat."""
