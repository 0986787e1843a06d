"""Where the files that come with this program lie."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
BUNDLED = PACKAGE / "_bundled"  # in a wheel only; hatch_build.py says what goes there


def resource(name: str) -> Path:
    """What stands beside the package in a checkout, and inside it when a wheel was installed.

    >>> resource("app.py")
    """
    return (BUNDLED if BUNDLED.is_dir() else PACKAGE.parent) / name
