"""Vectors of label tables: shipped with an engine, kept on disk, or computed once.

What is computed is kept in the user's cache, one file per joint space and table, in the
layout of clip-interrogator's own cache: ``embeds``, (M, D) float16, and ``hash``, the
SHA-256 of the labels joined by commas, as 64 character codes.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from img2prompt.embeddings import unit
from img2prompt.errors import DataError
from img2prompt.files import replacing_path

if TYPE_CHECKING:
    from torch import Tensor


class JointSpace(Protocol):
    """What an engine tells of the space that its label vectors lie in."""

    @property
    def space(self) -> str | None:
        """The name of the space, another one for other weights; None where there is none."""

    @property
    def label_file(self) -> Path | None:
        """Label vectors that come with the engine."""

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(M, D) float32 unit vectors."""


CHUNK = 2048  # labels that are embedded, and kept, together
CHECKED = 8  # labels embedded anew before somebody else's vectors are believed
SAME = 0.99  # cosine above which two vectors come from the same weights, half precision allowed


def label_vectors(engine: JointSpace, name: str, labels: Sequence[str], found_in: str = "") -> Tensor:
    """Unit vectors of M labels in an engine's joint space, computed only if nobody has yet.

    They are looked for in the engine's folder, the user's cache and `found_in`. Computing
    keeps every chunk of 2,048 labels, so a run that was stopped goes on where it was.

    Parameters
    ----------
    name : of the table, for example ``"flavors"``
    found_in : clip-interrogator's ``cache_path``, if there is one

    Returns
    -------
    (M, D) tensor on the CPU: float32 if shipped with the engine, else float16, mapped from disk
    """
    shipped = _shipped(engine, name, labels)
    if shipped is not None:
        return shipped
    assert engine.space is not None, "label tables come with a joint space"
    folder = cache_folder(engine.space)
    file = folder / f"{_file_name(name)}-{digest(labels)}.safetensors"
    parts = file.with_suffix(".parts")
    kept = _read(file, labels)
    if kept is not None:
        return kept
    vectors = _adopt(engine, name, labels, Path(found_in)) if found_in else None
    if vectors is None:
        vectors = _compute(engine, name, labels, parts)
    _save(file, labels, vectors, scratch=parts)
    shutil.rmtree(parts, ignore_errors=True)
    mapped = _read(file, labels)
    return vectors if mapped is None else mapped  # a full or read-only disk keeps nothing


def cache_folder(space: str) -> Path:
    """Where the vectors of a joint space are kept."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("img2prompt")) / "labels" / _file_name(space)


def digest(labels: Sequence[str]) -> str:
    """Tells one list of labels from another."""
    return hashlib.sha256("\n".join(labels).encode()).hexdigest()[:16]


def pack(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors → int8 in steps of 1/400 (entries beyond ±0.3175 are cut); `unpack` reverses it."""
    return np.clip(np.rint(vectors * 400), -127, 127).astype(np.int8)


def unpack(packed: np.ndarray) -> np.ndarray:
    """int8 as `pack` makes it → float32 unit vectors."""
    return unit(packed.astype(np.float32))


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]", "_", text)


def _shipped(engine: JointSpace, name: str, labels: Sequence[str]) -> Tensor | None:
    import torch
    from safetensors import safe_open

    key = f"{name}-{digest(labels)}"
    if engine.label_file is None or not engine.label_file.is_file():
        return None
    with safe_open(engine.label_file, "np") as stored:
        is_stored = key in stored.keys()  # noqa: SIM118 - not a dict
        return torch.from_numpy(unpack(stored.get_tensor(key))) if is_stored else None


def _compute(engine: JointSpace, name: str, labels: Sequence[str], parts: Path) -> Tensor:
    """Embed the labels, chunk by chunk; chunks that `parts` holds are read from there."""
    import torch
    from tqdm import tqdm

    chunks = []
    quiet = True if len(labels) <= CHUNK else None  # None: a bar on a terminal only
    with tqdm(total=len(labels), desc=f"Embedding {name}", unit=" labels", disable=quiet) as bar:
        for start in range(0, len(labels), CHUNK):
            chunk = labels[start : start + CHUNK]
            part = parts / f"{start}.safetensors"
            vectors = _read(part, chunk)
            if vectors is None:
                vectors = torch.from_numpy(engine.embed_texts(chunk)).half()
                _save(part, chunk, vectors, scratch=parts)
            chunks.append(vectors)
            bar.update(len(chunk))
    return torch.cat(chunks)


def _adopt(engine: JointSpace, name: str, labels: Sequence[str], folder: Path) -> Tensor | None:
    """Vectors that clip-interrogator kept, unless they turn out to be another model's."""
    model = str(engine.space).partition("@")[0]
    file = folder / f"{model.replace('/', '_')}_{name}.safetensors"
    vectors = _read(file, labels)
    if vectors is None:
        return None
    rows = np.linspace(0, len(labels) - 1, min(CHECKED, len(labels)), dtype=int)
    own = engine.embed_texts([labels[row] for row in rows])
    theirs = vectors[rows].float().numpy()
    if own.shape != theirs.shape or (own * theirs).sum(1).min() < SAME:
        logging.getLogger(__name__).warning("%s is of other weights than %s; not used.", file, model)
        return None
    return vectors


def _hash(labels: Sequence[str]) -> np.ndarray:
    return np.frombuffer(hashlib.sha256(",".join(labels).encode()).hexdigest().encode(), np.int8)


def _read(file: Path, labels: Sequence[str]) -> Tensor | None:
    """(M, D) float16, mapped; None where there is no such file, or one of other labels, or a damaged one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as stored:
            vectors, key = stored.get_tensor("embeds"), stored.get_tensor("hash")
    except (OSError, SafetensorError):
        return None
    fits = np.array_equal(key.numpy(), _hash(labels)) and vectors.ndim == 2 and len(vectors) == len(labels)
    return vectors.half() if fits else None


def _save(file: Path, labels: Sequence[str], vectors: Tensor, scratch: Path) -> None:
    """Write all or nothing. A disk that takes nothing only means computing again next time."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with contextlib.suppress(OSError, DataError, SafetensorError):
        scratch.mkdir(parents=True, exist_ok=True)
        with replacing_path(file, durable=False, scratch=scratch) as part:
            save_file({"embeds": vectors, "hash": torch.from_numpy(_hash(labels).copy())}, part)
