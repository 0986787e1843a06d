"""The published parts of the full engine, from the table in `weights.toml`."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PureWindowsPath
from typing import Any

from img2prompt.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

COMMIT = re.compile(r"[0-9a-f]{40}")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True)
class Part:
    """A published model that the full engine can use: a row of `weights.toml`."""

    kind: str  # caption, clip
    name: str  # blip-large, ViT-H-14/laion2b_s32b_b79k
    repository: str  # on the Hugging Face hub
    revision: str  # a commit, or a branch or request that is looked up when it is fetched
    license: str
    bytes: int | None = None  # size of the weights, rounded
    parameters: int | None = None  # their number, rounded
    laptop: bool = False  # whether a processor writes a caption in seconds
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)  # file → SHA-256 that it must have

    @property
    def memory(self) -> int | None:
        """Bytes that it takes on a GPU, in fp16 or bf16, about; on a processor it takes twice as much."""
        return self.parameters and round(2.4 * self.parameters)

    @property
    def pinned(self) -> str:
        """How far the table fixes what is fetched: ``commit and hash``, ``commit`` or ``no``."""
        if not COMMIT.fullmatch(self.revision):
            return "no"
        return "commit and hash" if self.sha256 else "commit"


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "weights.toml").read_text("utf-8"))


@functools.cache
def parts() -> dict[str, Part]:
    """Name → part, for every part in the table; caption models come first."""
    return {
        name: Part(kind, name, **row) for kind in ("caption", "clip") for name, row in _table()[kind].items()
    }


def presets() -> dict[str, list[str]]:
    """Name → names of the parts that go well together."""
    return _table()["presets"]


def part(name: str) -> Part:
    """The part of this name: one in the table, or any CLIP model that open_clip knows as ``name/tag``.

    Raises
    ------
    ConfigError
        When there is no such part.
    """
    known = parts().get(name) or _from_open_clip(name)
    if known is None:
        raise ConfigError(
            f"There is no part {name!r}. There are the presets {', '.join(presets())}, the parts "
            f"{', '.join(parts())}, and any other CLIP that open_clip knows by name/tag."
        )
    return known


def _from_open_clip(name: str) -> Part | None:
    architecture, slash, tag = name.partition("/")
    if not slash:
        return None
    from open_clip import get_pretrained_cfg

    repository = (get_pretrained_cfg(architecture, tag) or {}).get("hf_hub", "").rstrip("/")
    return Part("clip", name, repository, "main", "see its page") if repository.count("/") == 1 else None


def expand(names: Iterable[str]) -> list[Part]:
    """The parts that names of presets and of parts stand for, each once.

    Raises
    ------
    ConfigError
        When a name is neither a preset nor a part.
    """
    all_names = [each for name in names for each in presets().get(name, [name])]
    return [part(name) for name in dict.fromkeys(all_names)]


def takes(kind: str, file: str) -> bool:
    """Whether a part of this kind uses the file. Pickles and files in sub-folders are never used."""
    return PureWindowsPath(file).name == file and any(
        fnmatch(file, pattern) for pattern in _table()["kinds"][kind]["takes"]
    )


def lacks(kind: str, files: Collection[str]) -> str | None:
    """Which file that a part of this kind needs is missing, in words; None if all are there."""
    for group in _table()["kinds"][kind]["needs"]:
        if not any(file in files for file in group):
            pickles = [file for file in files if any(fnmatch(file, pattern) for pattern in PICKLES)]
            why = f" ({pickles[0]} is a pickle, which is never loaded)" if pickles else ""
            return f"{' or '.join(group)} is missing{why}"
    return None


def readable(count: int | None) -> str:
    """A number of bytes for people: ``3.9 GB``."""
    if count is None:
        return "?"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
