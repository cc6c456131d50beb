"""A plain chat with Django Channels, as tutorials and well-known recipes write it.

It is here to be measured and replayed beside Headgate, so it is written as one would
write it, and given the same server, event loop and database settings.
"""

from __future__ import annotations
