"""Where weights live: the bundled ones, and the parts of the full engine; whether they are whole.

`weights.toml` is the table of what can be had. `img2prompt.fetch` gets it.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PureWindowsPath
from typing import Any

from img2prompt.errors import ConfigError, WeightsError
from img2prompt.files import resource
from img2prompt.settings import MODELS, variable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCK = "weights.lock.json"  # beside fetched weights: where each file is from, its size and SHA-256
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True)
class Part:
    """A published model that the full engine can use: a row of `weights.toml`."""

    kind: str  # caption, clip
    name: str  # blip-large, ViT-H-14/laion2b_s32b_b79k
    repository: str  # on the Hugging Face hub
    revision: str  # a commit, or a branch or request that is looked up when it is fetched
    license: str
    bytes: int | None = None  # of the weights, about
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)  # file → what it must be

    @property
    def pinned(self) -> str:
        """How far the table fixes what is fetched: ``commit and hash``, ``commit`` or ``no``."""
        if not COMMIT.fullmatch(self.revision):
            return "no"
        return "commit and hash" if self.sha256 else "commit"


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


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "weights.toml").read_text("utf-8"))


@functools.cache
def parts() -> dict[str, Part]:
    """Name → part, of all in the table: caption models first."""
    return {
        name: Part(kind, name, **row) for kind in ("caption", "clip") for name, row in _table()[kind].items()
    }


def presets() -> dict[str, list[str]]:
    """Name → names of the parts that go well together."""
    return _table()["presets"]


def part(name: str) -> Part:
    """A part by its name; besides those in the table, any CLIP that open_clip knows by name/tag.

    Raises
    ------
    ConfigError
        When there is no such part.
    """
    found = parts().get(name) or _from_open_clip(name)
    if found is None:
        raise ConfigError(
            f"There is no part {name!r}. There are the presets {', '.join(presets())}, the parts "
            f"{', '.join(parts())}, and any other CLIP that open_clip knows by name/tag."
        )
    return found


def _from_open_clip(name: str) -> Part | None:
    architecture, slash, tag = name.partition("/")
    if not slash:
        return None
    from open_clip import get_pretrained_cfg

    repository = (get_pretrained_cfg(architecture, tag) or {}).get("hf_hub", "").rstrip("/")
    return Part("clip", name, repository, "main", "see its page") if repository.count("/") == 1 else None


def expand(names: Iterable[str]) -> list[Part]:
    """The parts that presets and names of parts stand for, each once.

    Raises
    ------
    ConfigError
        When a name is neither.
    """
    all_names = [each for name in names for each in presets().get(name, [name])]
    return [part(name) for name in dict.fromkeys(all_names)]


def home() -> Path:
    """The folder that `pull` writes to: ``IMG2PROMPT_MODELS``, else one among the user's data."""
    return Path(variable(MODELS) or _among_user_data())


def roots() -> list[Path]:
    """The folders that parts are looked for in, first to last."""
    from huggingface_hub.constants import HF_HUB_CACHE

    chosen = [home()] if variable(MODELS) else []
    return [*chosen, Path(HF_HUB_CACHE), _among_user_data()]


def _among_user_data() -> Path:
    from platformdirs import user_data_path

    return user_data_path("img2prompt", appauthor=False) / "models"


def folder_in(root: Path, kind: str, name: str) -> Path:
    """Where a part lives in a folder of models; whatever the name, it stays in there."""
    safe = re.sub(r"[^\w.-]", "--", name)
    return root / kind / ("--" if safe.strip(".") == "" else safe)


def locate(wanted: Part, places: Iterable[Path] | None = None) -> Path | None:
    """The folder of an installed part, whose files are all there; not whether they are intact.

    Each place may hold parts as `pull` lays them out, or be a cache of the Hugging Face hub.
    """
    return next((folder for folder in _folders(wanted, places) if not problem(wanted.kind, folder)), None)


def whereabouts(wanted: Part) -> Path | None:
    """The folder of a part, or else what is left of one."""
    return locate(wanted) or next((folder for folder in _folders(wanted) if folder.is_dir()), None)


