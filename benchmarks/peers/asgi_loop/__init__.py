"""The smallest chat that ASGI allows: a set of connections, and a loop over it.

It keeps nothing and checks nothing, so it shows what the server underneath can do.
"""

from __future__ import annotations
