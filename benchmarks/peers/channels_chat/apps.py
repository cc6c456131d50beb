"""The chat as a Django app."""

from __future__ import annotations

from django.apps import AppConfig


class ChannelsChatConfig(AppConfig):
    """Names the app after itself."""

    name = "benchmarks.peers.channels_chat"
    label = "channels_chat"
