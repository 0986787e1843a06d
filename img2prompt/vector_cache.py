"""Vectors of label tables: shipped with an engine, read from a cache on disk, or computed once.

Computed vectors go to the user's cache folder, one safetensors file for each joint space and
table, in the layout of clip-interrogator's own cache: ``embeds``, (M, D) float16, and ``hash``,
the SHA-256 of the labels joined by commas, as 64 character codes.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from img2prompt.embeddings import unit
from img2prompt.errors import DataError
from img2prompt.files import replacing_path
from img2prompt.tensors import mapped


class JointSpace(Protocol):
    """The part of an engine that label vectors depend on: its joint space of pictures and texts."""

    @property
    def space(self) -> str | None:
        """The name of the space, different for different weights; None where there is no joint space."""

    @property
    def label_file(self) -> Path | None:
        """The file of label vectors that comes with the engine, if any."""

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(M, D) float32 unit vectors."""


CHUNK = 2048  # labels that are embedded, and saved, together
CHECKED = 8  # labels embedded again to see whether clip-interrogator's vectors are of the same weights
SAME = 0.99  # least cosine of two vectors of the same weights; half precision costs a little


def label_vectors(engine: JointSpace, name: str, labels: Sequence[str], found_in: str = "") -> np.ndarray:
    """Unit vectors of M labels in an engine's joint space, computed only if they are not stored anywhere.

    They are looked for in the engine's folder, the user's cache and `found_in`, in this order.
    While computing, every chunk of 2,048 labels is saved, so that a stopped run can go on.

    Parameters
    ----------
    name : name of the table, for example ``"flavors"``
    labels : the M texts
    found_in : clip-interrogator's ``cache_path``, if there is one

    Returns
    -------
    (M, D): float32 if shipped with the engine, else float16, read-only and memory-mapped from disk
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
    kept = _read(file, labels)
    return vectors if kept is None else kept  # a full or read-only disk keeps nothing


def cache_folder(space: str) -> Path:
    """The folder in the user's cache for the vectors of a joint space."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("img2prompt")) / "labels" / _file_name(space)


def digest(labels: Sequence[str]) -> str:
    """16 hexadecimal digits that differ between lists of labels."""
    return hashlib.sha256("\n".join(labels).encode()).hexdigest()[:16]


def pack(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors → int8 in steps of 1/400; entries beyond ±0.3175 are clipped. `unpack` reverses it."""
    return np.clip(np.rint(vectors * 400), -127, 127).astype(np.int8)


def unpack(packed: np.ndarray) -> np.ndarray:
    """int8 as `pack` returns it → float32 unit vectors."""
    return unit(packed.astype(np.float32))


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]", "_", text)


def _shipped(engine: JointSpace, name: str, labels: Sequence[str]) -> np.ndarray | None:
    if engine.label_file is None or not engine.label_file.is_file():
        return None
    packed = mapped(engine.label_file).get(f"{name}-{digest(labels)}")
    return None if packed is None else unpack(packed)


def _compute(engine: JointSpace, name: str, labels: Sequence[str], parts: Path) -> np.ndarray:
    """Embed the labels chunk by chunk; chunks that an earlier run saved in `parts` are read instead."""
    from tqdm import tqdm

    chunks = []
    quiet = True if len(labels) <= CHUNK else None  # None: a bar on a terminal only
    with tqdm(total=len(labels), desc=f"Embedding {name}", unit=" labels", disable=quiet) as bar:
        for start in range(0, len(labels), CHUNK):
            chunk = labels[start : start + CHUNK]
            part = parts / f"{start}.safetensors"
            vectors = _read(part, chunk)
            if vectors is None:
                vectors = engine.embed_texts(chunk).astype(np.float16)
                _save(part, chunk, vectors, scratch=parts)
            chunks.append(vectors)
            bar.update(len(chunk))
    return np.concatenate(chunks)


def _adopt(engine: JointSpace, name: str, labels: Sequence[str], folder: Path) -> np.ndarray | None:
    """Vectors from clip-interrogator's cache; None where there are none or they are another model's."""
    model = str(engine.space).partition("@")[0]
    file = folder / f"{model.replace('/', '_')}_{name}.safetensors"
    vectors = _read(file, labels)
    if vectors is None:
        return None
    rows = np.linspace(0, len(labels) - 1, min(CHECKED, len(labels)), dtype=int)
    own = engine.embed_texts([labels[row] for row in rows])
    theirs = vectors[rows].astype(np.float32)
    if own.shape != theirs.shape or (own * theirs).sum(1).min() < SAME:
        logging.getLogger(__name__).warning("%s is of other weights than %s; not used.", file, model)
        return None
    return vectors


def _hash(labels: Sequence[str]) -> np.ndarray:
    return np.frombuffer(hashlib.sha256(",".join(labels).encode()).hexdigest().encode(), np.int8)


def _read(file: Path, labels: Sequence[str]) -> np.ndarray | None:
    """(M, D) float16, memory-mapped; None if the file is missing, damaged or of other labels."""
    from safetensors import SafetensorError

    try:
        stored = mapped(file)
        vectors, key = stored["embeds"], stored["hash"]
    except (OSError, SafetensorError, KeyError):
        return None
    fits = np.array_equal(key, _hash(labels)) and vectors.ndim == 2 and len(vectors) == len(labels)
    return vectors.astype(np.float16, copy=False) if fits else None


def _save(file: Path, labels: Sequence[str], vectors: np.ndarray, scratch: Path) -> None:
    """Write the whole file or nothing. If the disk is full or read-only, the next run computes again."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    with contextlib.suppress(OSError, DataError, SafetensorError):
        scratch.mkdir(parents=True, exist_ok=True)
        with replacing_path(file, durable=False, scratch=scratch) as part:
            save_file({"embeds": vectors, "hash": _hash(labels)}, part)
