"""A project with a chat, in which a language model answers."""