def _folders(wanted: Part, places: Iterable[Path] | None = None) -> Iterator[Path]:
    for root in roots() if places is None else places:
        yield folder_in(root, wanted.kind, wanted.name)
        if cached := _in_hub_cache(root, wanted):
            yield cached


def _in_hub_cache(root: Path, wanted: Part) -> Path | None:
    if not wanted.repository:
        return None
    cache = root / f"models--{wanted.repository.replace('/', '--')}"
    commit = wanted.revision
    if not COMMIT.fullmatch(commit):
        try:
            commit = (cache / "refs" / wanted.revision).read_text("utf-8").strip()
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
        When it is not there, with the command that fetches it.
    """
    if kind == "regressor" and not problem(kind, Path(name)):
        return Path(name)
    listed = parts().get(name)
    # A part that is not in the table may lie where `pull` would put it all the same.
    wanted = listed if listed and listed.kind == kind else Part(kind, name, "", "", "")
    folder = whereabouts(wanted)
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
    """Names of the regressors that lie in ``regressor/`` of a folder of models."""
    folders = [folder for root in roots() for folder in sorted(root.glob("regressor/*"))]
    return list(dict.fromkeys(folder.name for folder in folders if not problem("regressor", folder)))


def takes(kind: str, file: str) -> bool:
    """Whether a part has a use for the file; it has none for pickles, nor for what is in a sub-folder."""
    return PureWindowsPath(file).name == file and any(
        fnmatch(file, pattern) for pattern in _table()["kinds"][kind]["takes"]
    )


def problem(kind: str, folder: Path) -> str | None:
    """What keeps a folder from being used as a part, at a glance; None if nothing does.

    With a lock, every file in it has to be there in its size; without one, what its kind needs.
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


def lacks(kind: str, files: Collection[str]) -> str | None:
    """What a part of this kind needs that is not among the files, in words; None if nothing."""
    for group in _table()["kinds"][kind]["needs"]:
        if not any(file in files for file in group):
            pickles = [file for file in files if any(fnmatch(file, pattern) for pattern in PICKLES)]
            why = f" ({pickles[0]} is a pickle, which is never loaded)" if pickles else ""
            return f"{' or '.join(group)} is missing{why}"
    return None


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


def verify(wanted: Part, folder: Path) -> str:
    """Read every file of an installed part and compare sizes, hashes and safetensors headers.

    Returns
    -------
    What the files were compared with, in words.

    Raises
    ------
    WeightsError
        At the first file that is not what it should be.
    """
    lock = read_lock(folder)
    hashes = {file: record.sha256 for file, record in lock.files.items()}
    hashes = hashes or {**_blobs(folder), **wanted.sha256}
    if wrong := problem(wanted.kind, folder) or _changed(folder, hashes) or unreadable(folder):
        raise WeightsError(
            f"{folder}: {wrong}. Get {wanted.name} again with: img2prompt models pull {wanted.name}"
        )
    if wanted.sha256 and wanted.sha256.items() <= hashes.items():
        return "the published hashes"
    if lock.commit:
        return f"the hub's hashes of {lock.commit[:7]}"
    if lock.files:
        return "the hashes taken when it was copied"
    return "the hub's hashes" if hashes else "nothing but its own headers"


def _changed(folder: Path, hashes: Mapping[str, str]) -> str | None:
    for file, expected in hashes.items():
        try:
            found = sha256(folder / file)
        except OSError as error:
            return str(error)
        if found != expected:
            return f"the SHA-256 of {file} is {found}, not {expected}"
    return None


def _blobs(folder: Path) -> dict[str, str]:
    """File → SHA-256, where a cache of the hub has named the file's content by it."""
    targets = {file.name: file.resolve().name for file in folder.glob("*") if file.is_symlink()}
    return {file: target for file, target in targets.items() if SHA256.fullmatch(target)}


def unreadable(folder: Path) -> str | None:
    """The first safetensors file in a folder with a broken header or a wrong length, and why."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            return f"{file.name} is no safetensors file ({error})"
    return None


def sha256(file: Path) -> str:
    """Of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


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


def size(folder: Path) -> int:
    """Bytes of the files in a folder; links count as what they point to."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def readable(count: int | None) -> str:
    """A number of bytes for people: ``3.9 GB``."""
    if count is None:
        return "?"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
