"""Whether an installed part is what was published, to the last bit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from img2prompt.errors import WeightsError
from img2prompt.files import sha256
from img2prompt.weights.catalogue import Part
from img2prompt.weights.local import problem
from img2prompt.weights.lock import read_lock
from img2prompt.wording import reason

SHA256 = re.compile(r"[0-9a-f]{64}")


def verify(part: Part, folder: Path) -> str:
    """Read every file of an installed part and compare sizes, hashes and safetensors headers.

    Returns
    -------
    What the files were compared with, in words for people.

    Raises
    ------
    WeightsError
        At the first file that is not what it should be.
    """
    lock = read_lock(folder)
    hashes = {file: record.sha256 for file, record in lock.files.items()}
    hashes = hashes or {**_blobs(folder), **part.sha256}
    if wrong := problem(part.kind, folder) or _changed(folder, hashes) or unreadable(folder):
        raise WeightsError(
            f"{folder}: {wrong}. Get {part.name} again with: img2prompt models pull {part.name}"
        )
    if part.sha256 and part.sha256.items() <= hashes.items():
        return "the published hashes"
    if lock.commit:
        return f"the hub's hashes of {lock.commit[:7]}"
    if lock.files:
        return "the hashes taken when it was copied"
    return "the hub's hashes" if hashes else "nothing but its own headers"


def _changed(folder: Path, hashes: Mapping[str, str]) -> str | None:
    for file, expected in hashes.items():
        try:
            actual = sha256(folder / file)
        except OSError as error:
            return reason(error)
        if actual != expected:
            return f"the SHA-256 of {file} is {actual}, not {expected}"
    return None


def _blobs(folder: Path) -> dict[str, str]:
    """File → SHA-256 from the hub's cache, whose links point to contents named by their SHA-256."""
    targets = {file.name: file.resolve().name for file in folder.glob("*") if file.is_symlink()}
    return {file: target for file, target in targets.items() if SHA256.fullmatch(target)}


def unreadable(folder: Path) -> str | None:
    """Which safetensors file has a broken header or a wrong length, in words; None if none has."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            return f"{file.name} is no safetensors file ({reason(error)})"
    return None
