"""The Django app: models, journal, actions, history, permissions, consumer.

May import `live`, `protocol` and `limits`. Start reading at `models`, then
`append` (every write), `history` (every read) and `consumer` (the WebSocket door).
"""

from __future__ import annotations
