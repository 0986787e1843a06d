"""Where weights lie on this machine: the bundled model, and the parts of the full engine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from img2prompt.errors import WeightsError
from img2prompt.files import resource
from img2prompt.settings import MODELS, variable
from img2prompt.weights.catalogue import COMMIT, Part, lacks, parts
from img2prompt.weights.lock import read_lock


def bundled(name: str) -> Path:
    """The folder of a bundled model.

    ``IMG2PROMPT_MODELS`` names another folder of models to look in first.

    Raises
    ------
    WeightsError
        When no such folder holds the model.
    """
    chosen = variable(MODELS)
    places = [*([Path(chosen)] if chosen else []), resource("models")]
    for place in places:
        if (place / name / "model.safetensors").is_file():
            return place / name
    raise WeightsError(
        f"The {name} model is missing; looked in {', '.join(str(place / name) for place in places)}. "
        f"Get a complete checkout or install the wheel again, or set {MODELS} to the folder that holds it."
    )


def home() -> Path:
    """The folder that `pull` writes to: ``IMG2PROMPT_MODELS``, or else one in the user's data folder."""
    return Path(variable(MODELS) or _among_user_data())


def roots() -> list[Path]:
    """The folders that are searched for parts, in this order."""
    from huggingface_hub.constants import HF_HUB_CACHE

    chosen = [home()] if variable(MODELS) else []
    return [*chosen, Path(HF_HUB_CACHE), _among_user_data()]


def _among_user_data() -> Path:
    from platformdirs import user_data_path

    return user_data_path("img2prompt", appauthor=False) / "models"


def folder_in(root: Path, kind: str, name: str) -> Path:
    """The folder of a part inside a folder of models; no name leads out of it."""
    safe = re.sub(r"[^\w.-]", "--", name)
    return root / kind / ("--" if safe.strip(".") == "" else safe)


def locate(part: Part, places: Iterable[Path] | None = None) -> Path | None:
    """The folder of an installed part; None where it is not installed or lacks files.

    Whether the files are intact is for `verify` to say.

    Parameters
    ----------
    places : folders laid out as `pull` does, or caches of the Hugging Face hub; by default `roots`
    """
    return next((folder for folder in _folders(part, places) if not problem(part.kind, folder)), None)


def whereabouts(part: Part) -> Path | None:
    """The folder of a part, even of one that lacks files; None where there is none."""
    return locate(part) or next((folder for folder in _folders(part) if folder.is_dir()), None)


def _folders(part: Part, places: Iterable[Path] | None = None) -> Iterator[Path]:
    for root in roots() if places is None else places:
        yield folder_in(root, part.kind, part.name)
        if cached := _in_hub_cache(root, part):
            yield cached


def _in_hub_cache(root: Path, part: Part) -> Path | None:
    if not part.repository:
        return None
    cache = root / f"models--{part.repository.replace('/', '--')}"
    commit = part.revision
    if not COMMIT.fullmatch(commit):
        try:
            commit = (cache / "refs" / part.revision).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
    return cache / "snapshots" / commit if COMMIT.fullmatch(commit) else None


def find(kind: str, name: str) -> Path:
    """The folder of a part in its published format.

    Parameters
    ----------
    kind : ``caption``, ``clip`` or ``regressor``
    name : for example ``blip-large`` or ``ViT-H-14/laion2b_s32b_b79k``; for a regressor also its folder

    Raises
    ------
    WeightsError
        When it is missing or lacks files; the message names the command that fetches it.
    """
    if kind == "regressor" and not problem(kind, Path(name)):
        return Path(name)
    listed = parts().get(name)
    # A part that is not in the table may lie where `pull` would put it all the same.
    part = listed if listed and listed.kind == kind else Part(kind, name, "", "", "")
    folder = whereabouts(part)
    wrong = problem(kind, folder) if folder else None
    if folder and not wrong:
        return folder
    if kind == "regressor":
        raise WeightsError(
            f"{name} is no regressor: {wrong or problem(kind, Path(name))}. Name the folder that one was "
            "trained into."
        )
    state = f"in {folder} cannot be used: {wrong}" if folder else "is not installed"
    raise WeightsError(f"The {kind} model {name} {state}. Get it with: img2prompt models pull {name}")


def regressors() -> list[str]:
    """Names of the regressors in the sub-folder ``regressor`` of the folders of models."""
    folders = [folder for root in roots() for folder in sorted(root.glob("regressor/*"))]
    return list(dict.fromkeys(folder.name for folder in folders if not problem("regressor", folder)))


def problem(kind: str, folder: Path) -> str | None:
    """Why a folder cannot be used as a part, without reading its files; None if it can.

    Every file that the folder's lock lists must be there with its size, and so must the files
    that its kind needs.
    """
    try:
        sizes = {file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()}
    except OSError:
        return "there is no such folder"
    for file, record in read_lock(folder).files.items():
        if file not in sizes:
            return f"{file} is missing"
        if sizes[file] != record.bytes:
            return f"{file} has {sizes[file]} bytes instead of {record.bytes}"
    return lacks(kind, sizes) or _lacks_shards(folder)


def _lacks_shards(folder: Path) -> str | None:
    index = folder / "model.safetensors.index.json"
    if not index.is_file() or (folder / "model.safetensors").is_file():
        return None
    try:
        shards = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError):
        return f"{index.name} cannot be read"
    return next(
        (f"{file} is missing" for file in shards if "/" in file or not (folder / file).is_file()), None
    )


def size(folder: Path) -> int:
    """The total size of a folder's files in bytes; links count as the files they point to."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
