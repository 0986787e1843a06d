"""Rank labels against pictures: one matrix product and one top-k for a whole batch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from img2prompt.embeddings import unit
from img2prompt.errors import ConfigError
from img2prompt.labels.readable import readable_labels
from img2prompt.labels.tables import ASPECTS, read_labels
from img2prompt.results import Match
from img2prompt.vector_cache import label_vectors

if TYPE_CHECKING:
    from img2prompt.engines.base import Engine

SLICE = 512  # labels whose vectors become float32 at a time, so that they stay in the processor's cache


class LabelTable:
    """Labels and their vectors in an engine's joint space, which are computed or read when first needed.

    Parameters
    ----------
    name : name of the table, for example ``"flavors"``
    labels : the M texts; a blank one keeps its place but is never an answer
    engine : embeds the labels
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
    def vectors(self) -> np.ndarray:
        """(M, D) unit vectors, see `img2prompt.vector_cache.label_vectors`."""
        vectors = label_vectors(self._engine, self.name, self.labels, self._found_in)
        # A machine with a GPU has the memory, and no time to convert them again for every batch.
        return vectors if self._engine.device == "cpu" else vectors.astype(np.float32, copy=False)

    def scores(self, pictures: np.ndarray) -> np.ndarray:
        """(N, M) float32 cosines of N pictures (N, D) with all labels.

        Half-precision vectors are converted to single precision a slice at a time, so that
        the whole table stays memory-mapped from disk.
        """
        if self.vectors.dtype == np.float32:
            return pictures @ self.vectors.T
        slices = [self.vectors[start : start + SLICE] for start in range(0, len(self.labels), SLICE)]
        return np.concatenate([pictures @ part.astype(np.float32).T for part in slices], axis=1)

    def rank(self, pictures: np.ndarray, count: int) -> list[list[Match]]:
        """For each of N pictures (N, D) its `count` nearest labels, best first."""
        spare = 9 * count if self.distinct else self.labels.count("")
        scores = self.scores(pictures)
        best = _best(scores, min(len(self.labels), count + spare))
        return [
            self._choose(indices.tolist(), row[indices].tolist(), count)
            for indices, row in zip(best, scores, strict=True)
        ]

    def _choose(self, indices: list[int], scores: list[float], count: int) -> list[Match]:
        """The first `count` of these labels, without blanks and, if `distinct`, without near-repetitions."""
        if self.distinct:
            vectors = self.vectors[indices].astype(np.float32, copy=False)
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


def _best(scores: np.ndarray, count: int) -> list[np.ndarray]:
    """For each row of (N, M) scores the places of its `count` largest, the first of equals first."""
    limits = np.partition(scores, -count, axis=1)[:, -count]
    found = [np.flatnonzero(row >= limit) for row, limit in zip(scores, limits, strict=True)]
    return [
        places[np.argsort(-row[places], kind="stable")][:count]
        for row, places in zip(scores, found, strict=True)
    ]


def _stems(label: str) -> set[str]:
    """The label's words without common endings: "dogs" → "dog", "painting" and "painter" → "paint"."""
    return {re.sub(r"(?:ning|ing|ers?|es|s|y|ies)$", "", word) for word in re.split(r"[ \-]", label)}


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
    vocabulary = engine.vocabulary
    tables = []
    for name in ASPECTS:
        labels = read_labels(name) if vocabulary is None else readable_labels(name, vocabulary)
        distinct = name == "flavors" and vocabulary is not None
        tables.append(LabelTable(name, labels, engine, distinct, found_in))
    return tables + [LabelTable(name, labels, engine) for name, labels in own.items()]


def picture_vectors(engine: Engine, features: Any) -> dict[str, np.ndarray]:
    """The vectors of N pictures that labels are compared with, each (N, D), unit length.

    ``content`` is what the pictures show, ``style`` how they look, ``both`` the mean of the two.
    """
    content, style = engine.embed_images(features, "content"), engine.embed_images(features, "style")
    return {"content": content, "style": style, "both": unit(content + style)}


def rank_all(
    vectors: Mapping[str, np.ndarray], tables: Sequence[LabelTable], counts: Mapping[str, int]
) -> list[dict[str, list[Match]]]:
    """For each picture the best labels of every table that `counts` names."""
    ranked = {t.name: t.rank(vectors[t.aspect], counts[t.name]) for t in tables if counts.get(t.name)}
    return [{name: matches[i] for name, matches in ranked.items()} for i in range(len(vectors["content"]))]


def pools(
    vectors: Mapping[str, np.ndarray], tables: Sequence[LabelTable], size: int, least: bool = False
) -> list[list[str]]:
    """For each picture about `size` labels of the joined tables, for a chain to choose from.

    The choice is clip-interrogator's: not the nearest labels of all, but the nearest few of
    each chunk of `size` consecutive labels, so that rare labels appear beside common ones.
    The nearest comes first; with `least`, the farthest are chosen and come first.
    """
    labels = [label for table in tables for label in table.labels]
    scores = np.concatenate([table.scores(vectors[table.aspect]) for table in tables], axis=1)
    chunks = -(-len(labels) // size)
    missing = chunks * size - len(labels)
    filled = np.pad(-scores if least else scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    best = np.array(_best(filled.reshape(-1, size), max(1, size // chunks)))
    places = (best.reshape(len(filled), chunks, -1) + size * np.arange(chunks)[:, None]).reshape(
        len(filled), -1
    )
    order = np.argsort(-np.take_along_axis(filled, places, axis=1), axis=1, kind="stable")
    rows = np.take_along_axis(places, order, axis=1).tolist()
    return [[labels[i] for i in row if i < len(labels) and labels[i]] for row in rows]


def similarities(engine: Engine, pictures: np.ndarray, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """For each of N pictures (N, D) the cosines with texts of its own, all embedded in one call."""
    vectors = engine.embed_texts([text for row in texts for text in row])
    ends = np.cumsum([len(row) for row in texts])
    return [rows @ picture for rows, picture in zip(np.split(vectors, ends[:-1]), pictures, strict=True)]
