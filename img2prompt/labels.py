"""Label tables (mediums, movements, flavors…) and their ranking against pictures.

The tables are the text files of the ``clip-interrogator`` package. Ranking is one
matrix product and one top-k for all pictures of a batch.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from img2prompt.errors import ConfigError, DataError
from img2prompt.libraries import install
from img2prompt.vectors import label_vectors

if TYPE_CHECKING:
    from torch import Tensor

    from img2prompt.engines.base import Engine

PACKAGE = "clip_interrogator"
ASPECTS = {  # the tables in use, and what each is compared with, see `look`
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

# Limits of a table that the user brings; the largest of the package has 100,970 labels in 1.8 MB.
MOST_MEGABYTES = 8
MOST_LABELS = 200_000
LONGEST = 300  # characters; CLIP reads 77 tokens

SLICE = 2048  # labels whose vectors are widened together; twice as fast as 8,192

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
    labels : the texts; a blank one keeps its place but is never an answer
    engine : whose joint space
    distinct : skip labels that nearly repeat a better one
    found_in : clip-interrogator's ``cache_path``, which may hold the vectors
    """

    def __init__(
        self,
        name: str,
        labels: Sequence[str],
        engine: Engine,
        distinct: bool = False,
        found_in: str = "",
    ):
        self.name = name
        self.labels = list(labels)
        self.aspect = ASPECTS.get(name, "both")
        self.distinct = distinct
        self._engine = engine
        self._found_in = found_in

    @cached_property
    def vectors(self) -> Tensor:
        """(M, D) unit vectors on the engine's device: shipped with the engine, kept, or computed now."""
        return label_vectors(self._engine, self.name, self.labels, self._found_in).to(self._engine.device)

    def scores(self, pictures: np.ndarray) -> Tensor:
        """(N, M) float32 cosines of N pictures (N, D) with all labels.

        Half-precision vectors are widened a slice at a time, so that they stay mapped
        from disk and every product is one of single precision.
        """
        import torch

        rows = torch.from_numpy(pictures).to(self._engine.device)
        return torch.cat([rows @ part.float().T for part in self.vectors.split(SLICE)], dim=1)

    def rank(self, pictures: np.ndarray, count: int) -> list[list[Match]]:
        """For each of N pictures (N, D) its `count` nearest labels, best first."""
        spare = 9 * count if self.distinct else self.labels.count("")
        best = self.scores(pictures).topk(min(len(self.labels), count + spare), dim=1)
        return [
            self._choose(indices, scores, count)
            for indices, scores in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def _choose(self, indices: list[int], scores: list[float], count: int) -> list[Match]:
        """The first `count` of these labels, without blanks and, in a distinct table, repetitions."""
        if self.distinct:
            vectors = self.vectors[indices].float()
            close = (vectors @ vectors.T > 0.7).tolist()
        chosen: list[int] = []
        for i, index in enumerate(indices):
            label = self.labels[index]
            repeats = self.distinct and any(
                close[i][j] or _stems(label) & _stems(self.labels[indices[j]]) for j in chosen
            )
            if label and not repeats:
                chosen.append(i)
            if len(chosen) == count:
                break
        return [Match(self.labels[indices[i]], scores[i]) for i in chosen]


def _stems(label: str) -> set[str]:
    """Words cut so that "dog" and "dogs", "running" and "runner" meet."""
    return {re.sub(r"(?:ning|ing|ers?|es|s|y|ies)$", "", word) for word in re.split(r"[ \-]", label)}


def read_labels(name: str) -> list[str]:
    """All labels of a table of the ``clip-interrogator`` package, in its order.

    The one blank among the flavors stays, so that every label has the place, and the
    table the hash, that it has there.

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
        raise DataError(f"The label tables are missing. {install('clip-interrogator')}")
    file = Path(spec.origin).parent / "data" / f"{name}.txt"
    if not file.is_file():
        raise DataError(
            f"{file} is missing. {install('--force-reinstall', '--no-deps', 'clip-interrogator')}"
        )
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    if name == "artists":
        lines = [f"{how} {line}" for how in ("by", "inspired by") for line in lines]
    return [line.strip() for line in lines]


def read_own_labels(files: Sequence[str]) -> dict[str, list[str]]:
    """Tables that the user brings, by their file stems: UTF-8 text, one label a line.

    Blank lines and repetitions are left out.

    Raises
    ------
    DataError
        For a file that is missing, too large, no UTF-8 text or without labels, for a label
        that is too long, and for a stem that another table has.
    """
    tables: dict[str, list[str]] = {}
    for file in files:
        name = Path(file).stem
        if name in ASPECTS or name in tables:
            raise DataError(f"{file}: there is another table called {name}. Rename the file.")
        tables[name] = _read_own(Path(file))
    return tables


def _read_own(file: Path) -> list[str]:
    try:
        with open(file, "rb") as stream:
            data = stream.read(MOST_MEGABYTES * 2**20 + 1)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}. Name a text file with one label a line.") from error
    if len(data) > MOST_MEGABYTES * 2**20:
        raise DataError(f"{file} is larger than {MOST_MEGABYTES} MB. Cut it into several tables.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}, line {number}: this is no UTF-8 text. Save the file as UTF-8.") from error
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for number, line in enumerate(lines, 1):
        if re.search(r"[\x00-\x1f\x7f]", line):
            raise DataError(f"{file}, line {number}: there are control characters in it. Write plain text.")
        if len(line) > LONGEST:
            raise DataError(
                f"{file}, line {number}: a label has at most {LONGEST} characters, not {len(line)}."
            )
    labels = [label for label in dict.fromkeys(lines) if label]
    if not 0 < len(labels) <= MOST_LABELS:
        raise DataError(f"{file} holds {len(labels):,} labels; a table has 1 to {MOST_LABELS:,}.")
    return labels


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


def load_tables(engine: Engine, own: Mapping[str, Sequence[str]], found_in: str = "") -> list[LabelTable]:
    """The built-in tables for this engine, then the user's.

    Parameters
    ----------
    engine : one with a vocabulary gets only the readable labels of the built-in tables
    own : name → labels, see `read_own_labels`
    found_in : clip-interrogator's ``cache_path``, which may hold the vectors

    Returns
    -------
    No table where the engine has no joint space to compare them in.

    Raises
    ------
    ConfigError
        When the user's tables therefore could not be used.
    """
    if engine.space is None:
        if own:
            raise ConfigError(
                "Labels are ranked by a CLIP model, and clip_model is none. Set it, or no labels."
            )
        return []
    words = engine.vocabulary
    tables = []
    for name in ASPECTS:
        labels = read_labels(name) if words is None else readable_labels(name, words)
        distinct = name == "flavors" and words is not None
        tables.append(LabelTable(name, labels, engine, distinct, found_in))
    return tables + [LabelTable(name, labels, engine) for name, labels in own.items()]


def look(engine: Engine, features: Any) -> dict[str, np.ndarray]:
    """What labels are compared with: (N, D) unit vectors of what N pictures show, how they look, and both."""
    content, style = engine.embed_images(features, "content"), engine.embed_images(features, "style")
    both = content + style
    return {"content": content, "style": style, "both": both / np.linalg.norm(both, axis=1, keepdims=True)}


def rank_all(
    looks: Mapping[str, np.ndarray], tables: Sequence[LabelTable], counts: Mapping[str, int]
) -> list[dict[str, list[Match]]]:
    """For each picture the best labels of every table that `counts` names."""
    ranked = {t.name: t.rank(looks[t.aspect], counts[t.name]) for t in tables if counts.get(t.name)}
    return [{name: matches[i] for name, matches in ranked.items()} for i in range(len(looks["content"]))]


def pools(
    looks: Mapping[str, np.ndarray], tables: Sequence[LabelTable], size: int, least: bool = False
) -> list[list[str]]:
    """For each picture about `size` labels of the joined tables, for a chain to choose from.

    They are clip-interrogator's choice: not the nearest of all, but the nearest few of
    every `size` neighbours in the tables, so that rare labels come in beside common ones.
    The nearest comes first; with `least` it is all about the farthest.
    """
    import torch

    labels = [label for table in tables for label in table.labels]
    scores = torch.cat([table.scores(looks[table.aspect]) for table in tables], dim=1)
    chunks = -(-len(labels) // size)
    filled = torch.nn.functional.pad(
        -scores if least else scores, (0, chunks * size - len(labels)), value=-torch.inf
    )
    best = filled.unflatten(1, (chunks, size)).topk(max(1, size // chunks), dim=2)
    places = (best.indices + torch.arange(0, chunks * size, size, device=filled.device)[:, None]).flatten(1)
    order = best.values.flatten(1).argsort(dim=1, descending=True, stable=True)
    rows = places.gather(1, order).tolist()
    return [[labels[i] for i in row if i < len(labels) and labels[i]] for row in rows]


def similarities(engine: Engine, pictures: np.ndarray, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """For each of N pictures (N, D) the cosines with texts of its own, all embedded in one call."""
    vectors = engine.embed_texts([text for row in texts for text in row])
    ends = np.cumsum([len(row) for row in texts])
    return [rows @ picture for rows, picture in zip(np.split(vectors, ends[:-1]), pictures, strict=True)]
