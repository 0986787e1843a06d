"""The ensemble file: the members of an ensemble, where each comes from, and its weight.

A member's source is one of

- ``lite`` or ``full``: the regressor of that engine
- ``lite:prompt`` or ``full:prompt``: the embedding of the prompt that the engine writes
- a ``.csv``: a submission
- an ``.npz``: arrays ``ids`` and ``embeddings``
- a folder: a prompt bank or a regressor
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from img2prompt.ensemble.knn import CONFIG as BANK
from img2prompt.errors import ConfigError
from img2prompt.files import replacing
from img2prompt.settings import ENGINES
from img2prompt.weights import problem
from img2prompt.wording import reason

PROMPT = ":prompt"  # follows an engine's name


class Source(NamedTuple):
    """A member's source, parsed."""

    kind: str  # regression, prompt, submission, arrays, bank, regressor
    engine: str  # for regression and prompt; else empty
    path: Path  # for the other kinds


def parse_source(source: str) -> Source:
    """Parse a member's source; see the module for the forms.

    Raises
    ------
    ConfigError
        When it has none of these forms, or there is no such folder.
    """
    engine, path = source.removesuffix(PROMPT), Path(source)
    if engine in ENGINES:
        return Source("prompt" if source.endswith(PROMPT) else "regression", engine, Path())
    kinds = {".csv": "submission", ".npz": "arrays"}
    if path.suffix in kinds:
        kind = kinds[path.suffix]
    elif (path / BANK).is_file():
        kind = "bank"
    elif not problem("regressor", path):
        kind = "regressor"
    else:
        raise ConfigError(
            f"there is no {source!r}. A member is lite, full, lite:prompt, full:prompt, a .csv, an .npz, or a "
            "folder that img2prompt train regressor or knn wrote."
        )
    return Source(kind, "", path)


@dataclass(frozen=True)
class Recipe:
    """The members of an ensemble and their weights."""

    weights: dict[str, float]  # member's name → weight ≥ 0; they sum to 1
    sources: dict[str, str]  # member's name → source; paths as seen from here
    mirror: bool = False  # regressors in folders average a picture and its mirror image


def save_recipe(path: Path, recipe: Recipe, **notes: Any) -> None:
    """Write an ensemble file, JSON.

    Paths are written relative to the file, so that it can be moved together with what it names.

    Parameters
    ----------
    notes : further entries, in JSON's types, for people who read the file

    Raises
    ------
    DataError
        When there is no space or no permission.
    """
    sources = {
        name: f"./{os.path.relpath(source, path.parent)}" if _exists(source) else source
        for name, source in recipe.sources.items()
    }
    text = json.dumps(
        {"weights": recipe.weights, "sources": sources, "mirror": recipe.mirror, **notes}, indent=1
    )
    with replacing(path) as file:
        file.write(text.encode() + b"\n")


def load_recipe(path: str | Path) -> Recipe:
    """Read an ensemble file; the name of a member without a source is its source.

    Raises
    ------
    ConfigError
        When there is no such file, or its weights are not numbers ≥ 0 that sum to 1.
    """
    path = Path(path)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        weights = {str(name): float(weight) for name, weight in stored["weights"].items()}
        as_written = {name: str(stored.get("sources", {}).get(name, name)) for name in weights}
        mirror = bool(stored.get("mirror", False))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} holds no ensemble's weights ({reason(error)}). Make it with img2prompt train ensemble."
        ) from error
    if not all(weight >= 0 for weight in weights.values()) or not math.isclose(
        sum(weights.values()), 1, abs_tol=1e-3
    ):
        raise ConfigError(f"{path}: the weights are {weights}; they must be 0 or more and sum to 1.")
    sources = {
        name: str(path.parent / source) if _exists(source, path.parent) else source
        for name, source in as_written.items()
    }
    return Recipe(weights, sources, mirror)


def _exists(source: str, folder: Path = Path()) -> bool:
    """Whether a member's source is a file or folder, as seen from a folder, and no engine."""
    return source.removesuffix(PROMPT) not in ENGINES and (folder / source).exists()
