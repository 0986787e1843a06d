"""Label tables (mediums, movements, flavors…) and their ranking against pictures.

The tables are the text files of the ``clip-interrogator`` package. Ranking is one
matrix product and one top-k for all pictures of a batch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from img2prompt.errors import DataError

if TYPE_CHECKING:
    from img2prompt.engines.base import Aspect, Engine

PACKAGE = "clip_interrogator"
ASPECTS: dict[str, Aspect] = {
    "mediums": "style",
    "movements": "style",
    "artists": "style",
    "trendings": "style",
    "flavors": "content",
}
SITES = (
    "Artstation,behance,cg society,cgsociety,deviantart,dribble,flickr,instagram,pexels,pinterest,pixabay,"
    "pixiv,polycount,reddit,shutterstock,tumblr,unsplash,zbrush central"
).split(",")

# Which flavors a person would use: common ones, of plain words, that judge no one.
COMMON_FLAVORS = 15_000  # the table is sorted by how often prompts use them
PLAIN = re.compile(r"[a-z]{2,}(?:[ \-][a-z]{2,}){0,2}")
EDGE_WORDS = frozenset(
    "by from in on at with and of the for is are his her their to as or an very no not like its that who".split()
)
PRIVATE_WORDS = frozenset(
    """she he her his him hers they man men woman women boy girl male female guy lady beauty nude naked nudity sexy sensual seductive erotic nsfw lingerie bikini cleavage breasts bust curvy thicc hot
    lewd fat obese skinny slim ugly handsome attractive cute-face african american asian chinese japanese korean
    indian arab latino hispanic european british german french italian russian spanish peruvian mexican jewish
    muslim christian catholic islamic hindu caucasian white-skinned black-skinned tan-skinned dark-skinned pale
    old elderly aged teen teenage teenager young pregnant disabled gay lesbian transgender nazi hitler trump putin
    biden obama gore gory blood bloody corpse dead death suicide kill killing murder schizophrenia insane lips weed drugs cocaine""".split()
)


class Match(NamedTuple):
    """A label and its cosine with the picture, -1 to 1."""

    label: str
    score: float


class LabelTable:
    """Labels and, computed or read when first needed, their vectors in an engine's joint space.

    Parameters
    ----------
    name : name of the table, for example ``"flavors"``
    labels : the texts
    engine : whose joint space
    distinct : skip labels that nearly repeat a better one
    """

    def __init__(self, name: str, labels: Sequence[str], engine: Engine, distinct: bool = False):
        self.name = name
        self.labels = list(labels)
        self.aspect: Aspect = ASPECTS.get(name, "content")
        self.distinct = distinct
        self._engine = engine

    @cached_property
    def vectors(self) -> np.ndarray:
        """(M, D) float32 unit vectors: shipped with the engine, cached, or computed now."""
        return stored_vectors(self._engine, self.name, self.labels)

    def rank(self, pictures: np.ndarray, count: int) -> list[list[Match]]:
        """For each of N pictures (N, D) its `count` nearest labels, best first."""
        scores = pictures @ self.vectors.T
        return [self._best(row, min(count, len(self.labels))) for row in scores]

    def _best(self, scores: np.ndarray, count: int) -> list[Match]:
        pool = min(len(scores), count * 10 if self.distinct else count)
        order = np.argpartition(-scores, pool - 1)[:pool]
        order = order[np.argsort(-scores[order], kind="stable")]
        chosen: list[int] = []
        for index in order:
            if len(chosen) == count:
                break
            if not (self.distinct and self._repeats(index, chosen)):
                chosen.append(int(index))
        return [Match(self.labels[i], float(scores[i])) for i in chosen]

    def _repeats(self, index: int, chosen: list[int]) -> bool:
        """Whether a label says again what the chosen ones say."""
        stems = _stems(self.labels[index])
        return any(
            stems & _stems(self.labels[other]) or float(self.vectors[index] @ self.vectors[other]) > 0.7
            for other in chosen
        )


def _stems(label: str) -> set[str]:
    """Words cut so that "dog" and "dogs", "running" and "runner" meet."""
    return {re.sub(r"(?:ning|ing|ers?|es|s|y|ies)$", "", word) for word in re.split(r"[ \-]", label)}


def read_labels(name: str) -> list[str]:
    """All labels of a table of the ``clip-interrogator`` package, in its order.

    Raises
    ------
    DataError
        When the package or the table is missing.
    """
    if name == "trendings":
        return [
            *SITES,
            *(f"trending on {site}" for site in SITES),
            *(f"featured on {site}" for site in SITES),
            *(f"{site} contest winner" for site in SITES),
        ]
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DataError("The label tables are missing. Run: pip install clip-interrogator==0.6.0")
    file = Path(spec.origin).parent / "data" / f"{name}.txt"
    if not file.is_file():
        raise DataError(f"{file} is missing. Run: pip install --force-reinstall clip-interrogator==0.6.0")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    if name == "artists":
        lines = [f"{how} {line}" for how in ("by", "inspired by") for line in lines if line]
    return [line.strip() for line in lines if line.strip()]


def readable_labels(name: str, vocabulary: Mapping[str, Any]) -> list[str]:
    """A table cut down to what a small engine can tell apart: see `readable` for flavors.

    Of the artists only "by …" is kept; "inspired by …" has nearly the same vectors.
    """
    labels = read_labels(name)
    if name == "artists":
        return [label for label in labels if label.startswith("by ")]
    return readable(labels, vocabulary) if name == "flavors" else labels


def readable(flavors: Sequence[str], vocabulary: Mapping[str, Any]) -> list[str]:
    """The common flavors made of one to three dictionary words, without names or remarks on people.

    `vocabulary` holds the words that count as dictionary words, here MiniLM's.
    """
    artists = [artist.lower().split()[1:] for artist in read_labels("artists")]
    names = {word for artist in artists for word in artist} - PLAIN_NAMES
    kept = []
    for flavor in flavors[:COMMON_FLAVORS]:
        words = re.split(r"[ \-]", flavor)
        if (
            PLAIN.fullmatch(flavor)
            and words[0] not in EDGE_WORDS
            and words[-1] not in EDGE_WORDS
            and all(word in vocabulary for word in words)
            and not PRIVATE_WORDS.intersection(words)
            and not (len(words) > 1 and words[0] in names)
            and not (len(words) > 1 and words[-1] in names)
        ):
            kept.append(flavor)
    return kept


# Parts of artists' names that are everyday words too.
PLAIN_NAMES = frozenset(
    """light park wood forest stone hill lake field fields bell rose gray green brown black white west young king
    house street love day winter frost snow waters rivers flowers glass gold golden moon sun art painting shot face
    hair style detail background sky water grass beach city landscape lighting colors color the of and in a studio
    summer dawn church bridge bush ocean sea river rain cloud night hunter fisher baker cook dog cat fox wolf bird
    horse lion bear deer fish swan sand berry cherry apple lemon pepper bean garden flower ivory silver copper
    diamond pearl crystal red blue pink purple orange yellow round sharp long short small grand bright dark soft
    warm cold east south north world fantasy digital modern graphic concept character monster dragon""".split()
)


def load_tables(engine: Engine) -> list[LabelTable]:
    """The built-in tables for this engine: only readable ones with a vocabulary, none without a joint space."""
    if engine.space is None:
        return []
    words = engine.vocabulary
    tables = []
    for name in ASPECTS:
        labels = read_labels(name) if words is None else readable_labels(name, words)
        tables.append(LabelTable(name, labels, engine, distinct=name == "flavors" and words is not None))
    return tables


def rank_all(
    engine: Engine, features: Any, tables: Sequence[LabelTable], counts: Mapping[str, int]
) -> list[dict[str, list[Match]]]:
    """For each picture the best labels of every table that `counts` names."""
    vectors = {aspect: engine.embed_images(features, aspect) for aspect in ("content", "style")}
    ranked = {t.name: t.rank(vectors[t.aspect], counts[t.name]) for t in tables if counts.get(t.name)}
    return [{name: matches[i] for name, matches in ranked.items()} for i in range(len(vectors["content"]))]


def digest(labels: Sequence[str]) -> str:
    """Tells one list of labels from another."""
    return hashlib.sha256("\n".join(labels).encode()).hexdigest()[:16]


def pack(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors → int8 in steps of 1/400 (entries beyond ±0.3175 are cut); `unpack` reverses it."""
    return np.clip(np.rint(vectors * 400), -127, 127).astype(np.int8)


def unpack(packed: np.ndarray) -> np.ndarray:
    """int8 as `pack` makes it → float32 unit vectors."""
    vectors = packed.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def stored_vectors(engine: Engine, name: str, labels: Sequence[str]) -> np.ndarray:
    """Vectors of a table from the engine's folder or the user's cache, else computed and cached."""
    import platformdirs
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import save_file

    key = f"{name}-{digest(labels)}"
    cache = Path(platformdirs.user_cache_dir("img2prompt")) / engine.name / f"{key}.safetensors"
    for file in (engine.label_file, cache):
        if file is not None and file.is_file():
            with safe_open(file, "np") as stored:
                if key in stored.keys():  # noqa: SIM118 - not a dict
                    return unpack(stored.get_tensor(key))
    packed = pack(engine.embed_texts(labels))
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_suffix(f".{os.getpid()}")
        save_file({key: packed}, partial)
        os.replace(partial, cache)
    except (OSError, SafetensorError):
        pass  # a full disk or read-only home only means computing them again next time
    return unpack(packed)
