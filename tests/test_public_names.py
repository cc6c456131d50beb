"""What is public is there, under the names that are promised."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import headgate

PUBLIC = {
    "GiveUp",
    "NotSent",
    "Profile",
    "Reject",
    "TryAgain",
    "__version__",
    "absent",
    "access_changed",
    "adescriptor",
    "aroom_for",
    "asend_message",
    "bot",
    "bots",
    "connects",
    "descriptor",
    "make_bot",
    "on",
    "open_message",
    "room_for",
    "send_message",
}
MODULES = [
    module.name
    for module in pkgutil.walk_packages(headgate.__path__, "headgate.")
    if not module.name.endswith("__main__") and ".migrations." not in module.name
]


def test_the_package_offers_exactly_what_is_promised() -> None:
    assert set(headgate.__all__) == PUBLIC
    assert list(headgate.__all__) == sorted(headgate.__all__)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_name_is_there(name: str) -> None:
    assert getattr(headgate, name) is not None


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert headgate.__version__ == version("headgate")


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'send_massage'"):
        _ = headgate.send_massage


def test_importing_it_imports_no_django() -> None:
    code = (
        "import sys, headgate, headgate.limits, headgate.limits.rates\n"
        "sys.exit(any(m.partition('.')[0] in {'django', 'channels'} "
        "for m in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_says_it_offers_is_there(name: str) -> None:
    module = import_module(name)
    offered = getattr(module, "__all__", [])

    assert len(set(offered)) == len(offered)
    assert [n for n in offered if not hasattr(module, n)] == []
