"""``weights.lock.json``, beside fetched weights: the origin, size and SHA-256 of each file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

LOCK = "weights.lock.json"


@dataclass(frozen=True)
class Record:
    """Size and SHA-256 of a file when it was fetched."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Lock:
    """The content of ``weights.lock.json``: where the files of a part are from, and their records."""

    repository: str | None = None  # None for a copy of a local folder
    commit: str | None = None
    files: Mapping[str, Record] = field(default_factory=dict)


def read_lock(folder: Path) -> Lock:
    """The lock in a folder of fetched weights; an empty one where it is missing or damaged."""
    try:
        stored = json.loads((folder / LOCK).read_text("utf-8"))
        files = {file: Record(**record) for file, record in stored["files"].items()}
        return Lock(stored["repository"], stored["commit"], files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Lock()


def write_lock(folder: Path, lock: Lock) -> None:
    """Write the lock into a folder that is still being put together."""
    (folder / LOCK).write_text(json.dumps(asdict(lock), indent=2) + "\n", "utf-8")
