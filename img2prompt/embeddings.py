"""Prompt embeddings, vectors in the space of all-MiniLM-L6-v2, and arithmetic on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

WIDTH = 384  # numbers in an embedding
RESAMPLES = 2000  # drawn by the bootstrap


class TextEncoder(Protocol):
    """Anything that turns texts into embeddings, for example `img2prompt.minilm.SentenceEncoder`."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """N texts → (N, 384) float32 unit vectors."""


def unit(rows: np.ndarray) -> np.ndarray:
    """(…, D) vectors scaled to length 1, as float32; a zero vector stays zero."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.divide(
        rows, lengths, out=np.zeros(np.shape(rows), np.float32), where=lengths > 0, casting="same_kind"
    )


def unit_means(vectors: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The mean of each group's vectors, scaled to length 1.

    Parameters
    ----------
    vectors : (M, D)
    groups : (M,) the group of each vector, an integer from 0 to G - 1

    Returns
    -------
    (G, D) float32
    """
    sums = np.zeros((int(groups.max()) + 1, vectors.shape[1]), dtype=np.float32)
    np.add.at(sums, groups, vectors)
    return unit(sums)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each row of one (N, D) array with the same row of another; 0 for a zero row."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.divide((a * b).sum(1), lengths, out=np.zeros(len(a)), where=lengths > 0)


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval (low, high) of the mean of N values, by the percentile bootstrap (Efron, 1979)."""
    random = np.random.default_rng(seed)
    means = [values[random.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
