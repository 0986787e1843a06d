"""``weights.lock.json``: where the files of a fetched part are from, and what they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

LOCK = "weights.lock.json"  # beside fetched weights: where each file is from, its size and SHA-256


@dataclass(frozen=True)
class Record:
    """What a file was when it was fetched."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Lock:
    """Where the files of a part are from and what they were: ``weights.lock.json``."""

    repository: str | None = None  # None for a copy of a local folder
    commit: str | None = None
    files: Mapping[str, Record] = field(default_factory=dict)


def read_lock(folder: Path) -> Lock:
    """What is written beside fetched weights; empty where nothing is."""
    try:
        stored = json.loads((folder / LOCK).read_text("utf-8"))
        files = {file: Record(**record) for file, record in stored["files"].items()}
        return Lock(stored["repository"], stored["commit"], files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Lock()


def write_lock(folder: Path, lock: Lock) -> None:
    (folder / LOCK).write_text(json.dumps(asdict(lock), indent=2) + "\n", "utf-8")
