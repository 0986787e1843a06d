"""How a library that is not there gets installed."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def install(*names: str) -> str:
    """The command that installs libraries, in releases that go with this program, for the Python that runs.

    Options of pip may stand among the names.

    >>> install("diffusers")
    'Run: /folder/bin/python -m pip install "diffusers<0.43,>=0.41"'
    """
    try:
        lines = requires("img2prompt") or []
    except PackageNotFoundError:  # a checkout that was never installed
        lines = []
    known: dict[str, str] = {}
    for requirement in map(Requirement, lines):
        requirement.marker = None
        known.setdefault(canonicalize_name(requirement.name), str(requirement))
    words = [sys.executable, "-m", "pip", "install"]
    words += [known.get(canonicalize_name(name), name) for name in names]
    return "Run: " + " ".join(f'"{word}"' if set(word) & set(" <>[]") else word for word in words)
