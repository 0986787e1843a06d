"""What is damaged and who opens it: a module for each kind of file, which has

- ``make(chooser)``: the damaged files, by name, for a random generator;
- ``attempt(folder)``: opens those files, which are alone in the folder, as the app does, and lets the
  errors out that it gets;
- ``MEGABYTES``: the most memory that the process may take.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Protocol


class Target(Protocol):
    MEGABYTES: float

    def make(self, chooser: Random) -> dict[str, bytes]: ...

    def attempt(self, folder: Path) -> None: ...
