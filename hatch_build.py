"""Compile the message path to C with mypyc, when a wheel is built with that wished.

The source is the same, and stays in the wheel beside what was compiled of it: Python
takes the compiled module where there is one. Asked for by
`HATCH_BUILD_HOOKS_ENABLE=1 pip install …`; needs a C compiler and Python's headers.
Which modules are compiled stands in pyproject.toml.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileHook(BuildHookInterface[Any]):
    """Adds compiled modules to the wheel. Nothing is written into the checkout.

    A compiled module there would go on being imported when its source has changed.
    """

    _folder: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into a folder of our own, and have the wheel take it from there."""
        if version == "editable":
            raise RuntimeError(
                "An editable installation runs the source as it is and cannot be "
                "compiled. Leave out HATCH_BUILD_HOOKS_ENABLE, or --editable."
            )
        folder = self._folder = Path(mkdtemp(prefix="headgate-compile-"))
        shutil.copytree(Path(self.root, "src", "headgate"), folder / "headgate")
        self._compile(folder)
        build_data["force_include"].update(
            {
                str(path): str(path.relative_to(folder))
                for path in folder.rglob("*")
                if path.suffix in {".so", ".pyd"}
                and folder / "build" not in path.parents
            }
        )
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def _compile(self, folder: Path) -> None:
        command = [
            *(sys.executable, "-m", "mypyc"),
            # Types are checked elsewhere, with the plugin and stubs that it takes.
            *("--config-file=", "--ignore-missing-imports", "--follow-imports=silent"),
            *(f"headgate/{name}.py" for name in self.config["modules"]),
        ]
        environment = os.environ | {"MYPYC_DEBUG_LEVEL": "0"}
        done = subprocess.run(command, cwd=folder, env=environment, check=False)  # noqa: S603 - our own arguments
        if done.returncode != 0:
            self._remove()
            raise RuntimeError(
                "Headgate could not be compiled; what is above says why. It takes a C "
                "compiler and the headers of this Python (Debian: apt-get install gcc "
                "python3-dev). Without HATCH_BUILD_HOOKS_ENABLE it is not compiled."
            )

    def finalize(self, version: str, build_data: dict[str, Any], artifact: str) -> None:  # noqa: ARG002
        """Remove the folder, once the wheel has what is in it."""
        self._remove()

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder)
