"""The wire: commands, replies, pushes, codes and the codec.

Pure: no I/O, no clock, no Django. Start reading at `commands`, then `pushes`,
then `codec`. `protocol/` at the top of the repository holds the same truth for
other languages.
"""

from __future__ import annotations
