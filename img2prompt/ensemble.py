"""Weighted sum of embeddings from several predictors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from img2prompt.errors import ConfigError


def combine(vectors: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Weighted sum of the predictors' unit vectors, scaled to unit length again.

    Parameters
    ----------
    vectors : one (N, D) array per predictor; rows of any length, a zero row counts as no opinion
    weights : one weight ≥ 0 per predictor; only their ratio matters

    Returns
    -------
    (N, D) float32 unit rows; a row is zero where the weighted sum is.

    Raises
    ------
    ConfigError
        When the numbers of weights and predictors differ, the arrays' shapes differ, or
        the weights are negative, not finite or all zero.
    """
    if not vectors or len(vectors) != len(weights):
        raise ConfigError(f"{len(weights)} weights for {len(vectors)} predictors; give one weight each.")
    if not np.isfinite(weights).all() or min(weights) < 0 or max(weights) == 0:
        raise ConfigError(f"Weights are {list(weights)}; they must be 0 or more, and one of them above 0.")
    shapes = {np.shape(member) for member in vectors}
    if len(shapes) > 1:
        raise ConfigError(f"Predictors disagree about the shape of their embeddings: {sorted(shapes)}.")
    return _unit(
        np.sum([weight * _unit(member) for member, weight in zip(vectors, weights, strict=True)], axis=0)
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.divide(
        rows, lengths, out=np.zeros(np.shape(rows), np.float32), where=lengths > 0, casting="same_kind"
    )
