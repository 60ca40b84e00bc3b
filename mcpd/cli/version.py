"""mcpd version"""

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

from mcpd.version import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(arguments: argparse.Namespace) -> int:
    """What one wants to know in a bug report."""
    print(f"mcpd {__version__} on Python {platform.python_version()}, {platform.platform()}")
    for name in ("trio", "h11", "PyJWT", "msgspec"):
        try:
            print(f"{name} {version(name)}")
        except PackageNotFoundError:
            print(f"{name} is not installed")
    return 0
