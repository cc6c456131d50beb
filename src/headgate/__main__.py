"""`python -m headgate` is the command line."""

from __future__ import annotations

import sys

from headgate.server.cli import main

sys.exit(main())
