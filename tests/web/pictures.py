"""Take the documentation's pictures of the page: `make screenshots`.

    python -m tests.web.pictures FOLDER

They are of a real server with a conversation that is always the same, in Chromium.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers import HeadgateServer
from tests.web.node_stage import run_in_node


def main(folder: Path) -> int:
    """Write the pictures into a folder, and return an exit code."""
    with tempfile.TemporaryDirectory() as temporary:
        data, said = Path(temporary) / "data", Path(temporary) / "node.out"
        sessions = subprocess.run(
            [sys.executable, "-m", "tests.web.seed", str(data), "--story"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
        failed = run_in_node(
            ["browser/pictures.mjs", str(folder.absolute())],
            {"open": HeadgateServer(data, ["--guests"])},
            said,
            PEOPLE=sessions,
        )
        sys.stdout.write(said.read_text(encoding="utf-8"))
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
