"""Which libraries are missing, and the command that installs them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

PACKAGES = {"faiss": "faiss-cpu", "sklearn": "scikit-learn"}  # modules whose packages have another name


def missing(*modules: str) -> list[str]:
    """The packages of those modules that are not installed.

    >>> missing("sys", "sklearn")
    ['scikit-learn']
    """
    return [PACKAGES.get(module, module) for module in modules if find_spec(module) is None]


def install(*names: str) -> str:
    """The pip command that installs libraries into the running Python, in supported releases.

    The names may include options of pip.

    >>> install("diffusers")
    'Run: /folder/bin/python -m pip install "diffusers<0.43,>=0.41"'
    """
    # Only who is told to install something pays for these imports; every start imports this module.
    from importlib.metadata import PackageNotFoundError, requires

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

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
    command = " ".join(f'"{word}"' if set(word) & set(" <>[]") else word for word in words)
    return f"Run: {command}"
