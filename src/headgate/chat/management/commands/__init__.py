"""One command, `headgate`, with the verbs of the command line."""

from __future__ import annotations
